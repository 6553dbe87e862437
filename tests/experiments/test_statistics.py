"""Statistics against numbers worked by hand and against SciPy."""

import numpy as np
import pytest
from scipy import stats

from experiments import statistics as st


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


def test_difference_interval_agrees_with_scipy():
    generator = np.random.default_rng(3)
    a, b = generator.normal(1, 1, 10), generator.normal(0, 2, 8)
    theirs = stats.bootstrap(
        (a, b), lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis), method="percentile", n_resamples=20_000, rng=4
    ).confidence_interval
    np.testing.assert_allclose(st.difference_interval(a, b), theirs, atol=0.05)
    assert st.difference_interval([1.0, 1.0], [0.25, 0.25]) == (0.75, 0.75)


def test_intervals_are_the_same_every_time():
    x = np.random.default_rng(5).normal(size=9)
    assert st.bootstrap_interval(x, statistic=st.iqm) == st.bootstrap_interval(x, statistic=st.iqm)


def test_coverage_of_the_interval():
    generator = np.random.default_rng(6)
    inside = 0
    for _ in range(200):
        low, high = st.bootstrap_interval(generator.normal(size=30), resamples=400)
        inside += low < 0 < high
    assert 0.88 < inside / 200 < 0.99


@pytest.mark.parametrize("bad", [[], [1.0, np.nan], [[1.0], [2.0]]])
def test_missing_values_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        st.bootstrap_interval(bad)


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
