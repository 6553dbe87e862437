"""The base of off-policy agents: streams, replay buffer, warm-up and rounds of updates.

    take `train_every` steps of each stream (with random actions in the first `learning_starts` steps), store them
    after the warm-up: `updates_per_step` gradient steps for each env step, each on its own batch

Shapes: B rows of a batch, N streams, T steps of a segment, O observation and A action components.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array, Inputs, Key, Segment, Segments, Tree, hyper
from prospect_rl.agents.continuous import Continuous, flat
from prospect_rl.agents.ops import replay as replays
from prospect_rl.agents.ops.replay import Experience, Replay

fold_in = jax.random.fold_in


@struct.dataclass
class Behaviour:
    """Policy weights and how to explore with them."""

    actor: Tree
    """Weights of the policy network."""
    noise: Array
    """[] scale of the policy's noise; 0 is greedy."""
    random: Array
    """[] bool whether to sample actions uniformly instead."""


@struct.dataclass
class State:
    """The learner, the replay buffer and a step counter."""

    learner: Tree
    """Networks and optimiser states of the algorithm."""
    replay: Replay
    """Replay buffer of the newest transitions."""
    steps: Array
    """[] int32 number of environment steps so far."""


@dataclass(frozen=True, kw_only=True)
class OffPolicy(Continuous):
    """Base of the off-policy agents: an algorithm (see `Continuous`) and the `noise` it explores with."""

    capacity: int = hyper(1_000_000, least=1, alias="buffer_size")
    """Number of transitions that the replay buffer holds; newer ones overwrite the oldest."""
    learning_starts: int = hyper(25_000, least=0)
    """Number of environment steps with uniformly random actions before learning begins."""
    num_envs: int = hyper(1, least=1, alias="n_envs")
    """Number of copies of the environment that are stepped in parallel (N)."""
    train_every: int = hyper(1, least=1, alias="train_freq")
    """Number of steps in each copy of the environment between two rounds of updates (T)."""
    updates_per_step: float = hyper(1.0, above=0)
    """Number of gradient steps for each environment step; N * T times this must be a whole number."""

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = self.num_envs * self.train_every
        if self.updates < 1 or abs(self.updates - steps * self.updates_per_step) > 1e-6:
            raise ValueError(
                f"updates_per_step {self.updates_per_step:g} of {steps} steps (num_envs * train_every)"
                " is not a whole number of updates"
            )
        if steps > self.capacity:
            raise ValueError(
                f"capacity {self.capacity} is less than the {steps} steps (num_envs * train_every) of a round"
            )

    @property
    def wants(self) -> Segments:
        """T steps of N streams."""
        return Segments(self.num_envs, self.train_every)

    @property
    def least_budget(self) -> int:
        """The steps of the warm-up and of the first round of updates."""
        played = self.num_envs * self.train_every
        return -(-self.learning_starts // played) * played + played

    @property
    def updates(self) -> int:
        """Number of gradient steps in a round."""
        return round(self.num_envs * self.train_every * self.updates_per_step)

    @property
    def noise(self) -> float:
        """Scale of the policy's noise while it explores."""
        raise NotImplementedError

    def init(self, key: Key) -> State:
        """An untrained learner and an empty replay buffer."""
        return State(self.begin(key), replays.empty(self.capacity, *self.sizes), jnp.int32(0))

    def explore(self, state: State, key: Key, phase: int = 0) -> tuple[Behaviour, Array]:
        """Random actions during the warm-up, then the policy with its noise."""
        warming = state.steps < self.learning_starts
        return Behaviour(self.actor_of(state.learner), jnp.float32(self.noise), warming), jnp.ones((), bool)

    def exploit(self, state: State) -> Behaviour:
        """The greedy policy, without noise."""
        return Behaviour(self.actor_of(state.learner), jnp.float32(0), jnp.zeros((), bool))

    def act(self, behaviour: Behaviour, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Array]:
        """The action within the environment's bounds; extras: the same action in [-1, 1], as the networks see it."""
        k_policy, k_random = fold_in(key, 0), fold_in(key, 1)
        chosen = self.policy(behaviour.actor, flat(inputs.obs, 0), behaviour.noise, k_policy)
        chosen = jnp.where(behaviour.random, jax.random.uniform(k_random, chosen.shape, minval=-1, maxval=1), chosen)
        return self.within_bounds(chosen), memory, chosen

    def learn(self, state: State, data: Segment, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """Store T * N transitions; after the warm-up run a round of updates. Metrics are those of the last update.

        During the warm-up all metrics are 0. The number of updates is the trip count of a loop: a `cond` around
        them would copy the replay buffer.
        """
        replay = replays.add(state.replay, experience_of(data))
        count = jnp.where(state.steps >= self.learning_starts, self.updates, 0)
        sample = partial(replays.sample, replay, size=self.batch_size)
        learner, figures = self.improve(state.learner, sample, count, key)
        steps = state.steps + self.num_envs * self.train_every
        return State(learner, replay, steps), figures | {"replay/size": replay.count}

    def improve(
        self, learner: Tree, sample: Callable[[Key], Experience], count: Array, key: Key
    ) -> tuple[Tree, dict[str, Array]]:
        """`count` [] updates, each on a batch drawn by `sample`: (learner, metrics of the last one, or zeros)."""

        def one(i: Array, carry: tuple[Tree, dict[str, Array]]) -> tuple[Tree, dict[str, Array]]:
            k_sample, k_update = jax.random.split(fold_in(key, i))
            return self.update(carry[0], sample(k_sample), k_update)

        _, shapes = jax.eval_shape(one, jnp.int32(0), (learner, {}))
        return jax.lax.fori_loop(0, count, one, (learner, zeros_like(shapes)))


def experience_of(data: Segment) -> Experience:
    """The transitions of a segment [T, N] as rows [T * N], oldest first; truncation does not count as `terminated`."""
    steps = data.steps
    pair = Experience(
        flat(steps.inputs.obs, 2), steps.extras, steps.reward, steps.terminated.astype(jnp.float32),
        flat(steps.next_obs, 2),
    )  # fmt: skip
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), pair)


def zeros_like(shapes: Tree) -> Tree:
    """Zeros with the shapes and types of a tree, which may come from `jax.eval_shape`."""
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
