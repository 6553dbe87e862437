"""The base of IQL and AWAC: a Gaussian policy that clones the data's actions, weighted by their advantage.

    -mean min(exp(advantage / temperature), 100) log pi(a | s)

Densities are those of a normal distribution over actions in [-1, 1], whose deviation does not depend on the
observation.
Shapes: B rows of a batch, O observation and A action components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from prospect_rl.agents.api import Array, Key, Tree, hyper
from prospect_rl.agents.nn.networks import MLP, Layer, stacked
from prospect_rl.agents.offline.base import Offline
from prospect_rl.agents.ops.distributions import LOG_STD, Gaussian

MAX_WEIGHT = 100.0
"""Largest weight of a row in the cloning loss."""


class Actor(nn.Module):
    """The policy network: [..., O] -> (mean [..., A], log std [A])."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    size: int
    """Number of action components (A)."""
    squash: bool
    """Whether the means end in a tanh."""

    @nn.compact
    def __call__(self, obs: Array) -> tuple[Array, Array]:
        """The distribution at observations [..., O]."""
        mean = MLP((*self.hidden, self.size), torch_init=True)(obs)
        log_std = self.param("log_std", nn.initializers.zeros, (self.size,))
        return jnp.tanh(mean) if self.squash else mean, jnp.clip(log_std, *LOG_STD)

    def dense_layers(self, params: Tree) -> list[Layer]:
        """Those of the mean, before its tanh."""
        return stacked(params["params"]["MLP_0"])


@dataclass(frozen=True, kw_only=True)
class Weighted(Offline):
    """Base of IQL and AWAC: advantage-weighted behaviour cloning of a dataset."""

    learning_rate: float = hyper(3e-4, above=0, traced=True)
    """Learning rate of the Adam optimisers of all networks."""
    tau: float = hyper(0.005, above=0, most=1, traced=True)
    """Share of the distance that target critics move towards the critics in an update (0-1)."""

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """The Adam optimiser of all networks."""
        return optax.adam(self.learning_rate)

    @property
    def actor_network(self) -> Actor:
        """The policy network of the agent."""
        return Actor(self.hidden, self.sizes[1], self.squashed)

    def distribution(self, actor: Tree, obs: Array) -> Gaussian:
        """The policy pi(. | s) for observations [..., O]."""
        out: Any = self.actor_network.apply(actor, obs)
        return Gaussian(*out)

    def policy(self, actor: Tree, obs: Array, noise: Array, key: Key) -> Array:
        """The mean plus `noise` [] times the policy's own deviation, clipped to [-1, 1]."""
        pi = self.distribution(actor, obs)
        return jnp.clip(pi.mean + noise * jnp.exp(pi.log_std) * jax.random.normal(key, pi.mean.shape), -1, 1)

    def cloning(self, actor: Tree, obs: Array, action: Array, advantage: Array, temperature: float) -> Array:
        """The weighted cloning loss [] of rows [B]; no gradient passes through the advantage [B]."""
        weight = jnp.minimum(jnp.exp(jax.lax.stop_gradient(advantage) / temperature), MAX_WEIGHT)
        return -jnp.mean(weight * self.distribution(actor, obs).log_prob(action))
