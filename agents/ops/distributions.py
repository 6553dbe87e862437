"""The distributions of policies: over choices, and over vectors of real numbers.

Shapes: A choices or components; `...` any leading axes.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key


@struct.dataclass
class Categorical:
    """One of A choices."""

    logits: Array
    """[..., A]"""

    def sample(self, key: Key) -> Array:
        """Drawn choices, int32 [...]."""
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> Array:
        """The likeliest choice, int32 [...]."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        """Log probability [...] of choices [...]."""
        chosen = jax.nn.one_hot(action, self.logits.shape[-1])  # a gather is slow on a CPU, its gradient more so
        return jnp.sum(jax.nn.log_softmax(self.logits) * chosen, axis=-1)

    def entropy(self) -> Array:
        """In nats [...]."""
        log = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log) * log, axis=-1)


@struct.dataclass
class Gaussian:
    """A independent normal components."""

    mean: Array
    """[..., A]"""
    log_std: Array
    """[A]"""

    def sample(self, key: Key) -> Array:
        """Drawn vectors [..., A]."""
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def mode(self) -> Array:
        """The mean [..., A]."""
        return self.mean

    def log_prob(self, action: Array) -> Array:
        """Log density [...] of vectors [..., A]."""
        error = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * error**2 - self.log_std - 0.5 * math.log(2 * math.pi), axis=-1)

    def entropy(self) -> Array:
        """In nats [...]."""
        each = jnp.sum(self.log_std + 0.5 * math.log(2 * math.pi * math.e))
        return jnp.broadcast_to(each, self.mean.shape[:-1])
