"""The ledger against figures worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from prospect_rl.envs.api import Box, Episodes, Spec
from prospect_rl.experiments.run import ledger as books


def spec(areas, descriptor=None):
    box = Box((2,))
    return Spec("test/x", box, box, 5, descriptor=descriptor or Box((2,), -1.0, 1.0), areas=areas)


def episodes(returns, active, area=None, descriptor=None):
    returns = jnp.asarray(returns, jnp.float32)
    shape = returns.shape
    info = {
        "descriptor": jnp.zeros((*shape, 2)) if descriptor is None else jnp.asarray(descriptor, jnp.float32),
        "area": jnp.where(returns > 0, 0, -1) if area is None else jnp.asarray(area),
    }
    return Episodes(None, jnp.asarray(active), returns, jnp.full(shape, 5), info)


def counted(s, *datas, used=0, phase=0, covers=True):
    ledger = books.open_ledger(s, 2, archive=False)
    update = jax.jit(lambda b, data, used: books.update(b, s, data, used, phase=phase, covers=covers))
    for data in datas:
        ledger = update(ledger, data, jnp.int32(used))
        used += int(data.active.sum()) * data.returns.shape[1]
    return ledger


def test_first_and_reached_are_numbers_of_single_evaluations():
    # Member 1 takes no part: members 0, 2, 3, 4 are evaluations 11, 12, 13, 14.
    data = episodes([[0], [5], [0.5], [0.95], [0.99]], [True, False, True, True, True], [[-1], [0], [1], [1], [1]])
    ledger = counted(spec(2), data, used=10)
    assert ledger.first.tolist() == [-1, 12]
    assert ledger.reached.tolist() == [-1, 13]
    assert ledger.paid.tolist() == [0, 3]
    np.testing.assert_allclose(ledger.best, [-np.inf, 0.99])
    assert ledger.per_phase.tolist() == [4, 0]


def test_what_came_first_stays_and_the_best_grows():
    ledger = counted(spec(1), episodes([[0.0], [0.4]], [True] * 2), episodes([[0.95], [0.3]], [True] * 2))
    assert (ledger.first.tolist(), ledger.reached.tolist(), ledger.paid.tolist()) == ([2], [3], [3])
    np.testing.assert_allclose(ledger.best, [0.95])


def test_every_episode_of_a_policy_is_an_evaluation():
    # Policies 0 and 2 of three, two episodes each: evaluations 1, 2 and 3, 4.
    ledger = counted(spec(0), episodes([[0, 0], [9, 9], [0, 1]], [True, False, True]))
    assert ledger.first.tolist() == [4] and ledger.visited.sum() == 4


def test_nan_and_infinite_fitness_never_pay():
    data = episodes([[np.nan], [-np.inf], [np.inf]], [True] * 3, [[0], [0], [0]])
    ledger = counted(spec(1), data)
    assert ledger.paid.tolist() == [0] and ledger.first.tolist() == [-1] and ledger.best[0] == -jnp.inf
    assert books.summary(ledger)["ledger/phase_0"] == 3, "they were evaluated all the same"


def test_cells_at_the_bounds_and_beyond_them():
    space = Box((2,), (-1.0, 0.0), (1.0, 100.0))
    points = jnp.asarray([[-1.0, 0.0], [1.0, 100.0], [0.0, 49.9], [-7.0, 700.0], [-0.96, 2.0]])
    rows, columns = books.cells(points, space)
    assert rows.tolist() == [0, 49, 25, 0, 1] and columns.tolist() == [0, 49, 24, 49, 1]


def test_a_phase_that_does_not_cover_is_visited_but_not_explored():
    descriptor = [[[-1, -1]], [[1, 1]], [[np.nan, 0]]]
    data = episodes([[0], [0], [0]], [True] * 3, descriptor=descriptor)
    ledger = counted(spec(1), data, phase=1, covers=False)
    assert int(ledger.explored.sum()) == 0
    assert int(ledger.visited[0, 0]) == int(ledger.visited[49, 49]) == 1
    assert int(ledger.visited.sum()) == 2, "a descriptor that is no number has no cell"
    assert ledger.per_phase.tolist() == [0, 3]
    figures = books.summary(ledger)
    assert figures["ledger/coverage"] == 0 and figures["ledger/coverage_all"] == 2 / 2500
    assert np.isnan(figures["ledger/uniformity"])


def test_other_numbers_of_dimensions():
    one = spec(1, Box((1,), 0.0, 1.0))
    data = episodes([[0.0]], [True], descriptor=[[[0.5]]])
    assert counted(one, data).explored.shape == (50,)
    three = spec(1, Box((3,), 0.0, 1.0))
    data = episodes([[0.0]], [True], descriptor=[[[0.0, 0.999, 0.5]]])
    assert int(counted(three, data).explored[0, 49]) == 1


def test_uniformity():
    assert books.uniformity(np.ones((50, 50))) == pytest.approx(1)
    one = np.zeros((50, 50))
    one[3, 4] = 7
    # p = 1 in one cell of n: JSD = (log2(2n/(n+1)) + (log2(2/(n+1)) + n - 1) / n) / 2, worked by hand.
    n = 2500
    divergence = (np.log2(2 * n / (n + 1)) + (np.log2(2 / (n + 1)) + n - 1) / n) / 2
    assert books.uniformity(one) == pytest.approx(1 - np.sqrt(divergence))
    visits = np.random.default_rng(0).poisson(1.0, (50, 50))
    oracle = jensenshannon(visits.ravel(), np.ones(2500), base=2)
    assert books.uniformity(visits) == pytest.approx(1 - oracle)


def test_what_the_archive_holds_is_known_to_the_iteration():
    ledger = books.open_ledger(spec(2), 1, archive=True)
    for used, best in [(10, [-np.inf, 0.5]), (20, [0.0, 0.95]), (30, [np.nan, 0.2])]:
        ledger = books.update_stored(ledger, jnp.asarray(best), jnp.int32(used))
    assert ledger.stored.first.tolist() == [-1, 10] and ledger.stored.reached.tolist() == [-1, 20]
    figures = books.summary(ledger)
    assert figures["ledger/stored_best_0"] == -np.inf
    assert figures["ledger/stored_best_1"] == pytest.approx(0.95), "the best ever, though the archive has lost it"


def test_summary_names():
    ledger = counted(spec(1), episodes([[1.0]], [True]))
    assert books.summary(ledger) == {
        "ledger/coverage": 1 / 2500, "ledger/coverage_all": 1 / 2500,
        "ledger/uniformity": pytest.approx(books.uniformity(np.eye(1, 2500))), "ledger/best_0": 1.0,
        "ledger/first_0": 1, "ledger/reached_0": 1, "ledger/paid_0": 1, "ledger/phase_0": 1, "ledger/phase_1": 0,
    }  # fmt: skip
