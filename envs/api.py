"""The environment interface, and the data that the functions of `envs.rollout` return.

An environment is a set of pure functions: the state goes in and comes out, and no simulator is hidden inside.

    env.spec                          static facts: spaces, time limit, names in `info`
    env.reset(key)            -> (state, obs)
    env.step(state, action, key) -> (state, Step(obs, reward, terminated, truncated, info))

An environment never resets itself. `terminated` and `truncated` are separate flags everywhere, because agents bootstrap
at a time limit but not at a termination. Write an environment for ONE episode: callers use `vmap`.

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
    """Declare a static field of a `flax.struct.dataclass` environment: part of the program, never traced.

    Args:
        default: The default value.
        **limits: `above`, `least`, `below`, `most`, checked when the environment is made (see `envs.fields`).

    Returns:
        The field.
    """
    return struct.field(pytree_node=False, default=default, metadata=bounds(**limits))


def check_goals(goals: tuple[tuple[float, float, float], ...]) -> None:
    """Raise ValueError unless there is at least one reward area (x, y, radius) and every radius is above 0."""
    if not goals or min(radius for *_, radius in goals) <= 0:
        raise ValueError(f"goals must be one or more (x, y, radius) with a radius above 0, not {goals}")


# --- spaces ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """Arrays of numbers. `low` and `high` are one number for all components, or one for each."""

    shape: tuple[int, ...]
    low: float | tuple[float, ...] = -math.inf
    high: float | tuple[float, ...] = math.inf
    dtype: str = "float32"
    outside: str = ""
    """The dtype in gymnasium if it differs (`float64`, `int64`): trained players take and return this dtype."""

    @property
    def size(self) -> int:
        """Total number of components."""
        return math.prod(self.shape)

    def bounds(self, dtype: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high), each [*shape], in `dtype` (default: the space's own).

        Bounds that an integer dtype cannot represent become that dtype's limits.
        """
        kind = np.dtype(dtype or self.dtype)
        low, high = (np.broadcast_to(np.asarray(x, np.float64), self.shape) for x in (self.low, self.high))
        if not np.issubdtype(kind, np.integer):
            with np.errstate(over="ignore"):  # a bound that the dtype cannot represent becomes infinite
                return low.astype(kind), high.astype(kind)
        least, most = np.iinfo(kind).min, np.iinfo(kind).max
        top = float(most) if kind.itemsize < 8 else np.nextafter(float(most), 0)  # largest double within the dtype
        low, high = (np.where(x > top, kind.type(most), np.clip(x, least, top).astype(kind)) for x in (low, high))
        return low, high

    def clipped(self, x: Any, dtype: str = "") -> np.ndarray:
        """Return `x` [..., *shape] in `dtype` (default: the space's own), clipped to the bounds in that dtype."""
        low, high = self.bounds(dtype)
        # clipped twice, because rounding to the dtype may exceed a bound
        return np.asarray(np.clip(np.clip(x, low, high).astype(low.dtype), low, high))

    def sample(self, key: Key) -> Array:
        """Draw a sample [*shape].

        A component with two bounds is uniform between them; with one bound, half-normal from it; without bounds,
        standard normal. Bounds beyond half the range of float32 count as none.
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
        """Return whether `x` has this shape and dtype, contains no NaN and lies within the bounds in that dtype."""
        x, (low, high) = np.asarray(x), self.bounds()
        return x.shape == self.shape and x.dtype == self.dtype and bool(np.all((x >= low) & (x <= high)))


def integers(key: Key, low: np.ndarray, high: np.ndarray) -> Array:
    """Draw uniform integers from `low` to `high`, both included, in their dtype.

    If the range is all of int32, the smallest integer is never drawn.
    """
    dtype, (least, most) = low.dtype, (-(2**31), 2**31 - 1)
    shift = least if dtype == np.uint32 else 0
    first, last = (np.clip(x.astype(np.int64) + shift, least, most) for x in (low, high))
    full = last == most  # the exclusive end of the range is not an int32: draw one less and add 1
    first = np.where(full, np.maximum(first, least + 1) - 1, first)
    drawn = jax.random.randint(key, low.shape, first.astype(np.int32), np.where(full, last, last + 1).astype(np.int32))
    return (drawn + full).astype(dtype) - np.asarray(shift).astype(dtype)


@dataclass(frozen=True)
class Discrete:
    """One of n choices: an int32 from 0 to n - 1 within programs."""

    n: int
    start: int = 0
    """Number of the first choice in gymnasium: trained players take and return numbers from `start` on."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a choice, which is always ()."""
        return ()

    def sample(self, key: Key) -> Array:
        """Draw a uniform sample []."""
        return jax.random.randint(key, (), 0, self.n, jnp.int32)

    def contains(self, x: Any) -> bool:
        """Return whether `x` is an integer scalar from 0 to n - 1."""
        x = np.asarray(x)
        return x.shape == () and np.issubdtype(x.dtype, np.integer) and 0 <= int(x) < self.n


