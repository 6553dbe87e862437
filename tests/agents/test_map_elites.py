"""MAP-Elites against a brute-force table of all that was evaluated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.evolution.map_elites import MAPElites
from prospect_rl.envs.api import Box, Spec
from tests.agents.evolution import Point, begin, evolve, formula, generation, play, replayed, same_structure

SMALL = MAPElites(hidden=(), batch=20, bins=6).bind(Point.spec)


def test_elites_are_the_best_of_all_evaluations():
    state, record, metrics = evolve(SMALL, formula, 15)
    best = {}
    for data in record:
        for descriptor, fitness in zip(np.asarray(data.descriptor), np.asarray(data.fitness), strict=True):
            cell = tuple(np.clip((descriptor + 1) / 2 * 6, 0, 5).astype(int))
            best[cell] = max(best.get(cell, -np.inf), fitness)
    report = SMALL.report(state)
    found = np.flatnonzero(report["filled"])
    assert {(i // 6, i % 6): report["fitness"][i] for i in found} == best
    assert metrics[-1]["archive/size"] == len(best) and metrics[-1]["archive/overflow"] == 0
    areas = report["area"][found]
    tops = [report["fitness"][found][areas == a].max() for a in (0, 1)]
    np.testing.assert_allclose(metrics[-1]["archive/best"], tops)
    exploited = formula(SMALL.exploit(state)[None], jnp.ones(1, bool)).fitness[0]
    assert exploited == pytest.approx(max(best.values()), rel=1e-6)


def test_random_genomes_first_then_children_of_elites():
    state = begin(SMALL, jax.random.key(0))
    genomes, active = SMALL.explore(state, jax.random.key(1))
    assert genomes.shape == (20, SMALL.genes) and active.all() and float(genomes.std()) > 0.5
    state, *_ = generation(SMALL, formula)(state, jax.random.key(2))
    genomes, _ = SMALL.explore(state, jax.random.key(3))
    elites = state.rows["genome"][state.filled]
    nearest = jnp.min(jnp.linalg.norm(genomes[:, None] - elites[None], axis=-1), axis=1)
    assert np.all(nearest < 5 * 0.05 * np.sqrt(SMALL.genes))


def test_state_is_stable_under_scan():
    state = begin(SMALL, jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 3)
    scanned, _ = jax.lax.scan(lambda s, k: generation(SMALL, formula)(s, k)[::2], state, keys)
    same_structure(state, scanned)


def test_in_an_environment():
    agent = MAPElites(hidden=(4,), batch=30, bins=10, mutation=0.3).bind(Point.spec)
    state, _, metrics = play(agent, 15)
    filled = np.asarray(state.filled)
    fitness, descriptor, area = replayed(agent, state.rows["genome"])
    np.testing.assert_allclose(fitness[filled], state.rows["fitness"][filled], atol=1e-6)
    np.testing.assert_allclose(descriptor[filled], state.rows["descriptor"][filled], atol=1e-6)
    np.testing.assert_array_equal(area[filled], state.rows["area"][filled])
    assert metrics[-1]["archive/size"] > 20 and metrics[-1]["archive/best"].max() > 0.5


def test_misfits():
    with pytest.raises(ValueError, match="needs a behaviour descriptor"):
        MAPElites().bind(Spec(id="x", obs=Box((2,)), action=Box((2,), -1.0, 1.0), horizon=1))
    with pytest.raises(ValueError, match="cells"):
        MAPElites(bins=1000).bind(Point.spec)
    with pytest.raises(ValueError, match="batch must be at least 1"):
        MAPElites(batch=0)
