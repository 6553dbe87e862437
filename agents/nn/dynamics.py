"""A learned dynamics model: an ensemble of Gaussians over (s' - s, r), given (s, a).

Source: Chua et al. 2018 (PETS, arXiv 1805.12114), Janner et al. 2019 (MBPO, arXiv 1906.08253); for MEX's use of
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
"""Soft bounds of the log variance."""


class Dynamics(nn.Module):
    """The network of one member: [..., D] -> (mean, log variance), both [..., K]."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    size: int
    """Number of predicted numbers (K)."""

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """The predicted distribution for normalised inputs [..., D]."""
        mean, raw = jnp.split(MLP((*self.hidden, 2 * self.size), activation=nn.silu)(x), 2, axis=-1)
        return mean, squashed(raw)


@struct.dataclass
class Model:
    """The state of a learned dynamics ensemble."""

    members: Tree
    """Weights of all members, leading [E]."""
    optimiser: Tree
    """State of the optimiser of all members."""
    centre: Array
    """[D] mean of the inputs."""
    scale: Array
    """[D] standard deviation of the inputs."""
    error: Array
    """[E] mean squared error on held-out rows in the last training."""
    elites: Array
    """[F] int32 members with the lowest error, best first."""
    epochs: Array
    """[] int32 number of epochs of the last training."""
    figures: dict[str, Array]
    """Metrics of the last gradient step."""


def squashed(raw: Array) -> Array:
    """Numbers softly bounded to the range of the log variance; those well inside it stay almost unchanged."""
    low, high = LOG_VAR
    return low + nn.softplus(high - nn.softplus(high - raw) - low)


def outcome(obs: Array, next_obs: Array, reward: Array) -> Array:
    """The model's target [..., K] for observations [..., O] and rewards [...]."""
    return jnp.concatenate([next_obs - obs, reward[..., None]], axis=-1)


def negative_log_likelihood(mean: Array, log_var: Array, target: Array) -> Array:
    """[] mean of (mean - target)^2 / var + log var, all [..., K]: twice the NLL, up to a constant."""
    return jnp.mean(jnp.square(mean - target) * jnp.exp(-log_var) + log_var)


def log_density(mean: Array, log_var: Array, x: Array) -> Array:
    """The log density of N(x; mean, var) of each component on its own [..., K]."""
    return -0.5 * (jnp.square(x - mean) * jnp.exp(-log_var) + log_var + math.log(2 * math.pi))


def moments(read: Callable[[Array], Array], count: Array, size: int = 256) -> tuple[Array, Array]:
    """(mean, standard deviation), both [D], of rows 0 to count - 1, which `read` fetches by index, `size` at a time.

    The deviation of a constant component is 1. The cost grows with the count, not with the capacity.
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
    # a constant component has the rounding error of its mean as deviation: not a scale to divide by
    return mean, jnp.where(deviation > 1e-5 * jnp.abs(mean), deviation, 1.0)