@dataclass(frozen=True)
class Dict:
    """Named spaces; a sample is a dict. Stored as pairs so that a spec is hashable."""

    items: tuple[tuple[str, Space], ...]

    def sample(self, key: Key) -> dict[str, Tree]:
        """Draw one sample of each named space."""
        keys = jax.random.split(key, len(self.items))
        return {name: space.sample(k) for k, (name, space) in zip(keys, self.items, strict=True)}

    def contains(self, x: Any) -> bool:
        """Return whether `x` is a dict with exactly these names and each value is in its space."""
        return (
            isinstance(x, dict)
            and set(x) == {name for name, _ in self.items}
            and all(space.contains(x[name]) for name, space in self.items)
        )


Space = Box | Discrete | Dict


# --- environments ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spec:
    """Static facts about an environment: its spaces, its time limit and what `info` contains."""

    id: str
    """The registered id, e.g. `maze/hard`."""
    obs: Space
    """The space of one observation."""
    action: Space
    """The space of one action."""
    horizon: int
    """Maximum length of an episode in steps."""
    info: tuple[str, ...] = ("success",)
    """Names in `Step.info`. `success` (bool []) is always there; optional are `descriptor` (float32 [d]), `area`
    (int32 []), `state_id` (uint32 []) and `failed` (bool [], the simulation failed and the episode is truncated)."""
    descriptor: Box | None = None
    """The space of the behaviour descriptor [d], with finite bounds, over which coverage is measured."""
    areas: int = 0
    """Number of separate reward areas; `info["area"]` is the index of the area that paid, or -1."""
    fixed_length: bool = False
    """Whether every episode lasts exactly `horizon` steps, so that no masks are needed."""
    termination: Callable[..., Array] | None = None
    """The function `termination(obs, action, next_obs)` -> bool [], if it is known (model-based agents need it)."""


@struct.dataclass
class Step:
    """The result of one step of one episode."""

    obs: Tree
    """The observation after the step, in `Spec.obs`, also after the last step of an episode."""
    reward: Array
    """Float32 [] reward of the step."""
    terminated: Array
    """Bool [] whether the task has ended; do not bootstrap."""
    truncated: Array
    """Bool [] whether the episode was cut off, e.g. by the time limit; bootstrap from `obs`."""
    info: dict[str, Array]
    """The values named in `Spec.info`."""


class Env:
    """Base class of the environments in this package; any object with `spec`, `reset` and `step` also works.

    Make a subclass a `flax.struct.dataclass`: its array fields (banks of levels, look-up tables) are then arguments of
    compiled programs rather than constants inside them; declare all other fields with `static`. A subclass that
    defines `__post_init__` must call this one first.
    """

    spec: Spec

    def __post_init__(self) -> None:
        check(self)

    def reset(self, key: Key) -> tuple[Tree, Tree]:
        """Start an episode.

        Args:
            key: PRNG key for everything random in the start.

        Returns:
            (state, obs): a pytree of arrays, and an observation in `spec.obs`.
        """
        raise NotImplementedError

    def step(self, state: Tree, action: Array, key: Key) -> tuple[Tree, Step]:
        """Advance an episode by one step. The result is undefined after the episode has ended: call `reset`.

        Args:
            state: The state that `reset` or `step` returned.
            action: An action in `spec.action`: int32 [] if that is `Discrete`, float32 [*shape] if it is a `Box`.
            key: PRNG key for everything random in the step.

        Returns:
            (state, Step): the next state, and the observation, reward, flags and info of the step.
        """
        raise NotImplementedError

    def reset_if(self, needed: Array, key: Key) -> tuple[Tree, Tree]:
        """Do as `reset` where `needed` (bool []) is True; an expensive environment may skip the work elsewhere."""
        return self.reset(key)

    def step_if(self, live: Array, state: Tree, action: Array, key: Key) -> tuple[Tree, Step]:
        """Do as `step` where `live` (bool []) is True; an expensive environment may skip the work elsewhere."""
        return self.step(state, action, key)

    def unseen(self) -> Env | None:
        """Return the same task with held-out levels for evaluation; None if it has no bank of levels."""
        return None

    def failure(self) -> str:
        """Return a human-readable message about the last failed simulation, or an empty string."""
        return ""

    def frame(self, state: Tree) -> Array:
        """Draw a state.

        Args:
            state: The state of ONE episode.

        Returns:
            A picture, uint8 [height, width, 3] (RGB, in pixels).

        Raises:
            NotImplementedError: If the environment cannot be rendered.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be rendered")


# --- data exchanged between rollouts and agents ------------------------------------------------------


@struct.dataclass
class Inputs:
    """The inputs of an agent when it chooses an action: ONE step of ONE stream."""

    obs: Tree
    """The current observation, in `Spec.obs`."""
    action: Array
    """The previous action; zeros at the start of an episode."""
    reward: Array
    """Float32 [] previous reward; 0 at the start of an episode."""
    first: Array
    """Bool [] whether this is the first step of an episode."""


class Actor(Protocol):
    """The methods of an agent that rollouts call (see `agents.api.Agent`)."""

    def memory(self, behaviour: Tree, key: Key) -> Tree:
        """Return the agent's memory (recurrent state) at the start of an episode."""
        ...

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """Return (action, memory, extras) for one step of one stream."""
        ...


