"""Evaluations that are not finite: archive agents neither select nor store them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents
from prospect_rl.agents.ops import archive, emitters, pareto
from tests.agents.evolution import Point, evolve, formula

SMALL = {"hidden": (), "archive_capacity": 500, "population": 10, "neighbours": 3}
CASES = {
    "novelty_search": SMALL,
    "nsga2": SMALL | {"selection": "best"},
    "serene": SMALL | {"chunk": 200, "reward_capacity": 500, "emitter_capacity": 20, "max_emitter_steps": 8},
    "serene, exploring": SMALL | {"chunk": 2000, "reward_capacity": 500, "emitter_capacity": 20},
    "map_elites": {"hidden": (), "batch": 20, "bins": 5},
    "cma_me": {"hidden": (), "emitters": 4, "parallel": 2, "bins": 5},
}


def half(genomes, active):
    """`formula` with a NaN in the descriptor of some policies, an infinite one in others, NaN returns in others."""
    data = formula(genomes, active)
    broken = jnp.stack([jnp.where(genomes[:, 2] > 0, jnp.nan, 0.0), jnp.where(genomes[:, 3] > 1, jnp.inf, 0.0)], 1)
    returns = jnp.where(genomes[:, 4:5] > 1, jnp.nan, data.returns)
    return data.replace(returns=returns, info=data.info | {"descriptor": data.info["descriptor"] + broken[:, None]})


def sound(rows, mask=...):
    """Whether all rows of a table where `mask` holds are of sound policies."""
    genome = np.asarray(rows["genome"])[mask]
    finite = np.isfinite(np.asarray(rows["fitness"])[mask]) & np.isfinite(np.asarray(rows["descriptor"])[mask]).all(1)
    return len(genome) > 0 and finite.all() and ((genome[:, 2] <= 0) & (genome[:, 3] <= 1) & (genome[:, 4] <= 1)).all()


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if case == "serene" else ()) for case in CASES]
)
def test_none_is_selected_or_stored(case):
    agent = agents.make(case.partition(",")[0], **CASES[case]).bind(Point.spec)
    state, record, _ = evolve(agent, half, 60 if case == "serene" else 12)
    bad = [int(np.sum(~np.isfinite(np.asarray(data.descriptor)).all(1))) for data in record]
    assert sum(bad) > 10, "the case is a case"
    report = agent.report(state)
    assert sound(report, np.asarray(report["filled"]))
    if hasattr(state, "population"):
        assert sound(state.population)
    if case == "serene":
        assert state.rewards.count > 0 and state.table.steps.max() > 5
    genome = np.asarray(agent.exploit(state))
    assert genome[2] <= 0 and genome[3] <= 1 and genome[4] <= 1


def test_nothing_not_finite_is_novel():
    references = [(jnp.array([[0.0, 0.0], [3.0, 4.0], [jnp.nan, 0.0]]), 3)]
    query = jnp.array([[jnp.nan, 0.0], [0.0, jnp.inf], [0.0, 0.0]])
    np.testing.assert_array_equal(archive.novelty(query, references, 3), [-jnp.inf, -jnp.inf, 5.0])
    assert archive.novelty(query[2:], [(jnp.zeros((1, 2)), 1)], 3) == jnp.inf, "one alone is as novel as can be"


def test_a_point_with_a_nan_is_on_no_front():
    values, valid = jnp.array([[1.0, 1.0], [jnp.nan, 5.0], [0.0, 0.0], [5.0, jnp.nan]]), jnp.ones(4, bool)
    assert pareto.first_front(values, valid).tolist() == [True, False, False, False]
    assert pareto.fronts(values, valid).tolist() == [0, 4, 1, 4]


def test_a_reservoir_without_room_is_left_alone():
    kind = emitters.Elitist(4, 5.0)
    empty_row = {name: x[0] for name, x in archive.empty(1, 3, 2).rows.items()}
    emitter = emitters.blank(kind, empty_row, 140, 0)
    after = emitters.offer(emitter, jnp.array([1.0, 3.0, -jnp.inf, 2.0]), jnp.float32(0.5), jax.random.key(0))
    assert after.novelty == 3 and after.seen == 0
