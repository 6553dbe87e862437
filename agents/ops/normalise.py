"""Running mean and variance for normalisation, updated by whole batches.

Source: Chan, Golub, LeVeque 1979 (the pairwise update of mean and sum of squares).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array

FARTHEST = 10
"""Deviations from the mean at which numbers are cut."""


@struct.dataclass
class Moments:
    """Running mean and variance of all rows included so far."""

    mean: Array
    """[...] mean of each component."""
    variance: Array
    """[...] population variance of each component; 1 before any row."""
    count: Array
    """[] float32 number of rows included so far."""

    @property
    def std(self) -> Array:
        """[...] standard deviation, with 1e-8 added to the variance."""
        return jnp.sqrt(self.variance + 1e-8)


def moments(shape: tuple[int, ...] = ()) -> Moments:
    """Moments before any row: mean 0, variance 1."""
    return Moments(jnp.zeros(shape), jnp.ones(shape), jnp.zeros(()))


def include(seen: Moments, rows: Array) -> Moments:
    """The moments after the rows [R, ...] are included."""
    mean, variance, new = rows.mean(axis=0), rows.var(axis=0), float(rows.shape[0])
    count, change = seen.count + new, mean - seen.mean
    squares = seen.variance * seen.count + variance * new + change**2 * seen.count * new / count
    return Moments(seen.mean + change * new / count, squares / count, count)


def centred(seen: Moments | None, x: Array) -> Array:
    """`x` [..., *] in deviations from the mean, cut at `FARTHEST`; as it is where there are no moments."""
    return x if seen is None else jnp.clip((x - seen.mean) / seen.std, -FARTHEST, FARTHEST)


def standard(x: Array) -> Array:
    """`x` standardised to mean 0 and standard deviation 1 over all axes."""
    return (x - jnp.mean(x)) / (jnp.std(x) + 1e-8)


@struct.dataclass
class Scale:
    """Running standard deviation of discounted returns, by which rewards are divided."""

    seen: Moments
    """Moments of the running discounted returns."""
    running: Array
    """[N] discounted sum of the rewards so far in each stream's episode."""


def scale(num_envs: int) -> Scale:
    """The scale before any reward."""
    return Scale(moments(), jnp.zeros(num_envs))


def scaled(scale: Scale, reward: Array, ended: Array, gamma: float, bound: float) -> tuple[Array, Scale]:
    """(rewards [T, N] divided by the standard deviation of R_t = gamma R_(t-1) + r_t, the scale that includes them).

    Results are clipped to plus and minus `bound`: after a long time without reward the deviation is close to 0.
    ended [T, N] marks the last step of an episode, after which R starts from 0. Rewards are not centred.
    """

    def forth(running: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        total = gamma * running + row[0]
        return jnp.where(row[1], 0.0, total), total

    running, totals = jax.lax.scan(forth, scale.running, (reward, ended))
    seen = include(scale.seen, totals.ravel())
    return jnp.clip(reward / seen.std, -bound, bound), Scale(seen, running)
