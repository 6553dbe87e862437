"""The grid against a loop of single insertions, pyribs' archive, and cells worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ribs.archives import GridArchive

from prospect_rl.agents.ops import grid
from prospect_rl.envs.api import Box

insert = jax.jit(grid.insert)
draw = jax.jit(grid.draw, static_argnums=2)
summary = jax.jit(grid.summary, static_argnums=1)
SPACE = Box((2,), (-1.0, 0.0), (1.0, 4.0))


def candidates(random, count, levels=None):
    descriptor = random.uniform((-1.1, -0.2), (1.1, 4.2), (count, 2)).astype(np.float32)
    fitness = random.random(count) if levels is None else random.integers(levels, size=count)
    return {
        "genome": random.normal(size=(count, 3)).astype(np.float32),
        "descriptor": descriptor,
        "fitness": fitness.astype(np.float32),
        "area": random.integers(-1, 2, size=count).astype(np.int32),
    }


def as_jax(rows):
    return {name: jnp.asarray(x) for name, x in rows.items()}


def test_cells_by_hand():
    g = grid.empty(SPACE, 4, 1)  # cells of 0.5 x 1
    at = jnp.array([[-1.0, 0.0], [-0.5, 0.99], [-0.51, 1.0], [1.0, 4.0], [-9.0, 9.0], [0.0, 2.0]])
    assert grid.cells(g, at).tolist() == [0, 4, 1, 15, 3, 10]


def test_equals_one_at_a_time():
    random = np.random.default_rng(0)
    g, slow = grid.empty(SPACE, 5, 3), {}
    for _ in range(6):
        rows, active = candidates(random, 30, levels=4), random.random(30) > 0.2
        rows["fitness"][random.integers(30)] = -np.inf
        rows["descriptor"][random.integers(30)] = np.nan
        places = np.asarray(grid.cells(g, jnp.asarray(rows["descriptor"])))
        expected = np.zeros(30, bool)
        for i, cell in enumerate(places):
            sound = active[i] and np.isfinite(rows["fitness"][i]) and np.isfinite(rows["descriptor"][i]).all()
            if sound and (cell not in slow or rows["fitness"][i] >= slow[cell]["fitness"]):
                slow[cell], expected[i] = {name: x[i] for name, x in rows.items()}, True
        g, added = insert(g, as_jax(rows), jnp.asarray(active))
        np.testing.assert_array_equal(added, expected)
        assert set(np.flatnonzero(g.filled)) == set(slow) and g.size == len(slow)
        for cell, row in slow.items():
            for name, value in row.items():
                np.testing.assert_array_equal(g.rows[name][cell], value)


def test_equals_pyribs():
    random = np.random.default_rng(1)
    g, oracle = grid.empty(SPACE, 6, 3), GridArchive(solution_dim=3, dims=(6, 6), ranges=[(-1, 1), (0, 4)])
    for _ in range(5):
        rows = candidates(random, 40)
        oracle.add(rows["genome"], rows["fitness"], rows["descriptor"])
        g, _ = insert(g, as_jax(rows), jnp.ones(40, bool))
    data = oracle.data()
    assert g.size == len(oracle)
    np.testing.assert_allclose(g.rows["fitness"][data["index"]], data["objective"])
    np.testing.assert_allclose(g.rows["genome"][data["index"]], data["solution"])


def test_empty_cells_and_summary():
    g = grid.empty(SPACE, 3, 2)
    assert g.size == 0 and summary(g, 2)["archive/best"].tolist() == [0, 0]
    assert grid.best(g).tolist() == [0, 0] and not draw(g, jax.random.key(0), 4).any()
    rows = {
        "genome": jnp.arange(6.0).reshape(3, 2), "descriptor": jnp.array([[-1.0, 0.0], [1.0, 4.0], [1.0, 0.0]]),
        "fitness": jnp.array([0.25, 0.5, 0.75]), "area": jnp.array([1, 1, -1]),
    }  # fmt: skip
    g, _ = insert(g, rows, jnp.ones(3, bool))
    assert summary(g, 2)["archive/best"].tolist() == [0, 0.5]
    assert summary(g, 0)["archive/best"].tolist() == [0.75]
    assert grid.best(g).tolist() == [4, 5]


def test_draws_filled_cells_evenly():
    g = grid.empty(SPACE, 10, 1)
    descriptor = jnp.array([[-0.9, 0.3], [0.9, 3.9], [0.1, 2.2]])
    rows = {
        "genome": jnp.array([[1.0], [2.0], [3.0]]), "descriptor": descriptor,
        "fitness": jnp.zeros(3), "area": jnp.full(3, -1),
    }  # fmt: skip
    g, _ = insert(g, rows, jnp.ones(3, bool))
    values, counts = np.unique(draw(g, jax.random.key(0), 3000), return_counts=True)
    assert values.tolist() == [1, 2, 3] and np.all(np.abs(counts - 1000) < 120)  # 4.6 standard deviations


def test_bad_spaces():
    with pytest.raises(ValueError, match=r"50 bins of 4 dimensions are 6,250,000 cells"):
        grid.empty(Box((4,), 0.0, 1.0), 50, 1)
    with pytest.raises(ValueError, match="finite descriptor bounds"):
        grid.empty(Box((2,)), 50, 1)
    with pytest.raises(ValueError, match="needs a behaviour descriptor"):
        grid.empty(None, 50, 1)
