"""Statistics against numbers worked by hand and against SciPy."""

import numpy as np
import pytest
from scipy import stats

from prospect_rl.experiments.reports import statistics as st


def test_iqm_cuts_a_quarter_from_either_end():
    assert st.iqm([4, 1, 3, 2]) == 2.5
    assert st.iqm([1, 2, 3, 4, 100]) == 3.0  # 5 // 4 = 1 from either end
    assert st.iqm([-50, 2, 4]) == pytest.approx(-44 / 3)  # too few to cut
    assert np.isnan(st.iqm([]))


def test_iqm_agrees_with_scipy_along_any_axis():
    x = np.random.default_rng(0).normal(size=(7, 11))
    np.testing.assert_allclose(st.iqm(x), stats.trim_mean(x, 0.25, axis=1))
    np.testing.assert_allclose(st.iqm(x, axis=0), stats.trim_mean(x, 0.25, axis=0))


def test_present_drops_what_is_not_finite():
    assert st.present([1, np.nan, np.inf, 2]).tolist() == [1.0, 2.0]


def test_interval_of_a_constant_is_a_point():
    assert st.bootstrap_interval([3.0, 3.0, 3.0]) == (3.0, 3.0)


def test_interval_of_two_values_is_their_range():
    # Means of two draws are 0, .5 or 1 with 1/4, 1/2, 1/4: both tails hold far more than 2.5 %.
    assert st.bootstrap_interval([0.0, 1.0]) == (0.0, 1.0)
    assert st.bootstrap_interval([0.0, 1.0], level=0.4) == (0.5, 0.5)


def test_strata_are_resampled_each_on_its_own():
    # Pooled draws would vary from 1 to 5; within strata every resample is {1, 1, 5, 5}.
    assert st.bootstrap_interval([1.0, 1.0], [5.0, 5.0]) == (3.0, 3.0)


def test_interval_agrees_with_scipy():
    x = np.random.default_rng(1).normal(2.0, 1.5, 12)
    theirs = stats.bootstrap((x,), np.mean, method="percentile", n_resamples=20_000, rng=2).confidence_interval
    np.testing.assert_allclose(st.bootstrap_interval(x), theirs, atol=0.03)


def test_intervals_are_the_same_every_time():
    x = np.random.default_rng(5).normal(size=9)
    assert st.bootstrap_interval(x, statistic=st.iqm) == st.bootstrap_interval(x, statistic=st.iqm)


@pytest.mark.parametrize("bad", [[], [1.0, np.nan], [[1.0], [2.0]]])
def test_missing_values_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        st.bootstrap_interval(bad)


# --- intervals of means: do they cover? ---------------------------------------------------------------

DRAWS = 20_000
ERROR = 3 * np.sqrt(0.03 * 0.97 / DRAWS)
"""Three standard errors of a share of .03 of the draws: .0036."""
DRAWN = {"normal": lambda g, shape: g.normal(size=shape), "t(2.5)": lambda g, shape: g.standard_t(2.5, size=shape)}
SEEDS = (3, 5, 10, 20)
SIDES = [(n, n, spread) for n in SEEDS for spread in (1, 4)] + [
    (left, right, spread) for left, right in ((5, 3), (10, 3), (10, 5), (20, 3)) for spread in (0.3, 1, 2, 4)
]  # fmt: skip


def covers(low, high, truth, *, least, error=ERROR):
    """Checks coverage, and that a claim whose margin is the truth passes wrongly in at most 3 % of draws."""
    assert np.mean((low <= truth) & (truth <= high)) >= least - error
    assert np.mean(low > truth) <= 0.03 + error


@pytest.mark.parametrize("scores", DRAWN)
def test_t_intervals_cover(scores):
    """Unequal sides too: with 20 and 3 seeds Welch's own quantile covers in .924 of draws and passes .037 wrongly."""
    generator = np.random.default_rng(0)
    for n in SEEDS:
        x = DRAWN[scores](generator, (DRAWS, n))
        covers(*st.t_interval(x), 0, least=0.93)
        covers(*st.t_difference(x, np.full((DRAWS, 3), 0.5)), -0.5, least=0.93)  # one side constant
        covers(*st.t_difference(np.full((DRAWS, 3), 0.5), x), 0.5, least=0.93)
    for left, right, spread in SIDES:
        a, b = DRAWN[scores](generator, (DRAWS, left)), spread * DRAWN[scores](generator, (DRAWS, right))
        covers(*st.t_difference(a, b), 0, least=0.93)


