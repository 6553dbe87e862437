"""SERENE: the exact properties in docs/methods/serene.md, on a small environment and on evaluations by a formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents import NoveltySearch, Serene
from prospect_rl.agents.evolution.serene.serene import EMITTER_STEP, EXPLORE, START, TRIAL, TRIAL_STEP
from prospect_rl.agents.evolution.serene.study import EmitterStudy
from prospect_rl.agents.ops import emitters
from prospect_rl.envs.api import Episodes
from tests.agents.evolution import Point, evolve, play, replayed

FIELDS = {"hidden": (), "population": 10, "neighbours": 3, "archive_capacity": 2000}
MORE = {"chunk": 200, "max_emitter_steps": 20, "reward_capacity": 8000, "emitter_capacity": 600}
NOVELTY = NoveltySearch(**FIELDS).bind(Point.spec)
SMALL = Serene(**FIELDS, **MORE).bind(Point.spec)


def evaluate(genomes, active, *, scale=1.0, warp=lambda d: d):
    """Descriptor: the first two genes, squashed. Fitness: positive within .35 of (.4, .4), highest at its centre."""
    descriptor = jnp.tanh(genomes[:, :2] / 3)
    near = 1 - jnp.linalg.norm(descriptor - 0.4, axis=1) / 0.35
    paid = near > 0
    info = {"success": paid[:, None], "descriptor": warp(descriptor)[:, None], "area": jnp.where(paid, 0, -1)[:, None]}
    returns = jnp.where(paid, scale * near, 0.0)[:, None]
    return Episodes(genomes, active, returns, jnp.ones(returns.shape, jnp.int32), info)


def barren(genomes, active):
    """The same without any reward."""
    data = evaluate(genomes, active)
    return data.replace(returns=0 * data.returns, info=data.info | {"area": data.info["area"] * 0 - 1})


@pytest.fixture(scope="module")
def run():
    return evolve(SMALL, evaluate, 400)


def phases(record):
    """Which phase each iteration was, by its number of genomes (the four sizes differ)."""
    sizes = [want.population for want in SMALL.wants]
    assert len(set(sizes)) == 5
    return [sizes.index(data.active.shape[0]) for data in record]


def test_without_reward_it_is_novelty_search_bit_for_bit():
    ours, record, _ = evolve(SMALL, barren, 40)
    theirs, expected, _ = evolve(NOVELTY, barren, 40)
    for a, b in zip(record, expected, strict=True):
        np.testing.assert_array_equal(a.behaviour, b.behaviour)
    for name in theirs.archive.rows:
        np.testing.assert_array_equal(ours.archive.rows[name], theirs.archive.rows[name])
        np.testing.assert_array_equal(ours.population[name], theirs.population[name])
    assert ours.rewards.count == 0


@pytest.mark.slow
def test_a_chunk_that_never_ends_is_novelty_search_too():
    agent = Serene(**FIELDS, **MORE | {"chunk": 10**5, "emitter_capacity": 8}).bind(Point.spec)
    assert agent.trials > 100  # as many as would fit: only the size of the table of trials depends on it
    small = Serene(**FIELDS, **MORE | {"chunk": 3000}).bind(Point.spec)
    ours, *_ = evolve(small, evaluate, 100)
    theirs, *_ = evolve(NOVELTY, evaluate, 100)
    # R is a reference of novelty, so the populations part ways, but nothing is spent on emitters
    assert ours.phase == EXPLORE and ours.archive.count == theirs.archive.count and ours.rewards.count > 0


def test_phases_follow_the_schedule(run):
    _, record, _ = run
    order = phases(record)
    assert order[0] == START and set(order) == {START, EXPLORE, TRIAL, TRIAL_STEP, EMITTER_STEP}
    chunk, spent = SMALL.chunk, 0
    for now, data, then in zip(order, record, order[1:], strict=False):
        spent += int(data.active.sum())
        if now == TRIAL:
            assert then == TRIAL_STEP
        exploring = now in (START, EXPLORE)
        if exploring:
            assert (then in (START, EXPLORE)) or spent >= chunk  # explore spends its whole chunk
        if exploring != (then in (START, EXPLORE)):
            assert exploring or spent >= chunk or now in (TRIAL_STEP, EMITTER_STEP)
            assert spent < chunk + 2 * max(data.active.shape[0], SMALL.population)
            spent = 0
        elif exploring and spent >= chunk:
            spent = 0


def test_trials_are_as_many_as_begin_before_two_thirds_are_spent():
    assert Serene().bind(Point.spec).trials == 11  # K = 1000, 66 each: the eleventh begins at 660 < 667
    assert Serene().bind(Point.spec).trial_cost == 66
    assert Serene(emitter="cmaes").bind(Point.spec).trial_cost == 36


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"max_emitter_steps": 5}, "max_emitter_steps must be -1 or above 5"),
        ({"reward_capacity": 5}, "reward_capacity must be at least 11, .* not 5"),
        ({"additions": 201}, "additions must be at most the 200 offspring"),
        ({"compat": "Official"}, "did you mean 'official'"),
    ],
)
def test_settings_that_cannot_act_are_refused(fields, line):
    with pytest.raises(ValueError, match=line):
        Serene(**fields)


def test_the_study_refuses_settings_that_do_nothing():
    for fields in ({"chunk": 10}, {"max_emitter_steps": 9}, {"compat": "official"}):
        with pytest.raises(ValueError, match="has no effect in this study"):
            EmitterStudy(**fields)
    assert EmitterStudy(ancestors=100).notices(ROW) == []


ROW = {"archive/size": 10, "archive/rewards": 10, "archive/overflow": 0, "emitters/lost": 0}


def test_notices_name_the_field_to_raise():
    agent = Serene(archive_capacity=20, reward_capacity=30)
    assert agent.notices(ROW) == [] == NoveltySearch(archive_capacity=20).notices(ROW)
    full = ROW | {"archive/overflow": 1}
    (text,) = agent.notices(full | {"archive/rewards": 30})
    assert "raise reward_capacity above 30" in text
    (text,) = agent.notices(full | {"archive/size": 20})
    assert "raise archive_capacity above 20" in text
    assert NoveltySearch(archive_capacity=20).notices(full | {"archive/size": 20}) == [text]
    lost = full | {"emitters/lost": 1}
    (text,) = agent.notices(lost)
    assert "raise emitter_capacity above 2048" in text
    assert agent.notices(lost | {"archive/size": 20, "archive/rewards": 30}) == [text], "what is full has lost nothing"
    every = agent.notices(lost | {"archive/size": 20, "archive/rewards": 30, "archive/overflow": 2})
    assert len(every) == 3 and every[-1] == text


def test_a_chunk_that_trials_can_spend_is_told():
    """One trial takes 66 evaluations: of these chunks emitters may never get a turn."""
    told = [chunk for chunk in range(1, 400) if Serene(chunk=chunk).notices(ROW)]
    assert told == [*range(1, 67), *range(100, 133)]
    assert "set chunk above 132" in Serene(chunk=100).notices(ROW)[0]


@pytest.mark.slow
def test_additions_may_be_none():
    agent = Serene(**FIELDS, **MORE, additions=0).bind(Point.spec)
    state, _, metrics = evolve(agent, evaluate, 300)
    assert state.archive.count == 0 and state.rewards.count > 0 and metrics[-1]["archive/best"][0] > 0.9
    assert int(state.table.steps.max()) == 20, "emitters have climbed"


def test_ledger_and_flags(run):
    state, record, metrics = run
    order = phases(record)
    assert metrics[-1]["archive/overflow"] == 0
    # each rewarding policy of the exploration stands in R once, and was at most once a candidate
    paid = np.concatenate([
        np.asarray(d.behaviour)[np.asarray(d.fitness) > 0]
        for d, phase in zip(record, order, strict=True) if phase in (START, EXPLORE)
    ])  # fmt: skip
    rows = np.asarray(state.rewards.rows["genome"])[np.asarray(state.rewards.filled)]
    sigma = np.asarray(state.rewards.rows["sigma"])[np.asarray(state.rewards.filled)]
    assert len(np.unique(paid, axis=0)) == len(paid)
    exploration = rows[sigma > 0]
    stands = {row.tobytes() for row in exploration}
    assert {row.tobytes() for row in paid} >= stands
    trials = sum(int(d.active.sum()) // 6 for d, phase in zip(record, order, strict=True) if phase == TRIAL)
    waiting = int(np.sum(np.asarray(state.rewards.rows["candidate"])))
    assert trials + waiting == len(stands)
    # a finished emitter's ancestor is stored again; A takes five a generation, and at most five of each of these
    finished = sum(row.tobytes() in stands for row in rows[sigma == 0])
    extra = int(state.archive.count) - 5 * order.count(EXPLORE)
    assert finished > 0 and 0 < extra <= 5 * finished


def test_entries_replay(run):
    state, *_ = run
    for archive in (state.archive, state.rewards):
        filled = np.asarray(archive.filled)
        data = evaluate(archive.rows["genome"], jnp.ones(archive.capacity, bool))
        np.testing.assert_allclose(data.fitness[filled], archive.rows["fitness"][filled], atol=1e-6)
        np.testing.assert_allclose(data.descriptor[filled], archive.rows["descriptor"][filled], atol=1e-6)


@pytest.mark.slow
def test_entries_replay_in_an_environment():
    agent = Serene(**FIELDS, **MORE, mutation=0.3).bind(Point.spec)
    state, _, metrics = play(agent, 120)
    start = agent.init(jax.random.key(0))
    assert jax.tree.structure(state) == jax.tree.structure(start)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(lambda x: (x.shape, x.dtype), start)
    assert metrics[-1]["archive/rewards"] > 20
    for archive in (state.archive, state.rewards):
        filled = np.asarray(archive.filled)
        fitness, descriptor, _ = replayed(agent, archive.rows["genome"])
        np.testing.assert_allclose(fitness[filled], archive.rows["fitness"][filled], atol=1e-6)
        np.testing.assert_allclose(descriptor[filled], archive.rows["descriptor"][filled], atol=1e-6)


@pytest.mark.slow
def test_scaling_rewards_and_turning_descriptors_changes_no_decision(run):
    def changed(genomes, active):  # by a power of two and a quarter turn: exact in floating point
        return evaluate(genomes, active, scale=4.0, warp=lambda d: jnp.stack([-d[:, 1], d[:, 0]], axis=1))

    _, other, _ = evolve(SMALL, changed, 150)
    assert EMITTER_STEP in phases(other)
    for a, b in zip(run[1], other, strict=False):
        np.testing.assert_array_equal(a.behaviour, b.behaviour)


def test_elitist_emitters_climb(run):
    state, _, metrics = run
    assert metrics[-1]["archive/best"][0] > 0.97 and int(state.table.steps.max()) == 20


@pytest.mark.slow
def test_cma_emitters_climb():
    agent = Serene(**FIELDS, **MORE, emitter="cmaes").bind(Point.spec)
    state, _, metrics = evolve(agent, evaluate, 300)
    assert metrics[-1]["archive/best"][0] > 0.97 and int(state.table.steps.max()) == 20


def emitter_of(fitness_of, steps, members=6, window=140, genes=3):
    """One elitist emitter after `steps` steps from genome 0; its history of member fitness."""
    kind = emitters.Elitist(members, 5.0)
    empty_row = {
        "genome": jnp.zeros(genes),
        "descriptor": jnp.zeros(2),
        "fitness": jnp.float32(-jnp.inf),
        "area": jnp.int32(-1),
    }
    emitter = emitters.blank(kind, empty_row, window, 5).replace(sigma=jnp.float32(0.1), active=jnp.ones((), bool))

    def rows(genomes):
        n = genomes.shape[0]
        return {"genome": genomes, "descriptor": genomes[:, :2], "fitness": fitness_of(genomes),
                "area": jnp.zeros(n, jnp.int32)}  # fmt: skip

    emitter = emitters.begin(emitter, rows(kind.first(jnp.zeros(genes), 0.1, (), jax.random.key(9))))

    def body(emitter, key):
        emitter = emitters.step(emitter, kind, rows(kind.breed(emitter, key)))
        return emitter, (jnp.sort(emitter.members["fitness"]), emitter.improvement, emitters.stagnant(emitter))

    return jax.lax.scan(body, emitter, jax.random.split(jax.random.key(1), steps))


def test_elitist_members_never_get_worse_and_the_rule_waits():
    _, (fitness, improvement, stop) = emitter_of(lambda g: -jnp.sum((g - 2) ** 2, axis=1), 200)
    assert (np.diff(fitness, axis=0) >= 0).all() and (improvement >= 0).all() and improvement[-1] > 1
    assert not stop[:140].any()  # not while steps <= T
    np.testing.assert_allclose(improvement[-1], fitness[-3:].mean() - _level(), rtol=1e-4)


def _level():
    """Mean of the first three entries: the initial members and two steps."""
    emitter, (fitness, *_) = emitter_of(lambda g: -jnp.sum((g - 2) ** 2, axis=1), 2)
    return (np.asarray(emitter.values[0]).sum() + np.asarray(fitness).sum()) / 18


def test_a_plateau_from_the_start_stops_after_the_window():
    _, (_, improvement, stop) = emitter_of(lambda g: jnp.ones(g.shape[0]), 145)
    assert (improvement == 0).all() and stop.tolist() == [False] * 140 + [True] * 5


def test_stop_on_either_median_or_maximum():
    emitter, _ = emitter_of(lambda g: jnp.ones(g.shape[0]), 141)
    rising = jnp.roll(jnp.arange(140.0)[:, None] + jnp.zeros(6), 2, axis=0)  # oldest entry: step 2, in row 2
    assert not emitters.stagnant(emitter.replace(values=rising))
    one_peak = rising.at[2, 0].set(1000.0)  # the medians rise, the maxima do not
    assert emitters.stagnant(emitter.replace(values=one_peak))
    assert not emitters.stagnant(emitter.replace(values=one_peak, steps=jnp.int32(140)))


def test_what_an_emitter_stores():
    emitter, _ = emitter_of(lambda g: jnp.ones(g.shape[0]), 1)
    members = emitter.members | {"fitness": jnp.array([0.1, 0.3, 0.2, 0.0, 0.0, 0.0])}
    mask, emitter = emitters.to_store(emitter.replace(members=members))
    assert mask.tolist() == [False, True, False, False, False, False] and emitter.stored == jnp.float32(0.3)
    members = members | {"fitness": jnp.array([0.3, 0.4, 0.5, 0.0, 0.1, 0.2])}
    mask, emitter = emitters.to_store(emitter.replace(members=members))
    assert mask.tolist() == [False, True, True, False, False, False] and emitter.stored == jnp.float32(0.5)
    nothing = members | {"fitness": jnp.zeros(6)}
    mask, _ = emitters.to_store(emitter.replace(members=nothing, stored=jnp.float32(-jnp.inf)))
    assert not mask.any()


def test_the_reservoir_is_a_uniform_sample_of_all_that_were_offered():
    emitter, _ = emitter_of(lambda g: jnp.ones(g.shape[0]), 1)
    emitter = emitter.replace(seen=jnp.int32(0))

    def fill(key):
        def offer(carry, inputs):
            emitter, bar = carry
            i, key = inputs
            rows = emitter.members | {"fitness": jnp.full(6, i, jnp.float32)}
            novelty = jnp.where(jnp.arange(6) == 0, i + 1.0, 0.0)  # one member a step is more novel than any before
            emitter = emitters.offer(emitter.replace(members=rows), novelty, bar, key)
            return (emitter, jnp.maximum(bar, emitter.novelty)), None

        steps = (jnp.arange(20), jax.random.split(key, 20))
        return jax.lax.scan(offer, (emitter, jnp.float32(0.5)), steps)[0][0]

    full = jax.vmap(fill)(jax.random.split(jax.random.key(0), 2000))
    assert (full.seen == 20).all()
    kept = np.bincount(np.asarray(full.reservoir["fitness"]).astype(int).ravel(), minlength=20)
    assert kept.sum() == 10000 and (np.abs(kept - 500) < 100).all()  # 5 of 20 each, 4.5 standard deviations
