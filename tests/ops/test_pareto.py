"""Fronts and crowding against hand-worked points and slow loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.ops import pareto

crowding = jax.jit(pareto.crowding, static_argnames="official")
fronts = jax.jit(pareto.fronts, static_argnames="enough")
first_front = jax.jit(pareto.first_front)

FRONT = jnp.array([[0.0, 3.0], [3.0, 0.0], [1.0, 2.0], [2.0, 0.9]])
"""Four points of one front, on which SERENE's official distance goes to the wrong points (docs/methods/serene.md)."""


def beats(a, b):
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))


def slow_fronts(values, valid):
    rank, left, number = np.full(len(values), len(values)), {i for i in range(len(values)) if valid[i]}, 0
    while left:
        front = {i for i in left if not any(beats(values[j], values[i]) for j in left)}
        rank[list(front)], left, number = number, left - front, number + 1
    return rank


def slow_crowding(values, rank):
    total = np.zeros(len(values))
    for number in set(rank):
        members = np.flatnonzero(rank == number)
        for column in values.T:
            order = members[np.argsort(column[members], kind="stable")]
            spread = column[order[-1]] - column[order[0]]
            if spread == 0 and len(order) > 1:
                continue
            total[order[0]] = total[order[-1]] = np.inf
            for before, at, after in zip(order, order[1:], order[2:]):  # noqa: B905
                total[at] += (column[after] - column[before]) / spread
    return total


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("levels", [4, 1000])  # 4: many ties and duplicates
def test_against_slow_loops(objectives, levels):
    random = np.random.default_rng(objectives)
    for _ in range(5):
        values = random.integers(levels, size=(40, objectives)).astype(np.float32)
        valid = random.random(40) > 0.2
        rank = np.asarray(fronts(jnp.asarray(values), jnp.asarray(valid)))
        np.testing.assert_array_equal(rank, slow_fronts(values, valid))
        np.testing.assert_array_equal(first_front(jnp.asarray(values), jnp.asarray(valid)), rank == 0)
        np.testing.assert_allclose(crowding(jnp.asarray(values), jnp.asarray(rank)), slow_crowding(values, rank), 1e-5)


def test_enough_stops_at_whole_fronts():
    values = jnp.array([[4.0], [1.0], [3.0], [3.0], [2.0]])
    rank = fronts(values, jnp.ones(5, bool), enough=2)
    assert rank.tolist() == [0, 5, 1, 1, 5]


def test_nothing_valid_is_no_endless_loop():
    rank = fronts(FRONT, jnp.zeros(4, bool))
    assert rank.tolist() == [4] * 4


def test_infinite_values_are_compared():
    values = jnp.array([[jnp.inf, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert first_front(values, jnp.ones(3, bool)).tolist() == [True, False, True]


def test_crowding_by_hand():
    distance = crowding(FRONT, jnp.zeros(4, jnp.int32))
    np.testing.assert_allclose(distance, [np.inf, np.inf, 2 / 3 + 2.1 / 3, 2 / 3 + 2 / 3], 1e-6)


def test_official_crowding_gives_the_ends_to_the_wrong_points():
    distance = crowding(FRONT, jnp.zeros(4, jnp.int32), official=True)
    np.testing.assert_allclose(distance, [np.inf, 2 / 3 + 2 / 3, 2 / 3 + 2.1 / 3, np.inf], 1e-6)
