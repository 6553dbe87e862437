"""The networks of OptiDICE and CDE, and the densities of their policies.

All but `Encoded` take any leading axes. Numbers of policies over real actions are those of the action before its tanh;
mixtures have K components.
Source: official code czp16/cde-offline-rl, utils/network.py. Shapes: O observation and A action components.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Tree
from prospect_rl.agents.nn.encoder import Encoder
from prospect_rl.agents.nn.networks import torch_uniform
from prospect_rl.envs.api import Space

MEAN_BOUND = 7.24
"""Of means, in size: tanh(7.24) = .999999."""
LOG_STD = (-5.0, 2.0)
EDGE = 0.999999
"""Actions of the data beyond this, in size, are taken for it."""
CRITIC_START, LOG_STD_START = 3e-3, 1e-3
"""Bounds of the first weights of last layers."""


def dense(width: int, fan_in: int, bound: float | None = None) -> nn.Dense:
    """A layer that starts as torch's does, or uniform within a bound."""
    start = torch_uniform(fan_in) if bound is None else torch_uniform(round(bound**-2))
    return nn.Dense(width, kernel_init=start, bias_init=start)


class Body(nn.Module):
    """Hidden layers with ReLU: [..., D] -> [..., H]."""

    hidden: tuple[int, ...]
    """Widths."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The features."""
        for width in self.hidden:
            x = nn.relu(dense(width, x.shape[-1])(x))
        return x


class Critic(nn.Module):
    """[..., D] -> [..., outputs], or [...] for one output."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    outputs: int = 1
    """Numbers that come out."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The value."""
        x = Body(self.hidden)(x)
        out = dense(self.outputs, x.shape[-1], CRITIC_START)(x)
        return out[..., 0] if self.outputs == 1 else out


class Encoded(nn.Module):
    """ONE observation of any space -> [outputs], or [] for one output."""

    space: Space
    """Of observations."""
    encoding: int
    """Width of the encoder's dense layer."""
    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    outputs: int
    """Numbers that come out."""

    @nn.compact
    def __call__(self, obs: Tree) -> Array:
        """The numbers."""
        return Critic(self.hidden, self.outputs)(Encoder(self.space, self.encoding)(obs))


class Gaussian(nn.Module):
    """[..., O] -> (mean, log std), both [..., A]."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    size: int
    """A."""

    @nn.compact
    def __call__(self, obs: Array) -> tuple[Array, Array]:
        """The distribution."""
        x = Body(self.hidden)(obs)
        mean = dense(self.size, x.shape[-1])(x)
        log_std = dense(self.size, x.shape[-1], LOG_STD_START)(x)
        return jnp.clip(mean, -MEAN_BOUND, MEAN_BOUND), jnp.clip(log_std, *LOG_STD)


class Mixture(nn.Module):
    """[..., O] -> (logits [..., K], mean [..., K, A], log std [..., K, A])."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    size: int
    """A."""
    components: int
    """K."""

    @nn.compact
    def __call__(self, obs: Array) -> tuple[Array, Array, Array]:
        """The distribution."""
        x = Body(self.hidden)(obs)
        parts, fan_in = (*obs.shape[:-1], self.components, self.size), x.shape[-1]
        logits = dense(self.components, fan_in)(x)
        mean = dense(self.components * self.size, fan_in)(x).reshape(parts)
        log_std = dense(self.components * self.size, fan_in, LOG_STD_START)(x).reshape(parts)
        return logits, jnp.clip(mean, -MEAN_BOUND, MEAN_BOUND), jnp.clip(log_std, *LOG_STD)


def log_gaussian(x: Array, mean: Array, log_std: Array) -> Array:
    """The log density [...] of x [..., A]."""
    error = (x - mean) * jnp.exp(-log_std)
    return jnp.sum(-0.5 * error**2 - log_std - 0.5 * math.log(2 * math.pi), axis=-1)


def log_mixture(x: Array, logits: Array, mean: Array, log_std: Array) -> Array:
    """The log density [...] of x [..., A] under a mixture."""
    each = log_gaussian(x[..., None, :], mean, log_std)
    return jax.nn.logsumexp(jax.nn.log_softmax(logits) + each, axis=-1)


def log_slope(x: Array) -> Array:
    """The sum [...] of log |d tanh(x) / dx| over the components of x [..., A]: log densities of tanh(x) are less by it.

    log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2 x)), which stays finite and exact for large |x|.
    """
    return jnp.sum(2 * (math.log(2) - x - jax.nn.softplus(-2 * x)), axis=-1)


def before_tanh(action: Array) -> Array:
    """The x whose tanh an action in [-1, 1] is."""
    return jnp.arctanh(jnp.clip(action, -EDGE, EDGE))
