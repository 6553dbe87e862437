"""A learned model of an environment: a Gaussian over (s' - s, r), given (s, a).

Source: Chua et al. 2018 (PETS, arXiv 1805.12114), Janner et al. 2019 (MBPO, arXiv 1906.08253); for what MEX makes of
them agentification/MEX, MEX_MB/mbrl/models/gaussian_mlp.py.

Shapes: E members, F elites, D inputs (observation and action), K outputs (change of the observation, reward).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.nn.networks import MLP
from prospect_rl.envs.api import Array, Tree

LOG_VAR = (-10.0, 0.5)
"""Soft bounds of the logarithm of the variance."""


class Dynamics(nn.Module):
    """[..., D] -> (mean, log variance), both [..., K]."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    size: int
    """K."""

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """The distribution for normalised inputs [..., D]."""
        mean, raw = jnp.split(MLP((*self.hidden, 2 * self.size), activation=nn.silu)(x), 2, axis=-1)
        return mean, squashed(raw)


@struct.dataclass
class Model:
    """What is learned of the dynamics by an ensemble."""

    members: Tree
    """Weights, leading [E]."""
    optimiser: Tree
    centre: Array
    """[D] mean of the inputs."""
    scale: Array
    """[D] their standard deviation."""
    error: Array
    """[E] mean squared error on held-out rows, at the newest training."""
    elites: Array
    """[F] int32 members with the least error, best first."""
    epochs: Array
    """[] int32 length of the newest training."""
    figures: dict[str, Array]
    """Of its last gradient step."""


def squashed(raw: Array) -> Array:
    """Any numbers, between the bounds of the log variance; far from these they stay as they are."""
    low, high = LOG_VAR
    return low + nn.softplus(high - nn.softplus(high - raw) - low)


def outcome(obs: Array, next_obs: Array, reward: Array) -> Array:
    """What the model predicts [..., K], from observations [..., O] and rewards [...]."""
    return jnp.concatenate([next_obs - obs, reward[..., None]], axis=-1)


def negative_log_likelihood(mean: Array, log_var: Array, target: Array) -> Array:
    """[] the mean of (mean - target)^2 / var + log var, all [..., K]: twice the likelihood's, without its constant."""
    return jnp.mean(jnp.square(mean - target) * jnp.exp(-log_var) + log_var)


def log_density(mean: Array, log_var: Array, x: Array) -> Array:
    """The logarithm of N(x; mean, var), each component by itself [..., K]."""
    return -0.5 * (jnp.square(x - mean) * jnp.exp(-log_var) + log_var + math.log(2 * math.pi))


def moments(read: Callable[[Array], Array], count: Array, size: int = 256) -> tuple[Array, Array]:
    """(mean, standard deviation), both [D], of rows 0 to count - 1, which `read` fetches by number, `size` at a time.

    The deviation of what does not vary is 1. The time goes with the count, whatever the capacity.
    """

    def mean_of(f: Callable[[Array], Array]) -> Array:
        def add(i: Array, total: Array) -> Array:
            number = i * size + jnp.arange(size)
            rows = f(read(jnp.minimum(number, count - 1)))
            return total + jnp.sum(jnp.where((number < count)[:, None], rows, 0), axis=0)

        like = jax.eval_shape(read, jnp.zeros(size, jnp.int32))
        return jax.lax.fori_loop(0, -(-count // size), add, jnp.zeros(like.shape[1:])) / count

    mean = mean_of(lambda rows: rows)
    deviation = jnp.sqrt(mean_of(lambda rows: jnp.square(rows - mean)))
    # a constant deviates by the rounding of its mean, which is no scale to divide by
    return mean, jnp.where(deviation > 1e-5 * jnp.abs(mean), deviation, 1.0)
