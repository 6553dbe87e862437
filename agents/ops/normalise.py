"""Running mean and variance, updated by whole batches.

Source: Chan, Golub, LeVeque 1979 (the pairwise update of mean and sum of squares).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array


@struct.dataclass
class Moments:
    """Mean and variance of all that was seen."""

    mean: Array
    """[...]"""
    variance: Array
    """[...] of the population; 1 before anything was seen."""
    count: Array
    """[] float32 numbers seen of each component."""

    @property
    def std(self) -> Array:
        """[...] standard deviation, with 1e-8 added to the variance."""
        return jnp.sqrt(self.variance + 1e-8)


def moments(shape: tuple[int, ...] = ()) -> Moments:
    """Nothing seen yet: mean 0, variance 1."""
    return Moments(jnp.zeros(shape), jnp.ones(shape), jnp.zeros(()))


def include(seen: Moments, rows: Array) -> Moments:
    """`seen` and the rows [R, ...] too."""
    mean, variance, new = rows.mean(axis=0), rows.var(axis=0), float(rows.shape[0])
    count, change = seen.count + new, mean - seen.mean
    squares = seen.variance * seen.count + variance * new + change**2 * seen.count * new / count
    return Moments(seen.mean + change * new / count, squares / count, count)


def centred(seen: Moments | None, x: Array) -> Array:
    """`x` [..., *] in deviations from the mean, cut at 10; as it is where there are no moments."""
    return x if seen is None else jnp.clip((x - seen.mean) / seen.std, -10, 10)


def standard(x: Array) -> Array:
    """`x` with mean 0 and standard deviation 1 over all axes."""
    return (x - jnp.mean(x)) / (jnp.std(x) + 1e-8)


@struct.dataclass
class Scale:
    """The spread of discounted returns, by which rewards are divided."""

    seen: Moments
    """Of the running returns."""
    running: Array
    """[N] discounted sums of the rewards so far in each stream's episode."""


def scale(num_envs: int) -> Scale:
    """Nothing seen yet."""
    return Scale(moments(), jnp.zeros(num_envs))


def scaled(scale: Scale, reward: Array, ended: Array, gamma: float, bound: float) -> tuple[Array, Scale]:
    """(rewards [T, N] divided by the standard deviation of R_t = gamma R_(t-1) + r_t, the scale with them included).

    What lies beyond plus or minus `bound` is cut: after long without reward the deviation is next to nothing.
    ended [T, N] marks the last step of an episode, after which R starts from 0. Rewards are not centred.
    """

    def forth(running: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        total = gamma * running + row[0]
        return jnp.where(row[1], 0.0, total), total

    running, totals = jax.lax.scan(forth, scale.running, (reward, ended))
    seen = include(scale.seen, totals.ravel())
    return jnp.clip(reward / seen.std, -bound, bound), Scale(seen, running)
