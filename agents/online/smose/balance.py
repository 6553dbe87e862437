"""What keeps the experts of a router alive: auxiliary losses of its logits.

Source: the importance and load losses of Riquelme et al. 2021, arXiv 2106.05974, as in the code that SMoSE's authors
released, and the z-loss of Zoph et al. 2022, arXiv 2202.08906; see docs/methods/smose.md.

Shapes: B rows of a batch, M experts.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from prospect_rl.agents.api import Array


def squared_variation(x: Array) -> Array:
    """The squared coefficient of variation [] of numbers [M], with M - 1 in the deviation."""
    return jnp.square(jnp.std(x, ddof=1) / jnp.mean(x))


def importance(noisy: Array) -> Array:
    """Imp [M]: the experts' probabilities, summed over the rows of logits [B, M]."""
    return jnp.sum(jax.nn.softmax(noisy), axis=0)


def load(logits: Array, noisy: Array) -> Array:
    """Load [M]: the probability that new noise of deviation 1 / M makes an expert the first, summed over the rows.

    The threshold is the largest of the noisy logits; the gradient passes through it and the logits alike.
    """
    threshold = jnp.max(noisy, axis=-1, keepdims=True)
    return jnp.sum(norm.cdf((logits - threshold) * logits.shape[-1]), axis=0)


def importance_load(logits: Array, noisy: Array) -> Array:
    """[] half the squared variation of the importance, and half that of the load."""
    return (squared_variation(importance(noisy)) + squared_variation(load(logits, noisy))) / 2


def z(logits: Array, noisy: Array) -> Array:
    """[] mean of logsumexp^2."""
    return jnp.mean(jnp.square(jax.nn.logsumexp(noisy, axis=-1)))


def z_official(logits: Array, noisy: Array) -> Array:
    """[] mean of (sum of exp)^2, as in the code, where a logarithm is missing: it grows exponentially."""
    return jnp.mean(jnp.square(jnp.sum(jnp.exp(noisy), axis=-1)))


LOSSES = {"importance_load": importance_load, "z": z, "z_official": z_official}
"""By the names that an agent's field has for them; each of logits [B, M] without and with noise."""


def usage(logits: Array) -> dict[str, Array]:
    """Metrics of a router on the logits [B, M] of a batch."""
    p = jax.nn.softmax(logits)
    shares = jnp.mean(jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1]), axis=0)
    return {
        "learn/usage_entropy": jnp.abs(jnp.sum(jax.scipy.special.xlogy(shares, shares))),  # without a minus before 0
        "learn/experts_used": jnp.sum(shares > 0.01).astype(jnp.float32),
        "learn/gate": jnp.mean(jnp.max(p, axis=-1)),
    }
