"""CMA-ME: which emitter runs, what it learns from, when it begins anew."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.evolution.cma_me import CMAME, decompose_due, improvement
from prospect_rl.agents.ops import cmaes
from tests.agents.evolution import Point, begin, evolve, formula, generation, play, replayed, same_structure

SMALL = CMAME(hidden=(), emitters=5, parallel=2, bins=6).bind(Point.spec)


def nothing(genomes, active):
    """Every evaluation fails."""
    data = formula(genomes, active)
    return data.replace(returns=jnp.full_like(data.returns, jnp.nan))


def test_the_emitters_that_stored_least_run():
    state = begin(SMALL, jax.random.key(0)).replace(stored=jnp.array([4, 0, 2, 0, 1], jnp.int32))
    assert SMALL.running(state).tolist() == [1, 3]
    narrow = state.emitters.replace(sigma=jnp.full(5, 1e-5))
    genomes, _ = SMALL.explore(state.replace(emitters=narrow), jax.random.key(1))
    owners = jnp.repeat(state.emitters.mean[jnp.array([1, 3])], SMALL.batch, axis=0)
    np.testing.assert_allclose(genomes, owners, atol=1e-3)


def test_one_iteration_by_hand():
    """The running emitters learn as `cmaes` says, the others rest; the counters count."""
    state = begin(SMALL, jax.random.key(0))
    after, data, metrics = generation(SMALL, formula)(state, jax.random.key(1))
    for i in range(2):
        mine = slice(6 * i, 6 * i + 6)
        emitter = jax.tree.map(lambda x, i=i: x[i], state.emitters)
        told = jax.jit(cmaes.tell)(emitter, data.behaviour[mine], data.fitness[mine])
        np.testing.assert_allclose(after.emitters.mean[i], told.mean, rtol=1e-5)
        np.testing.assert_allclose(after.emitters.sigma[i], told.sigma, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(state.emitters), jax.tree.leaves(after.emitters), strict=True):
        np.testing.assert_array_equal(a[2:], b[2:])
    assert after.stored[:2].sum() == metrics["learn/stored"] >= metrics["archive/size"] > 0
    assert after.stored[2:].sum() == 0 and after.restarts == 0


def test_an_emitter_that_stores_nothing_begins_anew_around_an_elite():
    state, *_ = evolve(SMALL, formula, 8)
    elites = state.grid.rows["genome"][state.grid.filled]
    running = SMALL.running(state)
    after, *_ = generation(SMALL, nothing)(state, jax.random.key(5))
    assert after.restarts == state.restarts + 2 and after.grid.size == state.grid.size
    for i in running:
        assert jnp.any(jnp.all(after.emitters.mean[i][None] == elites, axis=1))
        assert after.emitters.sigma[i] == 0.5 and after.emitters.generation[i] == 0 and after.stored[i] == 0
        np.testing.assert_array_equal(after.emitters.cov[i], np.eye(SMALL.genes))


def test_failures_at_the_start_leave_finite_emitters():
    state, *_ = evolve(SMALL, nothing, 3)
    assert state.grid.size == 0 and all(np.isfinite(x).all() for x in jax.tree.leaves(state.emitters))


@pytest.mark.parametrize("ranking", ["optimising", "improvement"])
def test_climbs_a_quadratic(ranking):
    """One emitter, and cells enough that it hardly ever begins anew: the top is 10, at genes of 1."""
    agent = CMAME(hidden=(), emitters=1, parallel=1, bins=100, ranking=ranking, step_size=0.3).bind(Point.spec)
    state, record, metrics = evolve(agent, formula, 60)
    assert record[0].fitness.mean() < 9 < 9.9 < record[-1].fitness.mean()
    assert metrics[-1]["archive/best"].max() > 9.99
    same_structure(begin(agent, jax.random.key(0)), state)


def test_improvement_by_hand():
    """New cells first, by fitness; then raised ones, by the gain; a tie is no improvement."""
    fitness = jnp.array([[5.0, 1.0, 3.0, 2.0, 4.0, 0.0]])
    before = jnp.array([[4.5, -jnp.inf, 1.0, -jnp.inf, 4.0, 2.0]])
    added = jnp.array([[True, True, True, True, True, False]])
    better, score = improvement(fitness, before, added)
    assert better.tolist() == [[True, True, True, True, False, False]]
    assert score.tolist() == [[2, 4, 3, 5, 1, 0]]


def test_only_due_eigenvalues_are_renewed():
    cov = jnp.broadcast_to(jnp.diag(jnp.array([4.0, 1.0])), (3, 2, 2))
    emitters = jax.vmap(lambda m: cmaes.init(m, 1.0))(jnp.zeros((3, 2)))
    emitters = emitters.replace(cov=cov, generation=jnp.array([2, 1, 3], jnp.int32))
    after = jax.jit(decompose_due, static_argnums=1)(emitters, 2)
    assert after.decomposed.tolist() == [2, 0, 3]
    np.testing.assert_allclose(np.sort(after.scale, axis=1), [[1, 2], [1, 1], [1, 2]], rtol=1e-6)


def test_in_an_environment():
    agent = CMAME(hidden=(4,), emitters=10, parallel=5, bins=10, ranking="improvement").bind(Point.spec)
    state, _, metrics = play(agent, 12)
    filled = np.asarray(state.grid.filled)
    fitness, descriptor, area = replayed(agent, state.grid.rows["genome"])
    np.testing.assert_allclose(fitness[filled], agent.report(state)["fitness"][filled], atol=1e-6)
    np.testing.assert_allclose(descriptor[filled], agent.report(state)["descriptor"][filled], atol=1e-6)
    assert metrics[-1]["archive/size"] > 20 and metrics[-1]["archive/best"].max() > 0.5


def test_bad_settings():
    with pytest.raises(ValueError, match="parallel must be at most the number of emitters"):
        CMAME(emitters=4, parallel=5)
    with pytest.raises(ValueError, match="ranking must be 'optimising' or 'improvement'"):
        CMAME(ranking="random")
