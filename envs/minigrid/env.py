"""MiniGrid's tasks as environments. `envs.make("minigrid/DoorKey-8x8-v0", levels=8192)` builds one.

A task of your own is a subclass that says its `task`, `family`, `id` and `generate`; README.md has one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs import resets
from prospect_rl.envs.api import Array, Box, Dict, Discrete, Env, Key, Space, Spec, Step, Tree, static
from prospect_rl.envs.minigrid import bank, generators, picture, view
from prospect_rl.envs.minigrid.rules import RULES, act
from prospect_rl.envs.minigrid.state import State
from prospect_rl.envs.minigrid.table import COLOURS, FAMILIES, OBJECTS, SLOTS, TASKS, Family, Task, say
from prospect_rl.envs.names import unknown


@jax.tree_util.register_pytree_node_class
class Bank:
    """Levels, leading [L], that are made or read when they are first looked at: naming a task costs nothing."""

    def __init__(self, make: Callable[[], State]) -> None:
        """make: gives the levels."""
        self._make = make

    @cached_property
    def levels(self) -> State:
        """The levels, leading [L]. Raises ValueError where they can't be made."""
        with jax.ensure_compile_time_eval():  # the first look may come while a program is traced
            return jax.tree.map(jnp.asarray, self._make())

    def tree_flatten(self) -> tuple[tuple[State], None]:
        """For JAX: a bank is its levels."""
        return (self.levels,), None

    @classmethod
    def tree_unflatten(cls, aux: None, children: tuple[State]) -> Bank:
        """For JAX."""
        bank = cls.__new__(cls)
        bank.levels = children[0]
        return bank


