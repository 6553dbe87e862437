"""NSGA-II: survivors against slow loops, the order of phases, and its limit without reward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.evolution.novelty_search import NoveltySearch
from prospect_rl.agents.evolution.nsga2 import NSGA2
from tests.agents.evolution import Point, begin, evolve, formula, generation, play, replayed, same_structure

SETTINGS = {"hidden": (), "population": 12, "additions": 2, "neighbours": 3, "archive_capacity": 40}
SMALL = NSGA2(**SETTINGS).bind(Point.spec)


def unpaid(genomes, active):
    """The formula without reward."""
    data = formula(genomes, active)
    return data.replace(returns=jnp.zeros_like(data.returns))


def slow_novelty(points, references, k):
    return np.array([np.sort(np.linalg.norm(references - p, axis=1))[1 : k + 1].mean() for p in points])


def beats(a, b):
    return (a >= b).all() and (a > b).any()


def test_survivors_are_the_best_fronts():
    state, *_ = evolve(SMALL, formula, 4)
    after, data, _ = generation(SMALL, formula, phase=1)(state, jax.random.key(7))
    genomes = np.concatenate([state.population["genome"], data.behaviour])
    points = np.concatenate([state.population["descriptor"], data.descriptor])
    stored = np.asarray(state.archive.rows["descriptor"][: int(state.archive.count)])
    values = np.stack([
        slow_novelty(points, np.concatenate([points, stored]), 3),
        np.concatenate([state.population["fitness"], data.fitness]),
    ], axis=1)  # fmt: skip
    kept = [int(np.flatnonzero((genomes == g).all(axis=1))[0]) for g in np.asarray(after.population["genome"])]
    assert len(set(kept)) == 12
    left, rank = set(range(36)), {}
    while left:
        front = {i for i in left if not any(beats(values[j], values[i]) for j in left)}
        rank |= dict.fromkeys(front, max(rank.values(), default=-1) + 1)
        left -= front
    worst = max(rank[i] for i in kept)
    assert all(i in kept for i in range(36) if rank[i] < worst)
    cut = [i for i in range(36) if rank[i] == worst]
    for column in values.T:  # the ends of the front that is cut are kept as far as there is room
        ends = {min(cut, key=lambda i, c=column: c[i]), max(cut, key=lambda i, c=column: c[i])}
        assert ends <= set(kept) or sum(i in kept for i in cut) < 4


def test_without_reward_it_is_novelty_search():
    ours, *_ = evolve(SMALL, unpaid, 5)
    theirs, *_ = evolve(NoveltySearch(**SETTINGS).bind(Point.spec), unpaid, 5)
    np.testing.assert_array_equal(ours.archive.rows["genome"], theirs.archive.rows["genome"])
    order = [np.lexsort(x.population["genome"].T) for x in (ours, theirs)]
    a, b = (np.asarray(x.population["genome"])[o] for x, o in zip((ours, theirs), order, strict=True))
    np.testing.assert_array_equal(a, b)


def test_phases_and_archive():
    state = begin(SMALL, jax.random.key(0))
    assert [want.population for want in SMALL.wants] == [12, 24] and SMALL.phase(state) == 0
    state, record, metrics = evolve(SMALL, formula, 5)
    assert [len(data.active) for data in record] == [12, 24, 24, 24, 24] and SMALL.phase(state) == 1
    assert metrics[-1]["archive/size"] == state.archive.count == 2 * 4
    children = np.concatenate([data.behaviour for data in record[1:]])
    for genome in np.asarray(state.archive.rows["genome"][:8]):
        assert (children == genome).all(axis=1).any()


def test_failed_episodes_do_not_survive():
    def half(genomes, active):
        data = formula(genomes, active)
        return data.replace(returns=jnp.where(jnp.arange(len(active))[:, None] % 2 == 0, jnp.nan, data.returns))

    state, *_ = evolve(SMALL, half, 4)
    assert np.isfinite(state.population["fitness"]).all()
    assert np.isfinite(state.archive.rows["fitness"][: int(state.archive.count)]).all()


@pytest.mark.parametrize("official", [False, True])
def test_exploits_the_best_of_archive_and_population(official):
    agent = NSGA2(**SETTINGS, official_crowding=official).bind(Point.spec)
    state, *_ = evolve(agent, formula, 10)
    best = max(state.population["fitness"].max(), state.archive.rows["fitness"].max())
    assert formula(agent.exploit(state)[None], jnp.ones(1, bool)).fitness[0] == pytest.approx(float(best), rel=1e-6)
    high = state.archive.replace(rows=state.archive.rows | {"fitness": state.archive.rows["fitness"].at[1].set(99.0)})
    np.testing.assert_array_equal(agent.exploit(state.replace(archive=high)), high.rows["genome"][1])


def test_state_is_stable_under_scan():
    state, *_ = evolve(SMALL, formula, 1)
    keys = jax.random.split(jax.random.key(1), 3)
    scanned, _ = jax.lax.scan(lambda s, k: generation(SMALL, formula, phase=1)(s, k)[::2], state, keys)
    same_structure(begin(SMALL, jax.random.key(0)), scanned)


def test_in_an_environment():
    agent = NSGA2(hidden=(4,), population=30, mutation=0.3, archive_capacity=100).bind(Point.spec)
    state, *_ = play(agent, 12)
    fitness, descriptor, area = replayed(agent, state.population["genome"])
    np.testing.assert_allclose(fitness, state.population["fitness"], atol=1e-6)
    np.testing.assert_allclose(descriptor, state.population["descriptor"], atol=1e-6)
    np.testing.assert_array_equal(area, state.population["area"])
    assert fitness.max() > 0.5
