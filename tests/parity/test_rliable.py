"""Our statistics equal rliable's. It needs pandas below 3: `make test-rliable` runs this in its own environment."""

import numpy as np
import pytest

from prospect_rl.experiments.reports import statistics as st

library, metrics = pytest.importorskip("rliable.library"), pytest.importorskip("rliable.metrics")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of how it draws
RESAMPLES = 2000


@pytest.fixture(scope="module")
def scores():
    """[S, tasks] of two agents with different numbers of seeds."""
    generator = np.random.default_rng(8)
    return generator.normal(0.3, 1, (10, 3)), np.round(generator.normal(0, 1, (8, 3)))


def test_interquartile_means(scores):
    for table in scores:
        assert float(st.iqm(table.ravel())) == pytest.approx(metrics.aggregate_iqm(table))
    one_task = {"a": scores[0][:, :1]}
    points, intervals = library.get_interval_estimates(
        one_task, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=RESAMPLES, random_state=np.random.RandomState(9)
    )
    ours = st.bootstrap_interval(scores[0][:, 0], statistic=st.iqm, resamples=RESAMPLES)
    np.testing.assert_allclose(ours, intervals["a"][:, 0], atol=0.06)
    assert float(st.iqm(scores[0][:, 0])) == pytest.approx(points["a"][0])


def test_probability_of_improvement(scores):
    a, b = scores
    assert st.average_improvement(list(a.T), list(b.T)) == pytest.approx(metrics.probability_of_improvement(a, b))
    points, intervals = library.get_interval_estimates(
        {"a,b": (a, b)}, metrics.probability_of_improvement, reps=RESAMPLES, random_state=np.random.RandomState(9)
    )
    assert points["a,b"] == pytest.approx(st.average_improvement(list(a.T), list(b.T)))
    np.testing.assert_allclose(st.improvement_interval(list(a.T), list(b.T)), intervals["a,b"][:, 0], atol=0.03)


def test_performance_profiles(scores):
    at = np.linspace(-2, 2, 9)
    tables = dict(zip("ab", scores, strict=True))
    profiles, bands = library.create_performance_profile(tables, at, reps=RESAMPLES)
    for name, table in tables.items():
        np.testing.assert_allclose(st.performance_profile(list(table.T), at), profiles[name])
        np.testing.assert_allclose(st.profile_band(list(table.T), at), bands[name], atol=0.06)
