"""Statistics over seeds, in float64 NumPy: interquartile means, bootstrap intervals, rank tests.

Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice" (interquartile
mean, stratified percentile bootstrap, probability of improvement, performance profiles). Shapes: S seeds, R
resamples, K thresholds. Several tasks are strata: each is resampled on its own, and all weigh the same.

No function takes NaN: drop missing values first (`present`) and say how many there were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

Statistic = Callable[..., np.ndarray]
"""`statistic(x [..., S], axis=-1)` -> [...]"""
Interval = tuple[float, float]

RESAMPLES = 10_000
PROFILE_RESAMPLES = 2_000
"""Of a profile, which has a band at each of its thresholds."""
LEVEL = 0.95


def present(values: ArrayLike) -> np.ndarray:
    """The finite ones among `values` [S], as float64."""
    x = np.asarray(values, np.float64).ravel()
    return x[np.isfinite(x)]


def iqm(x: ArrayLike, axis: int = -1) -> np.ndarray:
    """Interquartile mean: a quarter of the values (rounded down) is cut off at either end. NaN of nothing."""
    x = np.sort(np.asarray(x, np.float64), axis=axis)
    n = x.shape[axis]
    if not n:
        return np.full(np.delete(x.shape, axis), np.nan)
    return np.take(x, np.arange(n // 4, n - n // 4), axis=axis).mean(axis=axis)


def bootstrap(
    strata: Sequence[ArrayLike],
    statistic: Callable[..., np.ndarray],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Values [R] of `statistic(*resampled strata, axis=-1)`; each stratum [S_i] is drawn from itself alone.

    Strata of several tasks that make up one score are joined by the statistic. Raises ValueError for an
    empty stratum or one with NaN.
    """
    generator = np.random.default_rng(seed)
    drawn = []
    for stratum in strata:
        x = np.asarray(stratum, np.float64)
        if x.ndim != 1 or not x.size or not np.all(np.isfinite(x)):
            raise ValueError(f"a stratum must be a vector of at least one finite number, not {x!r}")
        drawn.append(x[generator.integers(x.size, size=(resamples, x.size))])
    return statistic(*drawn, axis=-1)


def percentile_interval(samples: ArrayLike, level: float = LEVEL) -> Interval:
    """The central `level` of bootstrap samples [R]."""
    low, high = np.quantile(np.asarray(samples), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_interval(
    *strata: ArrayLike, statistic: Statistic = np.mean, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile interval of a statistic of values [S]; several strata are pooled after resampling each."""

    def pooled(*parts: np.ndarray, axis: int) -> np.ndarray:
        return statistic(np.concatenate(parts, axis=axis), axis=axis)

    return percentile_interval(bootstrap(strata, pooled, resamples=resamples, seed=seed), level)


def difference_interval(
    left: ArrayLike, right: ArrayLike, *, statistic: Statistic = np.mean, level: float = LEVEL,
    resamples: int = RESAMPLES, seed: int = 0,
) -> Interval:  # fmt: skip
    """Percentile interval of statistic(left) - statistic(right), each side [S] resampled on its own."""

    def difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return statistic(a, axis=axis) - statistic(b, axis=axis)

    return percentile_interval(bootstrap([left, right], difference, resamples=resamples, seed=seed), level)


def probability_of_improvement(left: ArrayLike, right: ArrayLike) -> float:
    """P(a run of left beats one of right), ties counted half: the Mann-Whitney U over its maximum."""
    a, b = np.asarray(left, np.float64)[:, None], np.asarray(right, np.float64)[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))


def average_improvement(lefts: Sequence[ArrayLike], rights: Sequence[ArrayLike]) -> float:
    """Probability of improvement, averaged over tasks: a vector a task on either side."""
    pairs = zip(lefts, rights, strict=True)
    return float(np.mean([probability_of_improvement(left, right) for left, right in pairs]))


def improvement_interval(
    lefts: Sequence[ArrayLike], rights: Sequence[ArrayLike], *, level: float = LEVEL, resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:  # fmt: skip
    """Percentile interval of `average_improvement`; each side of each task is resampled on its own."""
    tasks = len(lefts)

    def average(*parts: np.ndarray, axis: int) -> np.ndarray:
        shares = []
        for a, b in zip(parts[:tasks], parts[tasks:], strict=True):
            x, y = np.expand_dims(a, axis - 1), np.expand_dims(b, axis)  # [R, 1, S] against [R, S, 1]
            shares.append(((x > y).mean(axis=(axis - 1, axis)) + (x >= y).mean(axis=(axis - 1, axis))) / 2)
        return np.mean(shares, axis=0)

    return percentile_interval(bootstrap([*lefts, *rights], average, resamples=resamples, seed=seed), level)


def performance_profile(tasks: Sequence[ArrayLike], thresholds: ArrayLike) -> np.ndarray:
    """The share [K] of runs that score more than each threshold [K], averaged over tasks (each [S])."""
    return _exceeding(*(np.asarray(task, np.float64) for task in tasks), thresholds=np.asarray(thresholds, np.float64))


def profile_band(
    tasks: Sequence[ArrayLike], thresholds: ArrayLike, *, level: float = LEVEL, resamples: int = PROFILE_RESAMPLES,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Percentile bounds ([K], [K]) of `performance_profile`, at each threshold on its own."""
    at = np.asarray(thresholds, np.float64)
    drawn = bootstrap(tasks, lambda *parts, axis: _exceeding(*parts, thresholds=at), resamples=resamples, seed=seed)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _exceeding(*tasks: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """[..., K] of tasks [..., S]."""
    return np.mean([(task[..., None] > thresholds).mean(axis=-2) for task in tasks], axis=0)


def mann_whitney(left: ArrayLike, right: ArrayLike) -> float:
    """One-sided p that left is not larger than right: exact for few values without ties, else normal."""
    from scipy import stats  # takes a second to load, which a run that tests nothing need not wait

    return float(stats.mannwhitneyu(left, right, alternative="greater").pvalue)