def test_the_percentile_bootstrap_covers_too_little():
    """Why no verdict rests on it: with three seeds a side .74 where .95 is promised."""
    generator, inside = np.random.default_rng(6), 0
    for _ in range(300):
        difference = [st.bootstrap([generator.normal(size=3)], lambda x, axis: x.mean(axis), resamples=400, seed=i)
                      for i in range(2)]  # fmt: skip
        low, high = st.percentile_interval(difference[0] - difference[1])
        inside += low <= 0 <= high
    assert inside / 300 < 0.85


def test_t_intervals_agree_with_scipy():
    a, b = np.random.default_rng(3).normal(1, 2, (2, 6))
    np.testing.assert_allclose(st.t_interval(a), stats.ttest_1samp(a, 0).confidence_interval())
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    np.testing.assert_allclose(st.t_difference(a, b), theirs)


SUPPORTS = ((0, 1), (0.24, 1), (0.5, 1), (0, 0.24), (0, 0.8), (0.2, 0.8))
CHANCES = np.array([0.01, 0.02, 0.05, *np.arange(0.1, 0.95, 0.05), 0.95, 0.98, 0.99])


def two_point(n, support):
    """All that n scores on two points may be [n + 1, n]: 0 ... n of them on the upper one."""
    low, high = support
    return np.where(np.arange(n) < np.arange(n + 1)[:, None], float(high), float(low))


def chances(n):
    """[C, n + 1]: how probable each of these is."""
    return stats.binom.pmf(np.arange(n + 1), n, CHANCES[:, None])


@pytest.mark.parametrize("n", SEEDS)
def test_bounded_intervals_cover_two_points(n):
    """Exactly, no draws: successes, and scores of runs that either work or do not."""
    for support in SUPPORTS:
        low, high = st.bounded_interval(two_point(n, support), 0, 1)
        truth = support[0] + (support[1] - support[0]) * CHANCES[:, None] * np.ones(n + 1)
        above, below = ((bound * chances(n)).sum(-1) for bound in (low > truth + 1e-9, high < truth - 1e-9))
        assert max(above.max(), below.max()) <= 0.03 and (above + below).max() <= 0.05


@pytest.mark.parametrize(("left", "right"), [*((n, n) for n in SEEDS), (5, 3), (10, 3), (10, 5)])
def test_bounded_differences_cover_two_points(left, right):
    """Exactly: each support and chance against each other, the same on both sides among them."""
    for ours in SUPPORTS:
        for theirs in SUPPORTS:
            a, b = two_point(left, ours)[:, None], two_point(right, theirs)[None]
            low, high = st.bounded_difference(a, b, (0, 1), (0, 1))  # [left + 1, right + 1]
            means = [support[0] + (support[1] - support[0]) * CHANCES for support in (ours, theirs)]
            truth = (means[0][:, None] - means[1])[:, :, None, None]
            for bound in (low > truth + 1e-9, high < truth - 1e-9):
                share = np.einsum("pqij,pi,qj->pq", bound, chances(left), chances(right))
                assert share.max() <= 0.025


@pytest.mark.parametrize("n", [3, 5, 10])
def test_two_looks_pass_wrongly_in_few_draws(n):
    """Seeds doubled where the first ones had not decided: at the larger level, as `judge` has it."""
    again, generator = st.LEVEL_OF_TWO_LOOKS, np.random.default_rng(0)
    a, b = generator.normal(size=(2, 40_000, 2 * n))
    first, second = st.t_difference(a[:, :n], b[:, :n]), st.t_difference(a, b, again)
    assert np.mean((first[0] > 0) | ((first[1] > 0) & (second[0] > 0))) < 0.035
    a, b = generator.binomial(1, 0.5, size=(2, 400, 2 * n))
    bounds = ((0, 1), (0, 1))
    first, second = st.bounded_difference(a[:, :n], b[:, :n], *bounds), st.bounded_difference(a, b, *bounds, again)
    assert np.mean((first[0] > 0) | (second[0] > 0)) < 0.035


def test_products_of_tails_keep_to_their_level():
    for level, c in st.PRODUCT.items():
        assert 0.97 < (c / st.WIDEST * (2 - st.WIDEST) + c * np.log(st.WIDEST**2 / c)) / ((1 - level) / 2) < 1


