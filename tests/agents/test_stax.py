"""STAX: what it is where a part of it is taken away, its trainings, and that no stored feature is out of date."""

import dataclasses
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents import Serene, Stax, Taxons, UntrainedStax
from prospect_rl.agents.evolution.serene.state import EMITTER_STEP, EXPLORE, START
from prospect_rl.agents.evolution.stax import training
from prospect_rl.agents.evolution.stax.state import RENEW, TRAIN, State, tables
from prospect_rl.envs.api import Drawing
from prospect_rl.envs.drawing import disc
from prospect_rl.envs.rollout import episodes
from tests.agents.evolution import Point, begin, same_structure
from tests.crashes import CrashError, crash_at

FIELDS = {"hidden": (), "population": 10, "neighbours": 3, "archive_capacity": 300, "chunk": 100,
          "reward_capacity": 400, "emitter_capacity": 20, "max_emitter_steps": 20}  # fmt: skip
SMALL = {"size": 16, "width": 4, "features": 3, "epochs": 2, "train_cap": 40, "batch_size": 16}
SEEN = FIELDS | SMALL


def marks(state, x, y):
    return [(disc(x, y, (20 + 18 * state[0][0], 20 - 18 * state[0][1]), 5), (0, 0, 255))]


class Drawn(Point):
    """The point, which draws itself."""

    spec = Point.spec.__class__(
        **{name: getattr(Point.spec, name) for name in Point.spec.__dataclass_fields__ if name != "draw"},
        draw=Drawing(np.full((40, 40, 3), 255, np.uint8), (jnp.zeros(2), jnp.int32(0)), marks),
    )


def agent_of(cls=Stax, **fields):
    return cls(**SEEN | fields).bind(Drawn.spec)


def programs(agent):
    """phase -> the jitted iteration, (state, key) -> (state, data, metrics)."""

    def one(phase):
        def run(state, key):
            k_explore, k_learn = jax.random.split(key)
            data = None
            if phase not in (TRAIN, RENEW):
                behaviour, active = agent.explore(state, k_explore, phase)
                data = episodes(
                    Drawn(), agent, behaviour, active, jax.random.key(9), jax.random.key(9),
                    population=behaviour.shape[0], frames=getattr(agent, "frames", 0),
                )  # fmt: skip
            state, metrics = agent.learn(state, data, k_learn, phase)
            return state, data, metrics

        return jax.jit(run)

    return {phase: one(phase) for phase in range(len(agent.wants))}


def evolve(agent, iterations, seed=0):
    """(state, [(phase, state before, data, metrics)]) after so many iterations."""
    key, run, record = jax.random.key(seed), programs(agent), []
    state = begin(agent, key)
    for i in range(iterations):
        phase = int(agent.phase(state))
        after, data, metrics = run[phase](state, jax.random.fold_in(key, i))
        record.append((phase, state, data, metrics))
        state = after
    return state, record


def same_search(a, b, iterations):
    """Both make the same policies, to the bit, and store the same ones."""
    (ours, mine), (theirs, other) = evolve(a, iterations), evolve(b, iterations)
    for (phase, _, data, _), (expected, _, wanted, _) in zip(mine, other, strict=True):
        assert phase == expected
        if data is not None:
            np.testing.assert_array_equal(data.behaviour, wanted.behaviour)
    for archive in ("archive", "rewards"):
        for name in ("genome", "fitness", "area"):
            np.testing.assert_array_equal(getattr(ours, archive).rows[name], getattr(theirs, archive).rows[name])
    return ours, theirs, mine


@pytest.fixture(scope="module")
def run():
    agent = agent_of()
    return agent, *evolve(agent, 110)


def test_with_the_true_descriptor_it_is_serene():
    agent = agent_of(space="descriptor", criterion="novelty", references="after")
    ours, theirs, record = same_search(agent, Serene(**FIELDS).bind(Drawn.spec), 60)
    np.testing.assert_array_equal(ours.archive.rows["position"], theirs.archive.rows["descriptor"])
    assert EMITTER_STEP in [phase for phase, *_ in record] and ours.rewards.count > 0


