"""What agents share that act by vectors of bounded real numbers, and what such a method gives.

A method is `begin`, `actor_of`, `policy` and `update`. It is fed from a replay that fills while it plays
(`agents.online.off_policy`) or from a dataset (`agents.offline.base`) and does not know where its batches come from.

Shapes: B rows of a batch, O observation and A action components.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.api import Agent, Array, Box, Key, Spec, Tree, hyper, not_bounded_vector

Figures = dict[str, Array]
"""Metrics of an update, each []."""


@dataclass(frozen=True, kw_only=True)
class Continuous(Agent):
    """Base of the agents with bounded real actions, which networks see in [-1, 1]."""

    hidden: tuple[int, ...] = hyper((256, 256), least=1)
    """Number of neurons in each hidden layer of every network."""
    gamma: float = hyper(0.99, least=0, below=1)
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
        """(O, A)."""
        obs, action = self.bound.obs, self.bound.action
        assert isinstance(obs, Box) and isinstance(action, Box)
        return obs.size, action.size

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(least, most) float32 [A] of each component of an action."""
        space = self.bound.action
        assert isinstance(space, Box)
        low, high = (np.broadcast_to(np.asarray(x, np.float32), space.shape) for x in (space.low, space.high))
        return low, high

    def within_bounds(self, chosen: Array) -> Array:
        """Actions [..., A] in [-1, 1] as the environment wants them."""
        low, high = self.bounds
        # rounding must not carry an action past its bounds
        return jnp.clip((low + high) / 2 + (high - low) / 2 * chosen, low, high)

    # --- what a method gives -------------------------------------------------------------------------

    def begin(self, key: Key) -> Tree:
        """The learner: networks, targets, optimisers."""
        raise NotImplementedError

    def actor_of(self, learner: Tree) -> Tree:
        """The policy's weights."""
        return learner.actor

    def policy(self, actor: Tree, obs: Array, noise: Array, key: Key) -> Array:
        """The action [A] in [-1, 1] for ONE observation [O]; greedy where `noise` [] is 0."""
        raise NotImplementedError

    def update(self, learner: Tree, batch: Any, key: Key) -> tuple[Tree, Figures]:
        """One gradient step on a batch (an `Experience`, leading [B]): (learner, figures)."""
        raise NotImplementedError


def flat(obs: Array, lead: int) -> Array:
    """Observations as float32 vectors [..., O], behind `lead` axes."""
    return obs.reshape(*obs.shape[:lead], -1).astype(jnp.float32)


def when(condition: Array, f: Callable[[Tree], Tree], x: Tree) -> Tree:
    """`f(x)` where `condition` [] holds, else x. A loop of one trip or none: unlike a `cond`, it copies nothing."""
    return jax.lax.fori_loop(0, condition.astype(jnp.int32), lambda _, y: f(y), x)
