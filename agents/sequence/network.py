"""The network of agents that clone whole episodes: inputs as tokens, a trunk, and a head; for ONE stream.

Shapes: L steps of a segment, G tokens per step, D width, A discrete actions or components.
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
    """Token embedding, trunk and head (see the module's docstring); the trunk's methods are called through it."""

    obs: Any
    """Space of the observations."""
    action: Any
    """Space of the actions."""
    token_names: tuple[str, ...]
    """Inputs that become a token each: "obs", "action" (the previous one), "return" (the return to go)."""
    trunk: Trunk
    """Part of the network with memory."""

    def setup(self) -> None:
        """Make the parts of the network."""
        self.encoder = Encoder(self.obs)
        self.embed_of = {name: Dense(self.trunk.width) for name in self.token_names}
        discrete = isinstance(self.action, Discrete)
        self.out = Dense(self.action.n if discrete else self.action.size, use_bias=not discrete)

    def embed(self, seen: dict[str, Tree]) -> Array:
        """The tokens [G, D] for the inputs of ONE step."""
        return jnp.stack([self.embed_of[name](self.vector(name, seen)) for name in self.token_names])

    def vector(self, name: str, seen: dict[str, Tree]) -> Array:
        """One input as a vector; at the first step the previous action is a vector of zeros."""
        if name == "obs":
            return self.encoder(seen["obs"])
        if name == "return":
            return seen["return"][None]
        discrete = isinstance(self.action, Discrete)
        action = jax.nn.one_hot(seen["action"], self.action.n) if discrete else seen["action"]
        return jnp.where(seen["first"], 0.0, action)

    def head(self, features: Array) -> Array:
        """The outputs [..., A]: logits, or the action before its tanh."""
        return self.out(features)

    def segment(self, *x: Any) -> tuple[Array, Tree]:
        """The trunk's `segment` (see `Trunk`)."""
        return self.trunk.segment(*x)

    def start(self, key: Key) -> Tree:
        """The trunk's `start` (see `Trunk`)."""
        return self.trunk.start(key)

    def open(self, key: Key) -> Tree:
        """The trunk's `open` (see `Trunk`)."""
        return self.trunk.open(key)

    def step(self, memory: Tree, token: Array) -> tuple[Array, Tree]:
        """The trunk's `step` (see `Trunk`)."""
        return self.trunk.step(memory, token)

    def end_segment(self, window: Tree, held: Tree) -> Tree:
        """The trunk's `end_segment` (see `Trunk`)."""
        return self.trunk.end_segment(window, held)

    def __call__(self, seen: dict[str, Tree], key: Key) -> Array:
        """Initialise all weights: outputs [L, A] of a segment that repeats ONE step."""
        tokens = jnp.broadcast_to(self.embed(seen), (self.trunk.context, len(self.token_names), self.trunk.width))
        return self.head(self.segment(self.start(key), tokens)[0])