def test_trainings_follow_chunks_1_3_6(run):
    _, state, record = run
    chunks, trained, inside = 0, [], False
    for phase, before, _, _ in record:
        if phase == EXPLORE and before.chunk <= 20:  # a generation of 20 spends the chunk
            chunks += 1
        if phase == TRAIN and not inside:
            trained.append(chunks)
        inside = phase == TRAIN
    assert trained[:3] == [1, 3, 6] and set(trained) <= {1, 3, 6, 10, 15}
    assert isinstance(state, State) and state.learner.interval == 1 + len(trained)


def test_after_a_training_no_stored_feature_is_out_of_date(run):
    agent, _, record = run
    ends = [i + 1 for i, (phase, *_) in enumerate(record[:-1]) if phase == RENEW and record[i + 1][0] != RENEW]
    assert len(ends) >= 3
    for i in ends:
        state, kinds = record[i][1], 0
        for rows, mask in tables(state):
            where = np.flatnonzero(np.asarray(mask))
            if not len(where):
                continue
            kinds += 1
            features, surprise = jax.jit(agent.seen)(state.learner, jax.tree.map(lambda x: x[where], rows["frames"]))  # noqa: B023
            np.testing.assert_allclose(rows["descriptor"][where], features, atol=1e-5)
            np.testing.assert_allclose(rows["surprise"][where], surprise, rtol=1e-4, atol=1e-6)
        held = np.flatnonzero(state.table.active)
        ancestors = state.rewards.rows["descriptor"][state.table.ancestor[held]]
        np.testing.assert_array_equal(state.table.descriptor[held], ancestors)
    assert kinds >= 5, "emitters had members by then"


def test_a_training_lowers_the_error_and_keeps_what_is_held_out_apart(run):
    agent, state, record = run
    begun = [(before.learner, metrics) for phase, before, _, metrics in record if phase == TRAIN]
    assert all(learner.count == 0 or learner.count <= 40 for learner, _ in begun)
    last = state.learner.order
    assert len(set(np.asarray(last[:40]).tolist())) == 40, "a picture is trained on or held out, not both"
    assert record[-1][3]["learn/trainings"] == state.learner.interval - 1
    assert 0 < float(record[-1][3]["features/unexplained"]) < 1.5
    assert training.held_out(agent, state.learner.replace(count=jnp.int32(40))) == 8


def test_rows_report_the_true_descriptor(run):
    agent, state, _ = run
    report = agent.report(state)
    filled = np.asarray(report["filled"])
    assert report["descriptor"].shape[1] == 2 and report["features"].shape[1] == 3 and "frames" not in report
    assert np.isfinite(report["descriptor"][filled]).all()
    ends = state.archive.rows["frames"][0][: int(state.archive.count), -1]
    np.testing.assert_array_equal(report["descriptor"][: int(state.archive.count)], ends)
    same_structure(state, begin(agent, jax.random.key(1)))


def test_without_emitters_it_is_taxons():
    same_search(agent_of(emits=False, criterion="drawn", emitter_capacity=1), agent_of(Taxons, emitter_capacity=1), 12)


def test_never_trained_it_is_the_untrained_one():
    same_search(agent_of(criterion="novelty", interval=10_000), agent_of(UntrainedStax), 30)


def test_the_untrained_slip_keeps_the_population():
    state, record = evolve(agent_of(UntrainedStax, compat="official", chunk=10_000), 5)
    first = record[1][1].population["genome"]
    np.testing.assert_array_equal(state.population["genome"], first)
    assert state.archive.count == 4 * 2 * 5
    fixed, _ = evolve(agent_of(UntrainedStax, chunk=10_000), 5)
    assert fixed.archive.count == 4 * 5 and (fixed.population["genome"] != first).any()


def test_redrawn_weights_come_without_an_epoch():
    agent = agent_of(UntrainedStax, training="redrawn")
    _, record = evolve(agent, 9)
    phases = [phase for phase, *_ in record]
    assert phases.count(TRAIN) == 1 and phases[phases.index(TRAIN) + 1] == RENEW
    before, after = record[phases.index(TRAIN)][1].learner.params, record[phases.index(RENEW)][1].learner.params
    assert (before["to_features"][0] != after["to_features"][0]).all()