@struct.dataclass
class Transitions:
    """Steps in time order, with leading axes [T, N] (segments) or [T, P, E] (episodes with `keep_steps`)."""

    inputs: Inputs
    """The inputs of the agent, observations included."""
    action: Array
    """The actions that were taken."""
    extras: Tree
    """Further outputs of `act`, e.g. log-probabilities and values."""
    reward: Array
    """Float32 rewards of the steps."""
    terminated: Array
    """Bool, whether the task ended at this step."""
    truncated: Array
    """Bool, whether the episode was cut off at this step."""
    next_obs: Tree
    """The observations after the steps, before any reset."""
    info: dict[str, Array]
    """The values named in `Spec.info`."""
    live: Array
    """Bool, False on steps after the end of an episode (only with `keep_steps`)."""


@struct.dataclass
class Segment:
    """The result of `envs.rollout.segments`: T steps of N streams."""

    memory: Tree
    """The agent's memory before step 0, with leading axis [N]."""
    steps: Transitions
    """The steps, with leading axes [T, N]."""


@struct.dataclass
class Episodes:
    """The result of `envs.rollout.episodes`: E whole episodes of each of P policies."""

    behaviour: Tree
    """The policies, with leading axis [P] (no leading axis if all share one policy)."""
    active: Array
    """[P] bool, the policies that count; all others are padding and their results are meaningless."""
    returns: Array
    """[P, E] float32 sums of the rewards of each episode."""
    length: Array
    """[P, E] int32 lengths of the episodes in steps."""
    info: dict[str, Array]
    """[P, E, ...] the info of the last step of each episode."""
    frames: Tree = None
    """[P, E, frames, ...] environment states at evenly spaced steps; None unless requested."""
    steps: Transitions | None = None
    """[T, P, E, ...] all steps; None unless requested."""

    @property
    def fitness(self) -> Array:
        """[P] mean return over each policy's episodes; -inf if it is not finite, so that no NaN enters an archive."""
        mean = self.returns.mean(axis=1)
        return jnp.where(jnp.isfinite(mean), mean, -jnp.inf)

    @property
    def descriptor(self) -> Array:
        """[P, d] mean behaviour descriptor over each policy's episodes."""
        return self.info["descriptor"].mean(axis=1)

    @property
    def area(self) -> Array:
        """[P] index of the reward area that paid in the first episode of each policy, or -1."""
        return self.info["area"][:, 0]


@struct.dataclass
class Dataset:
    """Offline data: M rows (steps) in time order, one episode after another."""

    rows: dict[str, Tree]
    """[M, ...] arrays by name: obs, action, reward (float32), terminated and truncated (bool), next_obs and any others.
    obs and next_obs are pytrees if the environment's observations are."""
    firsts: Array
    """[episodes] int32 index of the first row of each episode."""
    facts: dict[str, Array] = struct.field(default_factory=dict)
    """Statistics of the whole data: from a recipe, for the card; from an agent's `prepare`, for its own use."""


@struct.dataclass
class Batch:
    """The result of `envs.rollout.batches`: U batches of B rows (or windows of L rows)."""

    rows: dict[str, Tree]
    """[U, B, ...] rows, or [U, B, L, ...] windows."""
    valid: Array
    """[U, B] or [U, B, L] bool, False where a window extends past the end of its episode."""
    starts: dict[str, Tree] | None = None
    """[U, S, ...] first rows of episodes; None unless requested."""
    facts: dict[str, Array] = struct.field(default_factory=dict)
    """The `facts` of the dataset."""
