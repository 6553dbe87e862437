"""The base of behaviour cloning agents: a network is trained to predict the data's actions, real or discrete.

    real actions      the network ends in a tanh and gives the action scaled to (-1, 1); actions without bounds are
                      predicted unscaled, without a tanh
    discrete actions  the network gives logits; the most likely action is taken

Shapes: A action components or discrete actions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from prospect_rl.agents.api import Agent, Array, Box, Discrete, Spec, Tree


@struct.dataclass
class State:
    """Weights and optimiser state."""

    params: Tree
    """Weights of the network."""
    optimiser: Tree
    """State of the network's optimiser."""


@dataclass(frozen=True, kw_only=True)
class Cloning(Agent):
    """Base of the behaviour cloning agents."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs one vector or one discrete action."""
        if isinstance(spec.action, Discrete):
            return None
        if not isinstance(spec.action, Box) or len(spec.action.shape) != 1:
            return "it needs a vector of real numbers or a discrete action"
        finite = np.isfinite(np.append(spec.action.low, spec.action.high))
        return None if finite.all() or not finite.any() else "it needs actions with all bounds or none"

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """The optimiser of the network."""
        raise NotImplementedError

    def exploit(self, state: State) -> Tree:
        """The network's weights."""
        return state.params

    def trained(self, state: State, gradient: Tree) -> State:
        """The state after one optimiser step with a gradient."""
        change, optimiser = self.optimiser.update(gradient, state.optimiser, state.params)
        return State(optax.apply_updates(state.params, change), optimiser)

    @property
    def squashed(self) -> bool:
        """Whether a tanh follows the network's outputs: for bounded real actions."""
        return isinstance(self.bound.action, Box) and self.bound.action.bounded

    def likeliest(self, out: Array) -> Array:
        """The action for outputs [A]: the most likely discrete action [], or real actions [A] within their bounds."""
        space: Any = self.bound.action
        return jnp.argmax(out).astype(jnp.int32) if isinstance(space, Discrete) else space.scale(self.ended(out))

    def distance(self, out: Array, action: Array) -> Array:
        """The mean squared error [] of outputs [A] against real actions [A]."""
        space: Any = self.bound.action
        return jnp.mean((self.ended(out) - space.unscale(action)) ** 2)

    def ended(self, out: Array) -> Array:
        """The outputs [A] after the tanh, where there is one."""
        return jnp.tanh(out) if self.squashed else out
