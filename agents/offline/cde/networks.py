"""The networks of OptiDICE and CDE, and the densities of their policies.

All but `Encoded` accept any leading axes. Means and deviations of policies over real actions are those before the tanh;
mixtures have K components.
Source: official code czp16/cde-offline-rl, utils/network.py. Shapes: O observation and A action components.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Tree
from prospect_rl.agents.nn.encoder import Encoder
from prospect_rl.agents.nn.networks import Layer, stacked, torch_uniform
from prospect_rl.agents.ops import distributions
from prospect_rl.envs.api import Space

MEAN_BOUND = 7.24
"""Largest absolute value of a mean: tanh(7.24) = .999999."""
LOG_STD = (-5.0, 2.0)
"""Of the logarithms of standard deviations."""
EDGE = 0.999999
"""Largest absolute value of an action of the data; larger ones are clipped to it."""
CRITIC_START, LOG_STD_START = 3e-3, 1e-3
"""Bounds of the initial weights of the critics' last layers and of those of the log deviations."""


def dense(width: int, fan_in: int, bound: float | None = None) -> nn.Dense:
    """A layer initialised as in torch, or uniformly within a bound."""
    start = torch_uniform(fan_in) if bound is None else torch_uniform(round(bound**-2))
    return nn.Dense(width, kernel_init=start, bias_init=start)


class Body(nn.Module):
    """Hidden layers with ReLU: [..., D] -> [..., H]."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The features [..., H]."""
        for width in self.hidden:
            x = nn.relu(dense(width, x.shape[-1])(x))
        return x


class Critic(nn.Module):
    """A value network: [..., D] -> [..., outputs], or [...] for one output."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    outputs: int = 1
    """Number of outputs of the network."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The outputs for inputs [..., D]."""
        x = Body(self.hidden)(x)
        out = dense(self.outputs, x.shape[-1], CRITIC_START)(x)
        return out[..., 0] if self.outputs == 1 else out


class Encoded(nn.Module):
    """A network from ONE observation of any space to [outputs], or [] for one output."""

    space: Space
    """Space of the observations."""
    encoding: int
    """Width of the encoder's dense layer."""
    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    outputs: int
    """Number of outputs of the network."""

    @nn.compact
    def __call__(self, obs: Tree) -> Array:
        """The outputs for ONE observation."""
        return Critic(self.hidden, self.outputs)(Encoder(self.space, self.encoding)(obs))

    def dense_layers(self, params: Tree) -> list[Layer]:
        """Those behind the encoder."""
        return ends_in_one(params["params"]["Critic_0"])


def ends_in_one(params: Tree) -> list[Layer]:
    """The layers of a body, and the first one after it."""
    return stacked(params["Body_0"]) + stacked({"Dense_0": params["Dense_0"]})


class Gaussian(nn.Module):
    """A Gaussian policy network: [..., O] -> (mean, log std), both [..., A]."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    size: int
    """Number of action components (A)."""

    @nn.compact
    def __call__(self, obs: Array) -> tuple[Array, Array]:
        """The distribution at observations [..., O]."""
        x = Body(self.hidden)(obs)
        mean = dense(self.size, x.shape[-1])(x)
        log_std = dense(self.size, x.shape[-1], LOG_STD_START)(x)
        return jnp.clip(mean, -MEAN_BOUND, MEAN_BOUND), jnp.clip(log_std, *LOG_STD)

    def dense_layers(self, params: Tree) -> list[Layer]:
        """Those of the mean."""
        return ends_in_one(params["params"])


class Mixture(nn.Module):
    """A network of a Gaussian mixture: [..., O] -> (logits [..., K], mean [..., K, A], log std [..., K, A])."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    size: int
    """Number of action components (A)."""
    components: int
    """Number of Gaussians in the mixture (K)."""

    @nn.compact
    def __call__(self, obs: Array) -> tuple[Array, Array, Array]:
        """The distribution at observations [..., O]."""
        x = Body(self.hidden)(obs)
        parts, fan_in = (*obs.shape[:-1], self.components, self.size), x.shape[-1]
        logits = dense(self.components, fan_in)(x)
        mean = dense(self.components * self.size, fan_in)(x).reshape(parts)
        log_std = dense(self.components * self.size, fan_in, LOG_STD_START)(x).reshape(parts)
        return logits, jnp.clip(mean, -MEAN_BOUND, MEAN_BOUND), jnp.clip(log_std, *LOG_STD)


def log_mixture(x: Array, logits: Array, mean: Array, log_std: Array) -> Array:
    """The log density [...] of x [..., A] under a mixture."""
    each = distributions.Gaussian(mean, log_std).log_prob(x[..., None, :])
    return jax.nn.logsumexp(jax.nn.log_softmax(logits) + each, axis=-1)


def before_tanh(action: Array) -> Array:
    """The inverse tanh of actions in [-1, 1]."""
    return jnp.arctanh(jnp.clip(action, -EDGE, EDGE))
