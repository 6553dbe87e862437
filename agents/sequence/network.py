"""The network of agents that clone whole episodes: what is looked at as tokens, a trunk, and a head. For ONE stream.

Shapes: L steps of a segment, G tokens a step, D width, A choices or components.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Discrete, Key, Tree
from prospect_rl.agents.nn.encoder import Encoder
from prospect_rl.agents.nn.trunk import Trunk
from prospect_rl.agents.sequence.attention import Dense


class Network(nn.Module):
    """See the head of this file; the trunk's methods are called through it."""

    obs: Any
    """Space of observations."""
    action: Any
    """Space of actions."""
    looks: tuple[str, ...]
    """What makes a token each: "obs", "action" (the one before), "return" (still to come)."""
    trunk: Trunk

    def setup(self) -> None:
        """The parts."""
        self.encoder = Encoder(self.obs)
        self.embed_of = {name: Dense(self.trunk.width) for name in self.looks}
        discrete = isinstance(self.action, Discrete)
        self.out = Dense(self.action.n if discrete else self.action.size, use_bias=not discrete)

    def embed(self, seen: dict[str, Tree]) -> Array:
        """The tokens [G, D] of ONE step."""
        return jnp.stack([self.embed_of[name](self.vector(name, seen)) for name in self.looks])

    def vector(self, name: str, seen: dict[str, Tree]) -> Array:
        """What is looked at, as a vector; an action that was never taken is a vector of zeros."""
        if name == "obs":
            return self.encoder(seen["obs"])
        if name == "return":
            return seen["return"][None]
        discrete = isinstance(self.action, Discrete)
        action = jax.nn.one_hot(seen["action"], self.action.n) if discrete else seen["action"]
        return jnp.where(seen["first"], 0.0, action)

    def head(self, features: Array) -> Array:
        """[..., A] logits, or the action before its tanh."""
        return self.out(features)

    def segment(self, *x: Any) -> tuple[Array, Tree]:
        """See `Trunk`."""
        return self.trunk.segment(*x)

    def start(self, key: Key) -> Tree:
        """See `Trunk`."""
        return self.trunk.start(key)

    def open(self, key: Key) -> Tree:
        """See `Trunk`."""
        return self.trunk.open(key)

    def step(self, memory: Tree, token: Array) -> tuple[Array, Tree]:
        """See `Trunk`."""
        return self.trunk.step(memory, token)

    def turn(self, window: Tree, held: Tree) -> Tree:
        """See `Trunk`."""
        return self.trunk.turn(window, held)

    def __call__(self, seen: dict[str, Tree], key: Key) -> Array:
        """Touches every weight: outputs [L, A] of a segment that repeats ONE step."""
        tokens = jnp.broadcast_to(self.embed(seen), (self.trunk.context, len(self.looks), self.trunk.width))
        return self.head(self.segment(self.start(key), tokens)[0])
