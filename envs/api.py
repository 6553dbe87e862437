"""What an environment is, and what the kernels of `envs.rollout` deliver.

An environment is a pure function: state in, state out, no hidden simulator.

    env.spec                          what an agent must know before the first step (static)
    env.reset(key)            -> (state, obs)
    env.step(state, action, key) -> (state, Step(obs, reward, terminated, truncated, info))

It never resets by itself; `terminated` and `truncated` are two flags everywhere, because a time limit is
bootstrapped and a termination is not. Write an environment for ONE episode: callers `vmap`.

Shapes: T steps, N streams, P policies, E episodes of each policy. `[...]` in a docstring is a shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.fields import bounds, check

Array = jax.Array
Key = jax.Array
Tree = Any
"""A pytree of arrays."""


def static(default: Any, **limits: float) -> Any:
    """A field of a `flax.struct.dataclass` environment that shapes the program (never traced).

    limits: `above`, `least`, `below`, `most`, checked when the environment is made (see `envs.fields`).
    """
    return struct.field(pytree_node=False, default=default, metadata=bounds(**limits))


def check_goals(goals: tuple[tuple[float, float, float], ...]) -> None:
    """Raise ValueError unless there is a reward area (x, y, radius), and each has a radius above 0."""
    if not goals or min(radius for *_, radius in goals) <= 0:
        raise ValueError(f"goals must be one or more (x, y, radius) with a radius above 0, not {goals}")


# --- spaces ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """Real vectors. `low` and `high` are one number for all components, or one each."""

    shape: tuple[int, ...]
    low: float | tuple[float, ...] = -math.inf
    high: float | tuple[float, ...] = math.inf
    dtype: str = "float32"
    outside: str = ""
    """Its type in gymnasium, where that is another one (`float64`, `int64`): what players take and give."""

    @property
    def size(self) -> int:
        """Number of components."""
        return math.prod(self.shape)

    def bounds(self, dtype: str = "") -> tuple[np.ndarray, np.ndarray]:
        """(low, high) [*shape] in a type (default: its own); an integer type's own limits where it cannot hold them."""
        kind = np.dtype(dtype or self.dtype)
        low, high = (np.broadcast_to(np.asarray(x, np.float64), self.shape) for x in (self.low, self.high))
        if not np.issubdtype(kind, np.integer):
            with np.errstate(over="ignore"):  # what a type cannot hold is no bound in it
                return low.astype(kind), high.astype(kind)
        least, most = np.iinfo(kind).min, np.iinfo(kind).max
        top = float(most) if kind.itemsize < 8 else np.nextafter(float(most), 0)  # what a double holds of it
        low, high = (np.where(x > top, kind.type(most), np.clip(x, least, top).astype(kind)) for x in (low, high))
        return low, high

    def clipped(self, x: Any, dtype: str = "") -> np.ndarray:
        """Numbers [..., *shape] in a type (default: its own), within the bounds as that type has them."""
        low, high = self.bounds(dtype)
        return np.asarray(np.clip(np.clip(x, low, high).astype(low.dtype), low, high))  # rounding may carry beyond

    def sample(self, key: Key) -> Array:
        """A sample [*shape]: uniform within the bounds of a component, half of a normal one beyond its only bound.

        Components without bounds are standard normal; so is what float32 cannot tell from one without.
        """
        low, high = self.bounds()
        if np.issubdtype(low.dtype, np.integer):
            return integers(key, low, high)
        wide = np.finfo(np.float32).max / 2
        below, above = low > -wide, high < wide
        if np.all(below & above):
            return jax.random.uniform(key, self.shape, self.dtype, low, high)
        free = jax.random.normal(key, self.shape, self.dtype)
        least, most = (np.where(ends, bound, 0).astype(self.dtype) for ends, bound in ((below, low), (above, high)))
        half = jnp.where(below, least + jnp.abs(free), jnp.where(above, most - jnp.abs(free), free))
        return jnp.where(below & above, jax.random.uniform(key, self.shape, self.dtype, least, most), half)

    def contains(self, x: Any) -> bool:
        """Whether `x` has this shape and dtype, holds no NaN, and lies within the bounds, in its own precision."""
        x, (low, high) = np.asarray(x), self.bounds()
        return x.shape == self.shape and x.dtype == self.dtype and bool(np.all((x >= low) & (x <= high)))


