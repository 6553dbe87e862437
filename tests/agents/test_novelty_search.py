"""Novelty search: the official novelty values, and a generation against a plain NumPy one."""

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.evolution.novelty_search import NoveltySearch
from prospect_rl.agents.ops import archive as archives
from tests.agents.evolution import Point, evolve, formula, play, replayed, same_structure

SMALL = NoveltySearch(hidden=(), population=10, neighbours=3, archive_capacity=600).bind(Point.spec)


def slow_novelty(query, references, k, drop=1):
    distance = np.sort(np.linalg.norm(query[:, None] - references[None], axis=2), axis=1)
    return distance[:, drop : k + drop].mean(axis=1)


def test_novelty_equals_the_official_function():
    np.random.seed(0)
    points = np.random.rand(6, 2).astype(np.float32)
    found = archives.novelty(jnp.asarray(points), [(jnp.asarray(points), 6)], 2)
    np.testing.assert_allclose(found, [0.160854, 0.184142, 0.174345, 0.227484, 0.310286, 0.207423], atol=1e-6)


def test_novelty_over_several_tables_of_any_length():
    random = np.random.default_rng(0)
    query = random.random((7, 3)).astype(np.float32)
    tables = [random.random((size, 3)).astype(np.float32) for size in (7, 700, 1200)]
    for counts in [(7, 0, 0), (7, 5, 700), (7, 700, 513), (7, 512, 1200), (7, 700, 1025)]:
        references = [(jnp.asarray(t), n) for t, n in zip(tables, counts, strict=True)]
        together = np.concatenate([t[:n] for t, n in zip(tables, counts, strict=True)])
        for drop in (0, 1):
            found = archives.novelty(jnp.asarray(query), references, 4, drop_first=bool(drop))
            np.testing.assert_allclose(found, slow_novelty(query, together, 4, drop), rtol=1e-5)


def test_novelty_with_few_references():
    one = jnp.array([[0.0, 0.0]])
    assert archives.novelty(one, [(one, 1)], 15)[0] == np.inf
    three = jnp.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    assert archives.novelty(one, [(three, 3)], 15)[0] == 7.5
    assert archives.novelty(one, [(three, 0)], 15, drop_first=False)[0] == np.inf
    assert archives.novelty(one, [(jnp.array([[jnp.nan, 0.0], [0.0, 2.0]]), 2)], 1, drop_first=False)[0] == 2.0


def test_novelty_where_equals_novelty_at_the_masked_rows():
    points = jax.random.uniform(jax.random.key(0), (150, 2))
    mask = jax.random.bernoulli(jax.random.key(1), 0.6, (150,))
    found = archives.novelty_where(points, mask, [(points, 150)], 5, block=16)
    assert (found[~mask] == -jnp.inf).all()
    np.testing.assert_array_equal(found[mask], archives.novelty(points, [(points, 150)], 5)[mask])


def test_archive_counts_what_does_not_fit():
    archive = archives.empty(5, 2, 1)
    rows = {"genome": jnp.ones((4, 2)), "descriptor": jnp.arange(4.0)[:, None], "fitness": jnp.arange(4.0),
            "area": jnp.array([0, 1, 0, -1])}  # fmt: skip
    archive = archives.append(archive, rows, jnp.array([True, False, True, True]))
    assert archive.count == 3 and archive.rows["fitness"][:3].tolist() == [0, 2, 3]
    archive = archives.append(archive, rows, jnp.ones(4, bool))
    assert archive.count == 5 and archive.overflow == 2 and archive.rows["fitness"].tolist() == [0, 2, 3, 0, 1]
    assert archives.best_by_area(archive, 3).tolist() == [2, 1, 0]
    assert archives.best_by_area(archive, 0).tolist() == [3]


def test_a_generation_against_numpy():
    state, record, metrics = evolve(SMALL, formula, 6)
    population, archive = np.asarray(record[0].descriptor), np.zeros((0, 2))
    stored = np.asarray(state.archive.rows["descriptor"])
    for i, data in enumerate(record[1:]):
        children = np.asarray(data.descriptor)
        both = np.concatenate([population, children])
        novelty = slow_novelty(both, np.concatenate([both, archive]), 3)
        added = stored[5 * i : 5 * i + 5]
        assert all((np.abs(children - row).sum(1) == 0).any() for row in added)  # random children are archived
        archive, population = np.concatenate([archive, added]), both[np.argsort(-novelty)[:10]]
    np.testing.assert_allclose(np.sort(population, 0), np.sort(state.population["descriptor"], 0), rtol=1e-6)
    assert metrics[-1]["archive/size"] == 25 and metrics[-1]["archive/overflow"] == 0


def test_failed_evaluations_are_neither_kept_nor_stored():
    def half_fails(genomes, active):
        data = formula(genomes, active)
        return data.replace(returns=data.returns.at[::2].set(jnp.nan))

    state, *_ = evolve(SMALL, half_fails, 4)
    assert np.isfinite(state.population["fitness"]).all()
    assert np.isfinite(state.archive.rows["fitness"][state.archive.filled]).all()


def test_in_an_environment():
    state, _, metrics = play(SMALL, 12)
    same_structure(state, SMALL.init(jax.random.key(0)))
    filled = np.asarray(state.archive.filled)
    fitness, descriptor, area = replayed(SMALL, state.archive.rows["genome"])
    np.testing.assert_array_equal(fitness[filled], state.archive.rows["fitness"][filled])
    np.testing.assert_array_equal(descriptor[filled], state.archive.rows["descriptor"][filled])
    np.testing.assert_array_equal(area[filled], state.archive.rows["area"][filled])
    assert metrics[-1]["archive/size"] == 55