def test_criteria_choose_by_what_they_name():
    both = {"fitness": jnp.zeros(4), "surprise": jnp.array([0.0, 3.0, 1.0, 2.0])}
    novelty, key = jnp.array([3.0, 0.0, 1.0, 2.0]), jax.random.key(0)
    chosen = {
        name: set(Stax(criterion=name, population=2, additions=1).survivors(both, novelty, key).tolist())
        for name in ("novelty", "surprise", "fronts")
    }
    assert chosen["novelty"] == {0, 3} and chosen["surprise"] == {1, 3} and chosen["fronts"] == {0, 1}
    drawn = Stax(criterion="drawn", population=2, additions=1)
    found = {frozenset(drawn.survivors(both, novelty, jax.random.key(i)).tolist()) for i in range(20)}
    assert found == {frozenset({0, 3}), frozenset({1, 3})}


@pytest.mark.slow
@pytest.mark.parametrize("fields", [
    {"scheduler": "fixed"}, {"scheduler": "time", "schedule_budget": 1000}, {"scheduler": "bandit"},
    {"emitter_merit": "novelty"}, {"emitter": "cmaes"}, {"frames": 3, "features_of": "last"},
    {"frames": 2, "colour": True, "input": "raw"}, {"space": "pictures"},
])  # fmt: skip
def test_other_settings_run(fields):
    state, record = evolve(agent_of(**fields), 60)
    assert all(np.isfinite(x).all() for _, _, _, metrics in record for x in metrics.values())
    assert state.archive.count > 0 and state.turns.used == sum(int(d.active.sum()) for _, _, d, _ in record if d)
    assert {START, EXPLORE} <= {phase for phase, *_ in record}


ROW = {"archive/size": 1, "archive/rewards": 1, "archive/overflow": 0, "emitters/lost": 0, "features/spread": 0.1,
       "features/blank": 0.0, "learn/trainings": 1}  # fmt: skip


def test_features_and_pictures_that_tell_nothing_are_told():
    assert Stax().notices(ROW) == []
    (text,) = Stax().notices(ROW | {"features/spread": 0.0})
    assert "collapsed" in text
    (text,) = Stax().notices(ROW | {"features/blank": 1.0})
    assert "nothing that moves" in text


def test_settings_that_cannot_be_are_one_line():
    with pytest.raises(ValueError, match="size must be a multiple of 16, not 40"):
        Stax(size=40)
    with pytest.raises(ValueError, match="frames need more than 8 steps"):
        agent_of(frames=8)
    with pytest.raises(ValueError, match="it needs a drawing of states"):
        Stax().bind(Point.spec)
    assert Stax(**SEEN).misfit(envs.make("maze/hard").spec) is None


@pytest.mark.slow
def test_an_environment_of_the_readers_own_trains():
    """The example of README.md with the drawing of docs/methods/stax.md."""
    from prospect_rl.experiments import train

    blocks = [
        re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / page).read_text("utf-8"), re.S)
        for page in ("README.md", "docs/methods/stax.md")
    ]
    names = {"__name__": "example"}
    exec(blocks[0][1].partition("\nresult = ")[0], names)
    exec(blocks[1][0], names)
    hill = names["Hill"]
    hill.spec = dataclasses.replace(hill.spec, draw=names["drawing"])
    result = train(Stax(**SMALL, chunk=400), hill(), budget=2000, evals=2)
    assert result.rows[-1]["learn/trainings"] >= 1 and result.rows[-1]["features/blank"] == 0


@pytest.mark.slow
def test_killed_in_trainings_it_ends_with_the_same_bits(tmp_path, monkeypatch, fine):
    from prospect_rl.experiments import train

    monkeypatch.setattr(training, "PART", 1)  # an epoch takes three iterations
    kills = [8, 10, 11, 20, 30, 33]
    killer = crash_at(kills)

    def run(folder, progress=None):
        agent = Stax(**SEEN)
        return train(agent, envs.make("point/sparse"), budget=900, evals=2, out=tmp_path / folder, progress=progress)

    calm = run("calm")
    assert calm.rows[-1]["learn/trainings"] >= 2
    for _ in kills:
        with pytest.raises(CrashError):
            run("killed", killer)
    result = run("killed", killer)
    assert result.digest == calm.digest and result.rows == calm.rows