BOUNDED = {
    "uniform": lambda g, shape: g.random(shape),
    "beta(.5, .5)": lambda g, shape: g.beta(0.5, 0.5, shape),
    "beta(8, 2)": lambda g, shape: g.beta(8, 2, shape),
    "beta(.2, 2)": lambda g, shape: g.beta(0.2, 2, shape),
    "49 of 50": lambda g, shape: g.binomial(50, 0.98, shape) / 50,
    "1 or not": lambda g, shape: np.where(g.random(shape) < 0.1, g.random(shape), 1.0),
}
MEANS = dict(zip(BOUNDED, (0.5, 0.5, 0.8, 1 / 11, 0.98, 0.95), strict=True))


@pytest.mark.parametrize("mean", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("deviation", [0.02, 0.05])
def test_t_intervals_cover_shares_of_cells(mean, deviation):
    """Coverage: the share of 2500 cells that were reached, each seed with a probability of its own.

    Near 1 a single side is skewed: a claim without a rival would pass wrongly in up to 6 % of draws. None is so.
    """
    generator, size = np.random.default_rng(0), mean * (1 - mean) / deviation**2 - 1
    for n in SEEDS:
        chance = generator.beta(mean * size, (1 - mean) * size, (2, DRAWS, n))
        a, b = generator.binomial(2500, chance) / 2500
        low, high = st.t_interval(a)
        assert np.mean((low <= mean) & (mean <= high)) >= 0.93 - ERROR
        assert np.mean(low > mean) <= (0.03 if mean < 0.9 else 0.055) + ERROR
        covers(*st.t_difference(a, b), 0, least=0.93)


@pytest.mark.parametrize("scores", BOUNDED)
def test_bounded_intervals_cover(scores):
    generator, draws = np.random.default_rng(0), 300
    error = 3 * np.sqrt(0.05 * 0.95 / draws)
    for n in SEEDS:
        a, b = BOUNDED[scores](generator, (2, draws, n))
        truth = MEANS[scores]
        covers(*st.bounded_interval(a, 0, 1), truth, least=0.95, error=error)
        covers(*st.bounded_difference(a, b, (0, 1), (0, 1)), 0, least=0.95, error=error)
        covers(*st.bounded_difference(a, b[:, : n // 2 + 1], (0, 1), (0, 1)), 0, least=0.95, error=error)
        fixed = np.full((1, 3), 0.25)  # one side constant
        covers(*st.bounded_difference(a, fixed, (0, 1), (0, 1)), truth - 0.25, least=0.95, error=error)


def test_equal_scores_have_no_interval_of_width_0():
    for value in (0.0, 0.3, 1.0):
        for n in SEEDS:
            x = np.full(n, value)
            for low, high in (
                st.t_interval(x), st.t_difference(x, x), st.bounded_interval(x, 0, 1),
                st.bounded_difference(x, x, (0, 1), (0, 1)), st.t_difference(x, [1.0, 1.1, 0.9]),
            ):  # fmt: skip
                assert high - low > 0.1


def test_limits_of_successes_are_clopper_and_pearsons():
    for wins in range(6):
        theirs = stats.binomtest(wins, 5).proportion_ci(0.95, "exact")
        np.testing.assert_allclose(st.bounded_interval(two_point(5, (0, 1))[wins], 0, 1), theirs, atol=1e-12)
    # Scaled with the bounds: 0, 1 successes of 5 between -1 and 3.
    low, high = st.bounded_interval([-1.0, -1, -1, -1, 3], -1, 3)
    theirs = stats.binomtest(1, 5).proportion_ci(0.95, "exact")
    np.testing.assert_allclose((low, high), (4 * theirs[0] - 1, 4 * theirs[1] - 1))


def test_bounded_intervals_have_power():
    """10 of 10 against 0 of 10: sqrt(c) is the tail of either side, 2 c ** (1 / 20) - 1 the limit."""
    low, high = st.bounded_difference(np.ones(10), np.zeros(10), (0, 1), (0, 1))
    assert low == pytest.approx(2 * st.PRODUCT[st.LEVEL] ** (1 / 20) - 1, abs=1e-3) and high == 1
    # Scores that vary little have narrower intervals than successes with the same mean.
    x = np.random.default_rng(0).beta(50, 50, 20)
    assert np.ptp(st.bounded_interval(x, 0, 1)) < 0.6 * np.ptp(stats.binomtest(10, 20).proportion_ci(0.95, "exact"))


def test_a_score_beyond_its_bounds_is_refused():
    with pytest.raises(ValueError, match="not between the declared bounds 0 and 1"):
        st.bounded_interval([0.5, 1.2, 0.3], 0, 1)
    with pytest.raises(ValueError, match="not between"):
        st.bounded_interval([0.5, 1.0002, 0.3], 0, 1)


def test_errors_of_rounding_are_no_scores_beyond_the_bounds():
    total = np.float32(0)
    for _ in range(103):
        total += np.float32(1 / 103)
    assert total - 1 > 1e-6
    np.testing.assert_array_equal(st.bounded_interval([total] * 3, 0, 1), st.bounded_interval([1.0] * 3, 0, 1))
    np.testing.assert_array_equal(st.bounded_interval([-total] * 3, -1, 1), st.bounded_interval([-1.0] * 3, -1, 1))


def test_coverage_of_skewed_scores_is_simulated():
    """One side of heavy skew covers too little, two alike cover enough; the figure is the same every time."""
    x = [1.0, 1.5, 2.0, 3.0, 40.0]
    assert st.skewed_coverage(x) == st.skewed_coverage(x) < 0.85
    assert st.skewed_coverage(x, x) > 0.95
    assert st.skewed_coverage([1.0, 1.01, 0.99]) == pytest.approx(0.95, abs=0.02)


# --- ranks and profiles ------------------------------------------------------------------------------


def test_probability_of_improvement_counts_ties_half():
    assert st.probability_of_improvement([1, 2, 3], [2]) == 0.5
    assert st.probability_of_improvement([1, 3], [2, 0]) == 0.75
    a, b = np.random.default_rng(7).normal(size=(2, 6))
    u = stats.mannwhitneyu(a, b).statistic
    assert st.probability_of_improvement(a, b) == pytest.approx(u / 36)


def test_mann_whitney_exact():
    assert st.mann_whitney([4, 5, 6], [1, 2, 3]) == pytest.approx(1 / 20)  # one of (6 choose 3) orders
    assert st.mann_whitney([1, 2, 3], [4, 5, 6]) == pytest.approx(1.0)


def test_improvement_is_averaged_over_tasks():
    # 1 of the first task's pairs and 3 of 4 of the second's; a task with more runs weighs no more.
    assert st.average_improvement([[2.0], [1, 3]], [[1.0], [2, 0]]) == pytest.approx((1 + 0.75) / 2)
    with pytest.raises(ValueError, match="zip"):
        st.average_improvement([[1.0]], [[1.0], [2.0]])


def test_interval_of_an_improvement():
    assert st.improvement_interval([[3.0, 4.0]], [[1.0, 2.0]]) == (1.0, 1.0)
    # Left draws {0, 0}, {0, 2} or {2, 2} against a constant 1: 0, .5 or 1 with 1/4, 1/2, 1/4.
    assert st.improvement_interval([[0.0, 2.0]], [[1.0]]) == (0.0, 1.0)
    assert st.improvement_interval([[0.0, 2.0]], [[1.0]], level=0.4) == (0.5, 0.5)
    # A second task that never varies halves the width.
    assert st.improvement_interval([[0.0, 2.0], [1.0]], [[1.0], [1.0]]) == (0.25, 0.75)


def test_profile_counts_runs_above_each_threshold():
    assert st.performance_profile([[0.0, 0.5, 1.0, 1.0]], [-1, 0, 0.5, 1]).tolist() == [1.0, 0.75, 0.5, 0.0]
    assert st.performance_profile([[1.0], [0.0, 1.0, 1.0, 0.0]], [0.5]).tolist() == [0.75]


def test_band_of_a_profile():
    low, high = st.profile_band([[0.0, 1.0]], [-1.0, 0.5, 1.0])
    assert (low.tolist(), high.tolist()) == ([1.0, 0.0, 0.0], [1.0, 1.0, 0.0])
    low, high = st.profile_band([[0.0, 1.0], [2.0, 2.0]], [0.5])  # the second task is always above
    assert (low.tolist(), high.tolist()) == ([0.5], [1.0])
