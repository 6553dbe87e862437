"""MiniGrid's tasks as environments, e.g. `envs.make("minigrid/DoorKey-8x8-v0", levels=8192)`.

To define your own task, write a subclass that defines `task`, `family`, `id` and `generate`; README.md has an example.
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
    """Levels with leading axis [L], loaded lazily: making an environment without running it costs nothing."""

    def __init__(self, make: Callable[[], State]) -> None:
        """Store `make`, the function that loads or generates the levels."""
        self._make = make

    @cached_property
    def levels(self) -> State:
        """The levels, with leading axis [L]; raises ValueError if they cannot be made."""
        with jax.ensure_compile_time_eval():  # the first access may happen while a program is traced
            return jax.tree.map(jnp.asarray, self._make())

    def number(self, key: Key) -> Array:
        """Return the number [] of a level, drawn uniformly: the bias is below levels / 2^32."""
        return jax.random.bits(key) % self.levels.t.shape[0]

    def tree_flatten(self) -> tuple[tuple[State], None]:
        """Return the levels as the only child, for JAX."""
        return (self.levels,), None

    @classmethod
    def tree_unflatten(cls, aux: None, children: tuple[State]) -> Bank:
        """Rebuild a bank from its levels, for JAX."""
        bank = cls.__new__(cls)
        bank.levels = children[0]
        return bank


@struct.dataclass
class MiniGrid(Env):
    """One of Farama's MiniGrid tasks; each episode starts on a level drawn from a bank.

    Observation: a dict of `image`, uint8; `direction`, int32 [] (0 right, 1 down, 2 left, 3 up); and `mission`, uint8
    [4], ids of the mission's words. The image contains (object, colour, door state) for each cell: [S, S, 3] of the
    S x S cells that the agent sees in front of it (view `partial`, S = `view_size`), [S, S, 20] one-hot (`onehot`), or
    [W, H, 3] of the whole map (`full`). With the view `flat` the observation is one vector, uint8
    [S * S * 3 + 96 * 28]: the partial image, then the mission's characters, one-hot.
    Actions: 0 turn left, 1 turn right, 2 forward, 3 pick up, 4 drop, 5 toggle, 6 done (Dynamic-Obstacles: 0 to 2).
    Reward: 1 - 0.9 t / T on success at step t of at most T, else 0 (Dynamic-Obstacles: -1 for a collision). The table
    in `rules` says for each family what counts as success and what terminates an episode; it is truncated after T
    steps.
    """

    name: str = static("Empty-8x8-v0")
    """Farama's id of the task without `MiniGrid-`."""
    levels: int = static(512, least=1)
    """Number of levels in the bank."""
    first_level: int = static(0, least=0)
    """Seed of the first level in the bank; seeds from 1,000,000 on are held out for evaluation."""
    view: Literal["partial", "full", "onehot", "flat"] = static("partial")
    """Form of the observation: partial, full, onehot or flat."""
    view_size: Literal[3, 5, 7, 9] = static(7)
    """Width and height of the agent's view in cells (3, 5, 7 or 9)."""
    source: Literal["bank", "generator"] = static("bank")
    """Source of the levels: bank (Farama's generators, from seeds) or generator (JAX, fresh levels)."""
    bank: Bank = struct.field(pytree_node=True, default=None)  # type: ignore[assignment]  # made below
    """Bank of levels, filled in when the environment is made."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bank is None:
            if type(self).task is MiniGrid.task and self.name not in TASKS:
                raise unknown("MiniGrid task", self.name, TASKS)
            if self.source == "generator" and not generators.has(self.name):
                raise ValueError(f"{self.id} has no generator; there is one for {', '.join(generators.GENERATORS)}")
            if self.first_level < bank.UNSEEN < self.first_level + self.levels:
                raise ValueError(
                    f"the levels of a bank must all be below {bank.UNSEEN:,} (training) or all from it on (evaluation)"
                )
            object.__setattr__(self, "bank", Bank(partial(self.generate, self.first_level, self.levels)))

    # --- to be overridden by your own tasks ----------------------------------------------------------

    @property
    def task(self) -> Task:
        """The size of the map and the time limit."""
        return TASKS[self.name]

    @property
    def family(self) -> Family:
        """The rule, the mission, whether walls are opaque, and the number of actions."""
        return FAMILIES[self.task.family]

    @property
    def id(self) -> str:
        """The registered id."""
        return f"minigrid/{self.name}"

    def generate(self, first: int, levels: int) -> State:
        """Return levels `first` to `first + levels - 1`, leading axis [levels]; they must not depend on the process."""
        if self.source == "bank":
            return bank.load(self.name, first, levels)
        if generators.cheap(self.name):
            return generators.none(self.name)  # `reset` generates its own levels
        return generators.bank(self.name, jax.random.key(0), levels, first)

    # -------------------------------------------------------------------------------------------------

    def unseen(self) -> MiniGrid:
        """Return this task with the same number of held-out levels, for evaluation."""
        return replace(self, first_level=bank.UNSEEN, bank=None)

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
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
        # in the full view the third channel of the agent's cell is its direction
        last = len(OBJECTS) - 1, len(COLOURS) - 1, 3 if self.view == "full" else 2
        image = Box(shapes[self.view], 0, 1 if self.view == "onehot" else last, "uint8")
        words = Box((SLOTS,), 0, max(len(OBJECTS), len(COLOURS)) - 1, "uint8")
        return Dict((("image", image), ("direction", Discrete(4)), ("mission", words)))

    def reset(self, key: Key) -> tuple[State, Tree]:
        """Start on a level drawn uniformly from the bank, or on a fresh level if its generator is fast."""
        if self.source == "generator" and generators.cheap(self.name):
            state = generators.level(self.name, key)
            return state, self.observe(state)
        number = self.bank.number(key)
        state = jax.tree.map(lambda leaf: leaf[number], self.bank.levels)
        return state, self.observe(state)

    def reset_if(self, needed: Array, key: Key) -> tuple[State, Tree]:
        """Do as `reset` where `needed` [] is True; elsewhere do nothing."""
        return resets.reset_if(self, needed, key)

    def step(self, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """Advance the episode by the family's rule, see `rules`."""
        return self.resolve(state, RULES[self.family.rule].before(state, key), action)

    def resolve(self, before: State, moved: State, action: Array) -> tuple[State, Step]:
        """Apply an action after the world's own move; nothing is random.

        Args:
            before: The state before the step.
            moved: The state after the world's own move (obstacles).
            action: Int32 [].

        Returns:
            (state, Step), as `step`.
        """
        rule, horizon = RULES[self.family.rule], self.task.max_steps
        action = rule.translate(action)
        state, front = act(moved, action)
        pay, terminated = rule.outcome(before, state, action, front)
        reward = jnp.where(pay > 0, 1 - 0.9 * (state.t.astype(jnp.float32) / horizon), pay.astype(jnp.float32))
        info = {"success": pay > 0, "state_id": state_id(state)}
        return state, Step(self.observe(state), reward, terminated, (state.t >= horizon) & ~terminated, info)

    def observe(self, state: State) -> Tree:
        """Return the observation of a state."""
        if self.view == "full":
            image = view.full(state)
        else:
            codes = view.look(state, self.view_size, self.family.see_through)
            if self.view == "flat":
                return view.flat(codes, state.mission, self.family.mission)
            image = view.onehot(codes) if self.view == "onehot" else view.image(codes)
        return {"image": image, "direction": state.direction, "mission": state.mission}

    def mission(self, state: State) -> str:
        """Return the mission of ONE state as text, in Farama's words."""
        return say(self.family.mission, np.asarray(state.mission).tolist())

    def frame(self, state: State) -> Array:
        """Draw the whole map, uint8 [16 H, 16 W, 3]; cells that the agent does not see are darker."""
        return picture.draw(state, self.view_size, self.family.see_through)


def state_id(state: State) -> Array:
    """Return a hash, uint32 [], of map, contents of boxes, pose and carried object, but not of the step count."""
    cells = state.cells.reshape(-1).astype(jnp.uint32) | np.arange(state.cells.size, dtype=np.uint32) << 16
    pose = [state.x, state.y, state.direction, state.carry]
    others = jnp.stack(pose).astype(jnp.uint32) | np.arange(len(pose), dtype=np.uint32) + state.cells.size << 16
    return mix(jnp.sum(mix(cells), dtype=jnp.uint32) + jnp.sum(mix(others), dtype=jnp.uint32))


def mix(x: Array) -> Array:
    """Apply murmur3's finaliser, a bijection of uint32 in which each output bit depends on all input bits."""
    x = (x ^ x >> 16) * jnp.uint32(0x85EBCA6B)
    x = (x ^ x >> 13) * jnp.uint32(0xC2B2AE35)
    return x ^ x >> 16


def __getattr__(name: str) -> Any:
    """Return the factory of a task, e.g. `getattr(module, "DoorKey-8x8-v0")`, as `envs.ENVS` refers to it."""
    if name in TASKS:
        return partial(MiniGrid, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
