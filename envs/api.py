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

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.drawing import Drawing
from prospect_rl.envs.fields import bounds, check
from prospect_rl.envs.spaces import Array, Box, Dict, Discrete, Key, Space, Tree

__all__ = [
    "Actor", "Array", "Batch", "Box", "Dataset", "Dict", "Discrete", "Drawing", "Env", "Episodes", "Inputs", "Key",
    "Segment", "Space", "Spec", "Step", "Transitions", "Tree", "check_goals", "static",
]  # fmt: skip


def static(default: Any, *, later: bool = False, **limits: float) -> Any:
    """Declare a static field of a `flax.struct.dataclass` environment: part of the program, never traced.

    Args:
        default: The default value.
        later: Whether the field was added after results were published (see `envs.fields.bounded`).
        **limits: `above`, `least`, `below`, `most`, checked when the environment is made (see `envs.fields`).

    Returns:
        The field.
    """
    return struct.field(pytree_node=False, default=default, metadata={**bounds(**limits), "later": later})


def check_goals(goals: tuple[tuple[float, float, float], ...]) -> None:
    """Raise ValueError unless there is at least one reward area (x, y, radius) and every radius is above 0."""
    if not goals or min(radius for *_, radius in goals) <= 0:
        raise ValueError(f"goals must be one or more (x, y, radius) with a radius above 0, not {goals}")


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
    (int32 []), `state_id` (uint32 []) and `failed` (bool [], the simulation failed and the episode is truncated); text
    tasks have more (see `envs.text.task`)."""
    descriptor: Box | None = None
    """The space of the behaviour descriptor [d], with finite bounds, over which coverage is measured."""
    areas: int = 0
    """Number of separate reward areas; `info["area"]` is the index of the area that paid, or -1."""
    fixed_length: bool = False
    """Whether every episode lasts exactly `horizon` steps, so that no masks are needed."""
    termination: Callable[..., Array] | None = None
    """The function `termination(obs, action, next_obs)` -> bool [], if it is known (model-based agents need it)."""
    draw: Drawing | None = field(default=None, compare=False, repr=False)
    """How a program draws a state, for agents that learn from pictures; no part of what identifies the environment."""


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
        """Return (action, memory, extras) for one step of one stream; extras are stored for every step: no memory."""
        ...

    def fresh_memory(self, behaviour: Tree, memory: Tree, ended: Array, key: Key) -> Tree:
        """Return the memory for the next step of one stream, equal to a new one where an episode has `ended` [].

        This selection is correct for every actor; override it where a memory can be emptied without a copy.
        """
        return jax.tree.map(lambda new, old: jnp.where(ended, new, old), self.memory(behaviour, key), memory)


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
    """Bool, False on steps after the end of an episode, whose values mean nothing (only with `keep_steps`)."""


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