def integers(key: Key, low: np.ndarray, high: np.ndarray) -> Array:
    """Uniform integers from `low` to `high`, both among them, in their type (of all of int32 but the least one)."""
    dtype, (least, most) = low.dtype, (-(2**31), 2**31 - 1)
    shift = least if dtype == np.uint32 else 0
    first, last = (np.clip(x.astype(np.int64) + shift, least, most) for x in (low, high))
    full = last == most  # the end of the range is no int32: draw one less and add it
    first = np.where(full, np.maximum(first, least + 1) - 1, first)
    drawn = jax.random.randint(key, low.shape, first.astype(np.int32), np.where(full, last, last + 1).astype(np.int32))
    return (drawn + full).astype(dtype) - np.asarray(shift).astype(dtype)


@dataclass(frozen=True)
class Discrete:
    """One of n choices: within programs an integer from 0 to n - 1, as int32."""

    n: int
    start: int = 0
    """What the first one is called in gymnasium: players take and give the numbers from `start` on."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Always ()."""
        return ()

    def sample(self, key: Key) -> Array:
        """A uniform sample []."""
        return jax.random.randint(key, (), 0, self.n, jnp.int32)

    def contains(self, x: Any) -> bool:
        """Whether `x` is an integer scalar from 0 to n - 1."""
        x = np.asarray(x)
        return x.shape == () and np.issubdtype(x.dtype, np.integer) and 0 <= int(x) < self.n


@dataclass(frozen=True)
class Dict:
    """Named spaces: a sample is a dict. Kept as pairs, so that a spec can be hashed."""

    items: tuple[tuple[str, Space], ...]

    def sample(self, key: Key) -> dict[str, Tree]:
        """One sample of each part."""
        keys = jax.random.split(key, len(self.items))
        return {name: space.sample(k) for k, (name, space) in zip(keys, self.items, strict=True)}

    def contains(self, x: Any) -> bool:
        """Whether `x` is a dict with just these names, each in its space."""
        return (
            isinstance(x, dict)
            and set(x) == {name for name, _ in self.items}
            and all(space.contains(x[name]) for name, space in self.items)
        )


Space = Box | Discrete | Dict


# --- environments ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spec:
    """What an agent must know of an environment before its first step."""

    id: str
    """The registered name, e.g. `maze/hard`."""
    obs: Space
    action: Space
    horizon: int
    """No episode is longer (steps)."""
    info: tuple[str, ...] = ("success",)
    """Names in `Step.info`: `success` always; `descriptor` [d], `area` [] and `state_id` [] where there is one, and
    `failed` [] where a simulator can break down (the episode is then truncated)."""
    descriptor: Box | None = None
    """The space of the behaviour descriptor [d], with finite bounds (its grid measures coverage)."""
    areas: int = 0
    """Number of separate reward areas; `info["area"]` is -1 or the index of the one that paid."""
    fixed_length: bool = False
    """Every episode lasts exactly `horizon` steps: kernels then need no masks."""
    termination: Callable[..., Array] | None = None
    """`termination(obs, action, next_obs)` where it is a known function (model-based agents need it)."""


@struct.dataclass
class Step:
    """What one step gives; all leaves belong to one episode."""

    obs: Tree
    """The true successor observation, also at an end."""
    reward: Array
    terminated: Array
    truncated: Array
    info: dict[str, Array]


class Env:
    """Base of the environments of this package; any object with `spec`, `reset` and `step` will do.

    Make a subclass a `flax.struct.dataclass`: its array fields (banks of levels, look-up tables) are then
    arguments of compiled programs rather than constants inside them; mark the others `static`. A subclass with a
    `__post_init__` of its own calls this one first.
    """

    spec: Spec

    def __post_init__(self) -> None:
        check(self)

    def reset(self, key: Key) -> tuple[Tree, Tree]:
        """The first (state, obs) of an episode."""
        raise NotImplementedError

    def step(self, state: Tree, action: Array, key: Key) -> tuple[Tree, Step]:
        """The next (state, Step). Undefined after an end: call `reset`."""
        raise NotImplementedError

    def reset_if(self, needed: Array, key: Key) -> tuple[Tree, Tree]:
        """`reset`, whose result is used only where `needed` [] holds: an expensive one may do nothing elsewhere."""
        return self.reset(key)

    def step_if(self, live: Array, state: Tree, action: Array, key: Key) -> tuple[Tree, Step]:
        """`step`, whose result is looked at only where `live` [] holds."""
        return self.step(state, action, key)

    def unseen(self) -> Env | None:
        """The same task on levels that no training meets, where it draws its episodes from a bank of levels."""
        return None

    def failure(self) -> str:
        """What a simulator said of the last episode that failed; for people."""
        return ""

    def frame(self, state: Tree) -> Array:
        """A picture of `state`, uint8 [height, width, 3]; NotImplementedError where there is none."""
        raise NotImplementedError(f"{type(self).__name__} draws no pictures")