@struct.dataclass
class MiniGrid(Env):
    """One of Farama's MiniGrid tasks; an episode begins on a level drawn from a bank."""

    name: str = static("Empty-8x8-v0")
    """Farama's id without `MiniGrid-`."""
    levels: int = static(512, least=1)
    """Levels in the bank."""
    first_level: int = static(0, least=0)
    """The seed of the first one; from 1,000,000 on they are for evaluation (see `unseen`)."""
    view: Literal["partial", "full", "onehot", "flat"] = static("partial")
    """What is observed: partial, full, onehot or flat."""
    view_size: Literal[3, 5, 7, 9] = static(7)
    """Width of what the agent sees (3, 5, 7 or 9 cells)."""
    source: Literal["bank", "generator"] = static("bank")
    """Who makes the levels: bank (Farama, from seeds) or generator (ours, fresh ones; see `generators`)."""
    bank: Bank = struct.field(pytree_node=True, default=None)  # type: ignore[assignment]  # made below

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bank is None:
            if type(self).task is MiniGrid.task and self.name not in TASKS:
                raise unknown("MiniGrid task", self.name, TASKS)
            if self.source == "generator" and not generators.has(self.name):
                raise ValueError(f"{self.id} has no generator; there is one for {', '.join(generators.GENERATORS)}")
            if self.first_level < bank.UNSEEN < self.first_level + self.levels:
                raise ValueError(f"a bank lies below the level {bank.UNSEEN:,} (training) or above it (evaluation)")
            object.__setattr__(self, "bank", Bank(partial(self.generate, self.first_level, self.levels)))

    # --- what a task of your own says ----------------------------------------------------------------

    @property
    def task(self) -> Task:
        """Size and limit."""
        return TASKS[self.name]

    @property
    def family(self) -> Family:
        """Rule, mission, occlusion, actions."""
        return FAMILIES[self.task.family]

    @property
    def id(self) -> str:
        """The registered name."""
        return f"minigrid/{self.name}"

    def generate(self, first: int, levels: int) -> State:
        """Levels `first` to `first + levels - 1`, leading [levels]: the same in every process."""
        if self.source == "bank":
            return bank.load(self.name, first, levels)
        if generators.cheap(self.name):
            return generators.none(self.name)  # `reset` makes its own
        return generators.bank(self.name, jax.random.key(0), levels, first)

    # -------------------------------------------------------------------------------------------------

    def unseen(self) -> MiniGrid:
        """This task on as many levels that training never meets, for evaluation."""
        return replace(self, first_level=bank.UNSEEN, bank=None)

    @property
    def spec(self) -> Spec:
        """Observation: image uint8 (see `view`), direction, and the ids of the mission's words; or all in one, flat."""
        return Spec(
            id=self.id, obs=self._space(), action=Discrete(self.family.actions), horizon=self.task.max_steps,
            info=("success", "state_id"),
        )  # fmt: skip

    def _space(self) -> Space:
        size = self.view_size
        shapes = {
            "partial": (size, size, 3),
            "full": (self.task.width, self.task.height, 3),
            "onehot": (size, size, 20),
        }
        if self.view == "flat":
            return Box((size * size * 3 + view.LENGTH * view.LETTERS,), 0, 15, "uint8")
        last = len(OBJECTS) - 1, len(COLOURS) - 1, 3 if self.view == "full" else 2  # the agent's cell has a direction
        image = Box(shapes[self.view], 0, 1 if self.view == "onehot" else last, "uint8")
        words = Box((SLOTS,), 0, max(len(OBJECTS), len(COLOURS)) - 1, "uint8")
        return Dict((("image", image), ("direction", Discrete(4)), ("mission", words)))

    def reset(self, key: Key) -> tuple[State, Tree]:
        """A level of the bank, drawn uniformly, or a fresh one of a cheap generator."""
        if self.source == "generator" and generators.cheap(self.name):
            state = generators.level(self.name, key)
            return state, self.observe(state)
        levels = self.bank.levels
        number = jax.random.bits(key) % levels.t.shape[0]  # uneven by less than levels / 2^32
        state = jax.tree.map(lambda leaf: leaf[number], levels)
        return state, self.observe(state)

    def reset_if(self, needed: Array, key: Key) -> tuple[State, Tree]:
        """`reset` where `needed`; nothing is done elsewhere."""
        return resets.reset_if(self, needed, key)

    def step(self, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """See `rules`."""
        return self.resolve(state, RULES[self.family.rule].before(state, key), action)

    def resolve(self, before: State, moved: State, action: Array) -> tuple[State, Step]:
        """What an action does after the world has moved by itself, from `before` to `moved`; nothing is drawn."""
        rule, horizon = RULES[self.family.rule], self.task.max_steps
        action = rule.translate(action)
        state, front = act(moved, action)
        pay, terminated = rule.outcome(before, state, action, front)
        reward = jnp.where(pay > 0, 1 - 0.9 * (state.t.astype(jnp.float32) / horizon), pay.astype(jnp.float32))
        info = {"success": pay > 0, "state_id": state_id(state)}
        return state, Step(self.observe(state), reward, terminated, (state.t >= horizon) & ~terminated, info)

    def observe(self, state: State) -> Tree:
        """The observation of a state."""
        if self.view == "full":
            image = view.full(state)
        else:
            codes = view.look(state, self.view_size, self.family.see_through)
            if self.view == "flat":
                return view.flat(codes, state.mission, self.family.mission)
            image = view.onehot(codes) if self.view == "onehot" else view.image(codes)
        return {"image": image, "direction": state.direction, "mission": state.mission}

    def mission(self, state: State) -> str:
        """The mission of ONE state in words, as Farama has it."""
        return say(self.family.mission, np.asarray(state.mission).tolist())

    def frame(self, state: State) -> Array:
        """The whole map, uint8 [16 H, 16 W, 3]; what the agent does not see is darker."""
        return picture.draw(state, self.view_size, self.family.see_through)


def state_id(state: State) -> Array:
    """uint32 [] a hash of map, boxes' contents, pose and hand; not of the step count."""
    cells = state.cells.reshape(-1).astype(jnp.uint32) | np.arange(state.cells.size, dtype=np.uint32) << 16
    pose = [state.x, state.y, state.direction, state.carry]
    others = jnp.stack(pose).astype(jnp.uint32) | np.arange(len(pose), dtype=np.uint32) + state.cells.size << 16
    return mix(jnp.sum(mix(cells), dtype=jnp.uint32) + jnp.sum(mix(others), dtype=jnp.uint32))


def mix(x: Array) -> Array:
    """A bijection of uint32 whose every bit of output depends on all bits of input (murmur3's finaliser)."""
    x = (x ^ x >> 16) * jnp.uint32(0x85EBCA6B)
    x = (x ^ x >> 13) * jnp.uint32(0xC2B2AE35)
    return x ^ x >> 16


def __getattr__(name: str) -> Any:
    """`getattr(module, "DoorKey-8x8-v0")` makes that task: so `envs.ENVS` names all of them."""
    if name in TASKS:
        return partial(MiniGrid, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
