"""The distributions of policies: categorical for discrete actions, Gaussian for vectors of real numbers.

Shapes: A choices or components; `...` any leading axes.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key

LOG_STD = (-20.0, 2.0)
"""Bounds of the logarithm of a policy's standard deviation."""


@struct.dataclass
class Categorical:
    """A categorical distribution over A discrete actions."""

    logits: Array
    """[..., A] unnormalised log probabilities."""

    def sample(self, key: Key) -> Array:
        """Sampled actions, int32 [...]."""
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> Array:
        """The most likely action, int32 [...]."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        """Log probability [...] of actions [...]."""
        chosen = jax.nn.one_hot(action, self.logits.shape[-1])  # a gather and its gradient are slower on a CPU
        return jnp.sum(jax.nn.log_softmax(self.logits) * chosen, axis=-1)

    def entropy(self) -> Array:
        """Entropy [...] in nats."""
        log = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log) * log, axis=-1)


@struct.dataclass
class Gaussian:
    """A normal distribution with A independent components."""

    mean: Array
    """[..., A] mean of each component."""
    log_std: Array
    """[A] logarithm of each component's standard deviation."""

    def sample(self, key: Key) -> Array:
        """Sampled vectors [..., A]."""
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def mode(self) -> Array:
        """The mean [..., A], which is the most likely vector."""
        return self.mean

    def log_prob(self, action: Array) -> Array:
        """Log density [...] of vectors [..., A]."""
        error = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(log_normal(error, self.log_std), axis=-1)

    def entropy(self) -> Array:
        """Entropy [...] in nats."""
        each = jnp.sum(self.log_std + 0.5 * math.log(2 * math.pi * math.e))
        return jnp.broadcast_to(each, self.mean.shape[:-1])


def log_normal(error: Array, log_std: Array) -> Array:
    """The log density of each of the components [..., A] that lie `error` deviations from their means."""
    return -0.5 * error**2 - log_std - 0.5 * math.log(2 * math.pi)


def log_slope(x: Array) -> Array:
    """The logarithm of |d tanh(x) / dx|, of each component of x [..., A]: what the log density of tanh(x) is less by.

    log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2 x)), which stays finite and exact for large |x|.
    """
    return 2 * (math.log(2) - x - jax.nn.softplus(-2 * x))