# --- what the kernels exchange with agents -----------------------------------------------------------


@struct.dataclass
class Inputs:
    """What an agent may look at when it acts: ONE step of ONE stream."""

    obs: Tree
    action: Array
    """The action before this one; zeros at the start of an episode."""
    reward: Array
    """The reward before this step; 0 at the start of an episode."""
    first: Array
    """Whether this is the first step of an episode."""


class Actor(Protocol):
    """The part of an agent that kernels call (see `agents.api.Agent`)."""

    def memory(self, behaviour: Tree, key: Key) -> Tree:
        """What the agent remembers at the start of an episode."""
        ...

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """(action, memory, extras) for one step of one stream."""
        ...


@struct.dataclass
class Transitions:
    """Steps in time order, leading [T, N] (segments) or [T, P, E] (kept steps of rollouts)."""

    inputs: Inputs
    action: Array
    extras: Tree
    """What `act` gave beside the action (log-probabilities, values)."""
    reward: Array
    terminated: Array
    truncated: Array
    next_obs: Tree
    """The true successor, before any reset."""
    info: dict[str, Array]
    live: Array
    """False on steps after the end of an episode (kept steps of rollouts only)."""


@struct.dataclass
class Segment:
    """What the kernel `segments` delivers: T steps of N streams."""

    memory: Tree
    """The memory as it stood before step 0, leading [N]."""
    steps: Transitions


@struct.dataclass
class Episodes:
    """What the kernel `episodes` delivers: E whole episodes of each of P policies."""

    behaviour: Tree
    """Leading [P] (none where one policy is shared by all)."""
    active: Array
    """[P] members that count; the rest is padding and its figures mean nothing."""
    returns: Array
    """[P, E] sum of rewards."""
    length: Array
    """[P, E] int32 steps."""
    info: dict[str, Array]
    """[P, E, ...] the info of the last live step."""
    frames: Tree = None
    """[P, E, frames, ...] env states at evenly spaced steps, where asked for."""
    steps: Transitions | None = None
    """[T, P, E, ...] all steps, where asked for."""

    @property
    def fitness(self) -> Array:
        """[P] mean return over a policy's episodes, -inf where it is not finite (no NaN may enter an archive)."""
        mean = self.returns.mean(axis=1)
        return jnp.where(jnp.isfinite(mean), mean, -jnp.inf)

    @property
    def descriptor(self) -> Array:
        """[P, d] mean behaviour descriptor over a policy's episodes."""
        return self.info["descriptor"].mean(axis=1)

    @property
    def area(self) -> Array:
        """[P] the area that paid in the first episode of each policy, or -1."""
        return self.info["area"][:, 0]


@struct.dataclass
class Dataset:
    """Offline data: rows in time order, episode after episode."""

    rows: dict[str, Tree]
    """[M, ...]: obs, action, reward, terminated, truncated, next_obs and what else there is; obs and next_obs are
    pytrees where the environment's are."""
    firsts: Array
    """[episodes] int32 index of the first row of each episode."""
    facts: dict[str, Array] = struct.field(default_factory=dict)
    """What was found out about the rows as a whole: by a recipe, for the card; by an agent's `prepare`, for itself."""


@struct.dataclass
class Batch:
    """What the kernel `batches` delivers: U batches of B rows (or windows of L rows)."""

    rows: dict[str, Tree]
    """[U, B, ...] or [U, B, L, ...]"""
    valid: Array
    """[U, B] or [U, B, L]: False where a window has run past the end of its episode."""
    starts: dict[str, Tree] | None = None
    """[U, S, ...] first rows of episodes, where asked for."""
    facts: dict[str, Array] = struct.field(default_factory=dict)
    """Those of the dataset."""
