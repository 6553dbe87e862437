"""STAX: what it is where a part of it is taken away, its trainings, and that no stored feature is out of date."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents import Serene, Stax, Taxons, UntrainedStax
from prospect_rl.agents.evolution.serene.state import EMITTER_STEP, EXPLORE, START
from prospect_rl.agents.evolution.stax import training
from prospect_rl.agents.evolution.stax.state import RENEW, TRAIN, State, tables
from tests.agents.drawn import SMALL, Drawn, evolve
from tests.agents.evolution import Point, begin, same_structure
from tests.crashes import CrashError, crash_at

FIELDS = {"hidden": (), "population": 10, "neighbours": 3, "archive_capacity": 300, "chunk": 100,
          "reward_capacity": 400, "emitter_capacity": 20, "max_emitter_steps": 20}  # fmt: skip
SEEN = FIELDS | SMALL


def agent_of(cls=Stax, **fields):
    return cls(**SEEN | fields).bind(Drawn.spec)


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


def test_features_stand_side_by_side_and_surprises_add_up():
    agent = agent_of(frames=3)
    learner = agent.learner(jax.random.key(0))
    frames = (jax.random.uniform(jax.random.key(1), (4, 3, 2), minval=-1), jnp.zeros((4, 3), jnp.int32))
    features, surprise = agent.seen(learner, frames)
    each = [agent.seen(learner, jax.tree.map(lambda x: x[:, i : i + 1], frames)) for i in range(3)]  # noqa: B023
    np.testing.assert_allclose(features, jnp.concatenate([one for one, _ in each], axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(surprise, sum(error for _, error in each), rtol=1e-5)
    assert features.shape == (4, agent.dimensions) == (4, 9)
    last = agent_of(frames=3, features_of="last")
    np.testing.assert_allclose(last.seen(learner, frames)[0], each[-1][0], rtol=1e-5, atol=1e-6)
    assert last.dimensions == 3 and Stax(frames=5).features * 5 == 50


def test_raw_pixels_are_projected_with_their_distances():
    agent = agent_of(space="pictures", features=500)
    frames = (jax.random.uniform(jax.random.key(1), (8, 1, 2), minval=-1), jnp.zeros((8, 1), jnp.int32))
    features, surprise = agent.seen(agent.learner(jax.random.key(0)), frames)
    pictures = agent.look(jax.tree.map(lambda x: x[:, 0], frames)).reshape(8, -1)
    apart = lambda x: np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(8, 1)]  # noqa: E731
    np.testing.assert_allclose(apart(np.asarray(features)), apart(np.asarray(pictures)), rtol=0.25)
    assert not surprise.any()


def test_schedulers_choose_as_they_say():
    chance = jax.jit(lambda agent, state: jnp.mean(jnp.stack([
        agent._exploits(state, jax.random.key(i)).astype(jnp.float32) for i in range(200)
    ])), static_argnums=0)  # fmt: skip
    state = begin(agent_of(), jax.random.key(0))
    assert chance(agent_of(), state) == 1 and 0.4 < chance(agent_of(scheduler="fixed"), state) < 0.6
    for used, low, high in ((0, 0.0, 0.0), (250, 0.15, 0.35), (1000, 1.0, 1.0)):
        now = state.replace(turns=state.turns.replace(used=jnp.int32(used)))
        assert low <= chance(agent_of(scheduler="time", schedule_budget=1000), now) <= high
    bandit = agent_of(scheduler="bandit")
    assert chance(bandit, state) == 0, "with nothing to exploit it explores"
    ready = state.replace(table=state.table.replace(active=state.table.active.at[:2].set(True)))
    for arm, known, paid in ((0, 0, -np.tanh(2.0)), (1, 3, np.tanh(-1.0))):
        told = bandit._told(ready.replace(turns=state.turns.replace(known=jnp.int32(known))), jnp.ones((), bool), arm)
        assert told.turns.value[arm] == pytest.approx(paid, abs=1e-6) and told.turns.pulls[arm] == 1
    pulls, value = jnp.array([4, 1], jnp.int32), jnp.array([0.5, 0.1])  # .5 + sqrt(ln 5 / 4) < .1 + sqrt(ln 5)
    turns = state.turns.replace(pulls=pulls, value=value)
    assert chance(bandit, ready.replace(turns=turns)) == 1
    assert chance(bandit, ready.replace(turns=turns.replace(value=jnp.array([1.0, 0.1])))) == 0


def test_references_are_from_before_the_trials_or_from_after_them():
    state = begin(agent_of(), jax.random.key(0))
    grown = state.replace(archive=state.archive.replace(count=jnp.int32(7)))
    assert agent_of()._after_trials(grown).known[0] == 0
    assert agent_of(references="after")._after_trials(grown).known[0] == 7


def test_what_is_trained_on_and_whether_weights_begin_anew():
    agent = agent_of()
    state = begin(agent, jax.random.key(0))
    for fields, rows in (({}, 30 + 300 + 400), ({"train_on_reward": False}, 30 + 300)):
        other = agent_of(**fields)
        assert other.trained_on == rows == training.rows_to_train_on(other, state)[1].shape[0]
    states, mask = training.rows_to_train_on(agent, state)
    for reset in (False, True):
        other = agent_of(reset=reset)
        learner = training.begun(other, state.learner, states, mask, jax.random.key(2))
        same = (learner.params["down_0"][0] == state.learner.params["down_0"][0]).all()
        assert bool(same) != reset and learner.count == 30 and training.held_out(other, learner) == 6
    assert Stax(train_cap=0).trained_on == 300 + 2 * 16384


def test_an_emitter_may_keep_what_is_novel():
    agent = agent_of(emitter_merit="novelty")
    state = begin(agent, jax.random.key(0))
    population = state.population | {"descriptor": jnp.zeros((10, 3))}
    children = {"descriptor": jnp.array([[0.1, 0, 0], [3.0, 0, 0]]), "fitness": jnp.array([5.0, 0.0])}
    members = {"descriptor": jnp.array([[1.0, 0, 0]]), "fitness": jnp.array([-jnp.inf])}
    merit = agent._merit(state.replace(population=population), children, members)
    assert merit[1] > merit[0] > 0 and merit[2] == -jnp.inf, "a failed episode is not novel"
    assert agent_of()._merit(state, children, members) is None


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
def test_killed_in_trainings_it_ends_with_the_same_bits(tmp_path, monkeypatch, fine):
    from prospect_rl.experiments import train

    monkeypatch.setattr(training, "PART", 1)  # an epoch takes three iterations
    kills = [4, 8, 9, 10, 11, 15, 20, 25, 30, 33]
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
