"""The floors under every agent that learns: actions at random, or none at all. Nothing is learned.

A sparse task that pays for chance, or for standing still, is only told from a hard one with these beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp

from prospect_rl.agents.api import Agent, Array, Dict, Inputs, Key, Segment, Segments, Spec, Tree, hyper


@dataclass(frozen=True, kw_only=True)
class Floor(Agent):
    """Random or zero actions."""

    action: Literal["random", "zero"] = "random"
    """random: uniform in the action space at every step; zero: zeros, or the first choice."""
    num_envs: int = hyper(1, least=1)
    """Streams that are played side by side."""
    length: int = hyper(100, least=1)
    """Steps of each stream in an iteration."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs one action space."""
        return "it needs a vector or a choice as action" if isinstance(spec.action, Dict) else None

    @property
    def wants(self) -> Segments:
        """Played like any other agent's, so that budgets compare."""
        return Segments(self.num_envs, self.length)

    def init(self, key: Key) -> Array:
        """The mean action of the newest segment; nothing is made of it."""
        space = self.bound.action
        assert not isinstance(space, Dict)
        return jnp.zeros(space.shape)

    def exploit(self, state: Array) -> Tree:
        """Nothing."""
        return ()

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """See `action`."""
        space = self.bound.action
        assert not isinstance(space, Dict)
        action = space.sample(key)
        return jnp.zeros_like(action) if self.action == "zero" else action, memory, ()

    def learn(self, state: Array, data: Segment, key: Key, phase: int = 0) -> tuple[Array, dict[str, Array]]:
        """Nothing but a look at what was played and paid."""
        played = jnp.mean(data.steps.action.astype(jnp.float32), axis=(0, 1))
        return played, {"learn/reward": jnp.mean(data.steps.reward)}
