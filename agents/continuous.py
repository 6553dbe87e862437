"""The base of agents with bounded real actions, and the methods that such an agent defines.

An algorithm is `begin`, `actor_of`, `policy` and `update`. It learns from a replay buffer that fills while it acts
(`agents.online.off_policy`) or from a dataset (`agents.offline.base`) and does not depend on the source of its batches.

Shapes: B rows of a batch, O observation and A action components.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Agent, Array, Box, Key, Spec, Tree, hyper, not_bounded_vector
from prospect_rl.agents.ship.portable import Policy
from prospect_rl.agents.ship.to_numpy import feed_forward, layers_of

Figures = dict[str, Array]
"""Metrics of an update, each a scalar []."""


@dataclass(frozen=True, kw_only=True)
class Continuous(Agent):
    """Base of the agents with bounded real actions, which the networks see in [-1, 1]."""

    hidden: tuple[int, ...] = hyper((256, 256), least=1)
    """Number of neurons in each hidden layer of every network."""
    gamma: float = hyper(0.99, least=0, below=1, traced=True)
    """Discount factor of future rewards, for each step."""
    batch_size: int = hyper(256, least=1)
    """Number of transitions in the batch of a gradient step (B)."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs one array of numbers as observation, and bounded real actions."""
        if not isinstance(spec.obs, Box):
            return "it needs one array of numbers as observation"
        return not_bounded_vector(spec.action)

    @property
    def sizes(self) -> tuple[int, int]:
        """(O, A): the numbers of observation and action components."""
        obs, action = self.bound.obs, self.bound.action
        assert isinstance(obs, Box) and isinstance(action, Box)
        return obs.size, action.size

    def within_bounds(self, chosen: Array) -> Array:
        """Actions [..., A] in [-1, 1] as the environment wants them."""
        space = self.bound.action
        assert isinstance(space, Box)
        return space.scale(chosen)

    def to_numpy(self, behaviour: Tree) -> Policy:
        """The layers of the policy's network."""
        layers, last = layers_of(self, self.actor_network, behaviour.actor), "tanh" if self.squashed else "none"
        return feed_forward(self, layers, last=last, arrays=self.centring(behaviour))

    def centring(self, behaviour: Tree) -> dict[str, Array]:
        """`mean` and `std`, shaped as observations, by which these are normalised: none, here."""
        return {}

    # --- defined by each algorithm -------------------------------------------------------------------

    @property
    def actor_network(self) -> nn.Module:
        """The policy's network: [..., O] -> what it makes an action of, [..., A] first."""
        raise NotImplementedError

    @property
    def squashed(self) -> bool:
        """Whether a greedy action is the tanh of what the network gives, rather than that, cut."""
        return True

    def begin(self, key: Key) -> Tree:
        """The initial learner: networks, target networks, optimiser states."""
        raise NotImplementedError

    def actor_of(self, learner: Tree) -> Tree:
        """The policy's weights, taken from the learner."""
        return learner.actor

    def policy(self, actor: Tree, obs: Array, noise: Array, key: Key) -> Array:
        """The action [A] in [-1, 1] for ONE observation [O]; greedy where `noise` [] is 0."""
        raise NotImplementedError

    def update(self, learner: Tree, batch: Any, key: Key) -> tuple[Tree, Figures]:
        """One gradient step on a batch (an `Experience`, leading [B]): (learner, metrics)."""
        raise NotImplementedError


def flat(obs: Array, lead: int) -> Array:
    """Observations as float32 vectors [..., O], after `lead` leading axes."""
    return obs.reshape(*obs.shape[:lead], -1).astype(jnp.float32)


def apply_if(condition: Array, f: Callable[[Tree], Tree], x: Tree) -> Tree:
    """`f(x)` where `condition` [] holds, else x. A loop with 0 or 1 iterations: unlike `cond`, it copies nothing."""
    return jax.lax.fori_loop(0, condition.astype(jnp.int32), lambda _, y: f(y), x)
