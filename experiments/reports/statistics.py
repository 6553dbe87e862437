"""Statistics over seeds, in float64 NumPy: intervals of means, interquartile means, bootstrap intervals, rank tests.

The intervals of means behind verdicts are computed, not resampled. Unbounded scores: Student's t, and for a difference
Welch 1947, or Cochran and Cox 1950 if the sides have unequal numbers of seeds. Bounded scores: Clopper and Pearson 1934
with the effective sample size of Korn and Graubard 1998, and for a difference the two one-sided limits combined by the
product of their tail probabilities (Fisher).

The other statistics follow Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice"
(interquartile mean, stratified percentile bootstrap, probability of improvement, performance profiles). Shapes: S
seeds, R resamples, K thresholds or tails. Several tasks are strata: each is resampled separately, and all have the same
weight.

No function accepts NaN: drop missing values first (`present`) and report their number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

Statistic = Callable[..., np.ndarray]
"""A function `statistic(x [..., S], axis=-1)` -> [...]."""
Interval = tuple[float, float]
"""(lower bound, upper bound)."""

RESAMPLES = 10_000
"""Number of bootstrap resamples."""
PROFILE_RESAMPLES = 2_000
"""Number of resamples of a performance profile, which has a band at each of its thresholds."""
LEVEL = 0.95
"""Confidence level of all intervals, but for the next."""
LEVEL_OF_TWO_LOOKS = 0.9706
"""Level of verdicts that rest on seeds whose verdict was known when others were added: tails of .0147, Pocock's (1977)
for two looks. As the first look has tails of .025, both together pass wrongly in at most 3.5 %, not 2.5."""


def present(values: ArrayLike) -> np.ndarray:
    """The finite values among `values` [S], as float64."""
    x = np.asarray(values, np.float64).ravel()
    return x[np.isfinite(x)]


def iqm(x: ArrayLike, axis: int = -1) -> np.ndarray:
    """Interquartile mean: drops a quarter of the values (rounded down) at either end. NaN if there are no values."""
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
    """Values [R] of `statistic(*resampled strata, axis=-1)`; each stratum [S_i] is resampled separately.

    The statistic combines the strata of several tasks into one score. Raises ValueError for an empty stratum or one
    with NaN.
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
    """The central interval that contains a fraction `level` of the bootstrap samples [R]."""
    low, high = np.quantile(np.asarray(samples), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_interval(
    *strata: ArrayLike, statistic: Statistic = np.mean, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile interval of a statistic of values [S]; several strata are pooled after resampling each."""

    def pooled(*parts: np.ndarray, axis: int) -> np.ndarray:
        return statistic(np.concatenate(parts, axis=axis), axis=axis)

    return percentile_interval(bootstrap(strata, pooled, resamples=resamples, seed=seed), level)


# --- intervals of means ------------------------------------------------------------------------------


def t_interval(x: ArrayLike, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Bounds ([...], [...]) of the means of unbounded scores [..., S]; infinite if all are equal."""
    from scipy import special

    x = np.asarray(x, np.float64)
    mean, variance = _moments(x)
    half = special.stdtrit(max(x.shape[-1] - 1, 1), 0.5 + level / 2) * np.sqrt(variance)
    half = np.where(variance > 0, half, np.inf)
    return mean - half, mean + half


def t_difference(left: ArrayLike, right: ArrayLike, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of mean(left) - mean(right) of unbounded scores [..., S]; infinite if neither side varies.

    Welch's quantile is too small if the side with fewer seeds varies more; unequal sides use Cochran and Cox's instead.
    """
    from scipy import special

    a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
    (mean_a, var_a), (mean_b, var_b) = _moments(a), _moments(b)
    free_a, free_b = max(a.shape[-1] - 1, 1), max(b.shape[-1] - 1, 1)
    total = np.where(var_a + var_b > 0, var_a + var_b, 1.0)
    below = 0.5 + level / 2
    if free_a == free_b:
        share = var_a**2 / free_a + var_b**2 / free_b
        quantile = special.stdtrit(total**2 / np.where(share > 0, share, 1.0), below)
    else:
        quantile = (var_a * special.stdtrit(free_a, below) + var_b * special.stdtrit(free_b, below)) / total
    half = np.where(var_a + var_b > 0, quantile * np.sqrt(total), np.inf)
    return mean_a - mean_b - half, mean_a - mean_b + half


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of x [..., S] and the variances of these means, exactly 0 for equal values."""
    n = x.shape[-1]
    variance = x.var(axis=-1, ddof=1) / n if n > 1 else np.zeros(x.shape[:-1])
    return x.mean(axis=-1), np.where(np.ptp(x, axis=-1) > 0, variance, 0.0)


def lower_limit(x: ArrayLike, tail: ArrayLike) -> np.ndarray:
    """Lower limits [..., K] of the means of scores [..., S] between 0 and 1, one for each tail probability [K].

    The limits of Clopper and Pearson with the effective sample size: the size at which a binomial proportion has the
    scores' variance, at least S. The scores are divided by the largest of them. The variance is that of the scores plus
    one more at each bound, so that equal scores have the exact limit of as many successes: top * tail ** (1 / S).
    """
    from scipy import special

    x, tail = np.asarray(x, np.float64), np.asarray(tail, np.float64)
    n, top = x.shape[-1], x.max(axis=-1)
    y = x / np.where(top > 0, top, 1.0)[..., None]
    mean, wide = y.mean(axis=-1)[..., None], (y.sum(axis=-1) + 1) / (n + 2)
    variance = ((y**2).sum(axis=-1) + 1) / (n + 2) - wide**2
    small = (special.ndtri(tail) / special.stdtrit(n + 1, tail)) ** 2  # the variance is an estimate
    size = np.maximum(n, (n * wide * (1 - wide) / variance)[..., None] * small)
    limit = special.betaincinv(np.where(mean > 0, size * mean, 1.0), size * (1 - mean) + 1, tail)
    return top[..., None] * np.where(mean > 0, limit, 0.0)


def bounded_interval(x: ArrayLike, low: float, high: float, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the means of scores [..., S] between `low` and `high`."""
    lower, upper = _limits(x, low, high, np.array([(1 - level) / 2]), np.array([(1 - level) / 2]))
    return lower[..., 0], upper[..., 0]


PRODUCT, WIDEST = {LEVEL: 0.0034, LEVEL_OF_TWO_LOOKS: 0.00184}, 0.49
"""The two tail probabilities have the product c = PRODUCT[level], and each is at most a = WIDEST. For exact limits, the
tail probabilities p and q of the true means are uniform; the probability that some such pair of tails exceeds (p, q) is
c / a (2 - a) + c log(a a / c), which is below (1 - level) / 2."""


def bounded_difference(
    left: ArrayLike, right: ArrayLike, left_bounds: tuple[float, float], right_bounds: tuple[float, float],
    level: float = LEVEL,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Bounds of mean(left) - mean(right) of scores [..., S], each side between its own bounds.

    The extreme of the differences of the sides' limits, over all splits of the product of tail probabilities. `level`:
    one of those in `PRODUCT`.
    """
    tails = np.geomspace(PRODUCT[level] / WIDEST, WIDEST, 25)
    (low_a, high_a) = _limits(left, *left_bounds, tails, tails)
    (low_b, high_b) = _limits(right, *right_bounds, tails[::-1], tails[::-1])
    return (low_a - high_b).min(axis=-1), (high_a - low_b).max(axis=-1)


def _limits(
    x: ArrayLike, low: float, high: float, tail_low: np.ndarray, tail_high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limits [..., K] of scores between `low` and `high`. Raises ValueError for a score outside.

    Scores outside by up to a ten-thousandth of the range are accepted as rounding errors: 103 rewards of 1 / 103 sum to
    1 + 1e-6 in float32.
    """
    unit = (np.asarray(x, np.float64) - low) / (high - low)
    if np.any((unit < -1e-4) | (unit > 1 + 1e-4)):
        raise ValueError(f"{x} is not between the declared bounds {low:g} and {high:g}")
    unit = np.clip(unit, 0.0, 1.0)
    lower, upper = lower_limit(unit, tail_low), 1 - lower_limit(1 - unit, tail_high)
    return low + (high - low) * lower, low + (high - low) * upper


def skewed_coverage(left: ArrayLike, right: ArrayLike | None = None, *, draws: int = 4000, seed: int = 0) -> float:
    """Simulated coverage of the t interval for lognormal scores with the means and deviations of these [S].

    Printed beside a verdict on skewed scores; no verdict depends on it.
    """
    generator, drawn, truth = np.random.default_rng(seed), [], []
    for side in (left,) if right is None else (left, right):
        x = np.asarray(side, np.float64)
        spread = math.log1p((x.std(ddof=1) / x.mean()) ** 2) if x.mean() else 0.0
        normal = generator.normal(size=(draws, len(x)))
        drawn.append(x.mean() * np.exp(math.sqrt(spread) * normal - spread / 2))
        truth.append(x.mean())
    low, high = t_interval(drawn[0]) if right is None else t_difference(*drawn)
    mean = truth[0] - (truth[1] if right is not None else 0.0)
    return float(np.mean((low <= mean) & (mean <= high)))


# --- ranks and profiles ------------------------------------------------------------------------------


def probability_of_improvement(left: ArrayLike, right: ArrayLike) -> float:
    """Probability that a run of left exceeds one of right, ties counted half: the Mann-Whitney U over its maximum."""
    a, b = np.asarray(left, np.float64)[:, None], np.asarray(right, np.float64)[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))


def average_improvement(lefts: Sequence[ArrayLike], rights: Sequence[ArrayLike]) -> float:
    """Probability of improvement averaged over tasks; each side has one vector per task."""
    pairs = zip(lefts, rights, strict=True)
    return float(np.mean([probability_of_improvement(left, right) for left, right in pairs]))


def improvement_interval(
    lefts: Sequence[ArrayLike], rights: Sequence[ArrayLike], *, level: float = LEVEL, resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:  # fmt: skip
    """Percentile interval of `average_improvement`; each side of each task is resampled separately."""
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
    """Percentile bounds ([K], [K]) of `performance_profile`, separately at each threshold."""
    at = np.asarray(thresholds, np.float64)
    drawn = bootstrap(tasks, lambda *parts, axis: _exceeding(*parts, thresholds=at), resamples=resamples, seed=seed)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _exceeding(*tasks: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Shares [..., K] of runs above each threshold, averaged over tasks [..., S]."""
    return np.mean([(task[..., None] > thresholds).mean(axis=-2) for task in tasks], axis=0)


def mann_whitney(left: ArrayLike, right: ArrayLike) -> float:
    """One-sided p-value of the hypothesis that left is not larger: exact for few values without ties, else normal."""
    from scipy import stats  # imported here because it takes a second to load

    return float(stats.mannwhitneyu(left, right, alternative="greater").pvalue)
