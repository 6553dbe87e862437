"""Baselines that do not learn: random actions, or zero actions.

They separate a hard sparse task from one in which random actions or standing still already earn the reward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp

from prospect_rl.agents.api import Agent, Array, Dict, Inputs, Key, Segment, Segments, Spec, Tree, hyper


@dataclass(frozen=True, kw_only=True)
class Floor(Agent):
    """Baseline with random or zero actions, which does not learn."""

    action: Literal["random", "zero"] = "random"
    """Which actions to take: `random` samples uniformly from the action space at every step; `zero` takes zeros, or the
    first discrete action."""
    num_envs: int = hyper(1, least=1, alias="n_envs")
    """Number of copies of the environment that are stepped in parallel."""
    length: int = hyper(100, least=1, alias="n_steps")
    """Number of environment steps of each copy in an iteration."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs a single action space, not a Dict."""
        return "it needs a vector or a discrete action" if isinstance(spec.action, Dict) else None

    @property
    def wants(self) -> Segments:
        """Segments, as for agents that learn, so that budgets compare."""
        return Segments(self.num_envs, self.length)

    def init(self, key: Key) -> Array:
        """The mean action of the last segment, which is unused."""
        space = self.bound.action
        assert not isinstance(space, Dict)
        return jnp.zeros(space.shape)

    def exploit(self, state: Array) -> Tree:
        """An empty behaviour: there is nothing to learn."""
        return ()

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """The action that the field `action` describes."""
        space = self.bound.action
        assert not isinstance(space, Dict)
        action = space.sample(key)
        return jnp.zeros_like(action) if self.action == "zero" else action, memory, ()

    def learn(self, state: Array, data: Segment, key: Key, phase: int = 0) -> tuple[Array, dict[str, Array]]:
        """The mean action and reward of the segment; nothing is learned."""
        played = jnp.mean(data.steps.action.astype(jnp.float32), axis=(0, 1))
        return played, {"learn/reward": jnp.mean(data.steps.reward)}
