"""What IQL and AWAC share: a Gaussian policy that clones the data's actions, each by the weight of its advantage.

    -mean min(exp(advantage / temperature), 100) log pi(a | s)

Densities are those of a normal distribution over actions in [-1, 1], whose deviation depends on no observation.
Shapes: B rows of a batch, O observation and A action components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from prospect_rl.agents.api import Array, Key, Tree, hyper
from prospect_rl.agents.nn.networks import MLP
from prospect_rl.agents.offline.base import Offline
from prospect_rl.agents.ops.distributions import Gaussian

HEAVIEST = 100.0
"""The largest weight of a row."""
LOG_STD = (-20.0, 2.0)


class Actor(nn.Module):
    """[..., O] -> (mean [..., A], log std [A])."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    size: int
    """A."""
    squash: bool
    """Whether means end in a tanh."""

    @nn.compact
    def __call__(self, obs: Array) -> tuple[Array, Array]:
        """The distribution at observations."""
        mean = MLP((*self.hidden, self.size), torch_init=True)(obs)
        log_std = self.param("log_std", nn.initializers.zeros, (self.size,))
        return jnp.tanh(mean) if self.squash else mean, jnp.clip(log_std, *LOG_STD)


@dataclass(frozen=True, kw_only=True)
class Weighted(Offline):
    """Base of the two."""

    learning_rate: float = hyper(3e-4, above=0)
    """Learning rate of the Adam optimisers of all networks."""
    tau: float = hyper(0.005, above=0, most=1)
    """How far the target critics move towards the critics at each update: 1 is all the way."""

    squashed_mean: ClassVar[bool]
    """Whether the policy's means end in a tanh."""

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Adam."""
        return optax.adam(self.learning_rate)

    @property
    def actor_network(self) -> Actor:
        """The policy."""
        return Actor(self.hidden, self.sizes[1], self.squashed_mean)

    def distribution(self, actor: Tree, obs: Array) -> Gaussian:
        """pi(. | s) for observations [..., O]."""
        out: Any = self.actor_network.apply(actor, obs)
        return Gaussian(*out)

    def policy(self, actor: Tree, obs: Array, noise: Array, key: Key) -> Array:
        """The mean, with `noise` [] times the policy's own deviation, clipped."""
        pi = self.distribution(actor, obs)
        return jnp.clip(pi.mean + noise * jnp.exp(pi.log_std) * jax.random.normal(key, pi.mean.shape), -1, 1)

    def cloning(self, actor: Tree, obs: Array, action: Array, advantage: Array, temperature: float) -> Array:
        """The loss above [] of rows [B]; no gradient passes through the advantage [B]."""
        weight = jnp.minimum(jnp.exp(jax.lax.stop_gradient(advantage) / temperature), HEAVIEST)
        return -jnp.mean(weight * self.distribution(actor, obs).log_prob(action))
