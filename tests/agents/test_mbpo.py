"""MBPO: its likelihood by hand, a linear system that it must find, rollouts against a rule of their end, and rings."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.nn.dynamics import LOG_VAR, Dynamics, log_density, moments, negative_log_likelihood, squashed
from prospect_rl.agents.online.mbpo import MBPO
from prospect_rl.agents.ops import fitting
from prospect_rl.agents.ops import replay as replays
from prospect_rl.agents.ops.replay import Experience
from prospect_rl.envs.api import Box, Inputs, Segment, Transitions
from prospect_rl.envs.terminations import never
from tests.agents.off_policy import SPEC, differ, return_on_target

NOISE = 0.1
SMALL = dict(
    hidden=(8,), model_hidden=(16,), capacity=512, batch_size=16, model_batch_size=16, learning_starts=20,
    updates_per_step=2.0, model_every=10, model_epochs=3, rollouts=12, retain=2, schedule=(1, 2, 1, 3),
    members=1, elites=1, tune_alpha=False, target_every=4,
)  # fmt: skip

QUICK = dict(
    hidden=(16,), model_hidden=(32,), learning_starts=200, num_envs=4, batch_size=32, actor_learning_rate=5e-3,
    critic_learning_rate=5e-3, tau=0.05, capacity=4000, alpha=0.01, target_every=1, updates_per_step=1.0,
    model_every=100, model_epochs=20, model_learning_rate=3e-3, model_batch_size=32, rollouts=400,
    schedule=(20, 150, 1, 1), explore_with_mean=False, members=1, elites=1, tune_alpha=False,
)  # fmt: skip
"""What learns a task of one step in seconds."""


def high(obs, action, next_obs):
    """An episode ends where the first component exceeds 1, or the second action, in its bounds, is below .05."""
    return (next_obs[0] > 1) | (action[1] < 0.05)


def case(cls=MBPO, termination=never, **fields):
    return cls(**(SMALL | fields)).bind(replace(SPEC, termination=termination))


@cache
def fresh(agent):
    """The first state, compiled once for equal agents."""
    return jax.jit(agent.init)(jax.random.key(0))


def linear(size=400, seed=0):
    """Transitions of s' = s + (a_0, -s_0, 0) / 2 + noise, r = s_1 + a_1 + noise, the deviation of all noise .1."""
    k_obs, k_action, k_noise = jax.random.split(jax.random.key(seed), 3)
    obs, action = jax.random.normal(k_obs, (size, 3)), jax.random.uniform(k_action, (size, 2), minval=-1)
    noise = NOISE * jax.random.normal(k_noise, (size, 4))
    change = jnp.stack([action[:, 0], -obs[:, 0], jnp.zeros(size)], axis=1) / 2 + noise[:, :3]
    return Experience(obs, action, obs[:, 1] + action[:, 1] + noise[:, 3], jnp.zeros(size), obs + change)


# --- the network and its loss ------------------------------------------------------------------------


def test_the_likelihood_by_hand():
    # (1 - 3)^2 / 4 + log 4 and (0 - .5)^2 / 1 + log 1, and their mean
    mean, log_var, target = jnp.array([[1.0, 0.0]]), jnp.array([[np.log(4), 0.0]]), jnp.array([[3.0, 0.5]])
    assert negative_log_likelihood(mean, log_var, target) == pytest.approx((1 + np.log(4) + 0.25) / 2)
    density = log_density(mean, log_var, target)
    wanted = [[-0.5 - np.log(2) - 0.5 * np.log(2 * np.pi), -0.125 - 0.5 * np.log(2 * np.pi)]]
    np.testing.assert_allclose(density, wanted, rtol=1e-6)


def test_the_variance_is_bounded_softly():
    low, high = LOG_VAR
    assert (low, high) == (-10, 0.5)
    assert squashed(jnp.array(-1e3)) == pytest.approx(low, abs=1e-4) and squashed(1e3) == pytest.approx(high, abs=1e-4)
    assert squashed(jnp.array(-5.0)) == pytest.approx(-5, abs=0.02)
    x = Dynamics((8,), 4)
    mean, log_var = x.apply(x.init(jax.random.key(0), jnp.zeros(5)), jnp.ones((3, 5)))
    assert mean.shape == log_var.shape == (3, 4)


@pytest.mark.parametrize("count", [1, 7, 256, 600])
def test_moments_of_the_filled_rows(count):
    """Far from 0 too; the rows beyond are of another scale; what does not vary keeps its unit."""
    rows = np.random.default_rng(0).normal([5, -300], [0.01, 2], (600, 2))
    rows = np.concatenate([rows, np.full((600, 1), 1.25)], axis=1).astype(np.float32)
    table = jnp.asarray(np.concatenate([rows[:count], 1e6 * np.ones((50, 3), np.float32)]))
    mean, deviation = jax.jit(lambda n: moments(lambda i: table[i], n))(jnp.int32(count))
    np.testing.assert_allclose(mean, rows[:count].astype(np.float64).mean(0), rtol=1e-6)
    wanted = [1, 1, 1] if count == 1 else [*rows[:count, :2].astype(np.float64).std(0), 1]
    np.testing.assert_allclose(deviation, wanted, rtol=1e-3)


# --- fitting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", range(5))
def test_rows_are_kept_or_held_out(fold):
    kept, out = (
        fitting.training_rows(jnp.arange(12), jnp.int32(fold)),
        fitting.held_out_rows(jnp.arange(3), jnp.int32(fold)),
    )
    assert out.tolist() == [fold, fold + 5, fold + 10]
    assert kept.tolist() == [i for i in range(15) if i % 5 != fold]


def test_a_bootstrap_is_one_resample():
    key, count = jax.random.key(0), jnp.int32(500)
    draws = fitting.resampled(key, jnp.arange(500), count)
    assert draws.min() >= 0 and draws.max() < 500
    assert np.array_equal(fitting.resampled(key, jnp.array([3, 3, 77]), count), draws[jnp.array([3, 3, 77])])
    share = len(set(draws.tolist())) / 500  # 1 - 1 / e
    assert share == pytest.approx(0.632, abs=0.06)
    assert differ(draws, fitting.resampled(jax.random.key(1), jnp.arange(500), count))


def test_each_member_keeps_its_best_and_patience_ends_it():
    """Errors by epoch (first: before any); .995 is no progress over 1, and .5 after .505 is none either."""
    errors = jnp.array([[1.0, 2.0], [0.995, 1.0], [0.505, 3.0], [0.5, 3.0], [0.9, 3.0], [0.1, 0.1]])
    run = lambda most: fitting.until_stale(  # noqa: E731
        lambda number, state: state + 1, lambda state: jnp.stack([state, 10 * state]), lambda state: errors[state],
        jnp.int32(0), most=most, patience=2,
    )  # fmt: skip
    state, best, error, epochs = run(9)
    assert int(state) == int(epochs) == 4, "the fifth epoch would be better, but two were not"
    assert best.tolist() == [2, 10] and np.allclose(error, [0.505, 1.0])
    state, best, error, epochs = run(1)
    assert int(epochs) == 1 and best.tolist() == [1, 10] and np.allclose(error, [0.995, 1]), "no progress: the last one"


@cache
def trained(members, elites):
    agent = case(members=members, elites=elites, model_epochs=60, patience=10, model_learning_rate=3e-3)
    state = fresh(agent)
    replay = replays.add(state.replay, linear())
    train = jax.jit(agent.train_model)
    return agent, state, replay, train(state.model, replay, state.learner, jax.random.key(1))


@pytest.mark.parametrize(("members", "elites"), [(1, 1), (4, 2)])
def test_it_finds_a_linear_system(members, elites):
    """On fresh data: at most half more than the noise's own variance, .01, and a variance that tells it."""
    agent, state, _, model = trained(members, elites)
    new = linear(seed=1)
    target = np.concatenate([new.next_obs - new.obs, new.reward[:, None]], axis=1)
    predict = jax.vmap(agent.predict, (0, None, None, None))
    mean, log_var = predict(model.members, model, new.obs, new.action)
    assert np.mean((mean[model.elites] - target) ** 2) < 1.5 * NOISE**2 < 0.1 * np.var(target)
    assert 0.3 * NOISE**2 < np.exp(np.mean(log_var[model.elites])) < 2 * NOISE**2
    np.testing.assert_allclose(model.centre[:3], np.mean(linear().obs, axis=0), atol=1e-5)
    np.testing.assert_allclose(model.scale[3:], np.std(linear().action, axis=0), rtol=1e-4)
    assert 1 <= int(model.epochs) <= 60 and np.all(model.error < 0.1)
    before, _ = predict(state.model.members, model, new.obs, new.action)
    assert np.mean((before - target) ** 2) > 0.2


def test_elites_are_the_best_members_and_members_differ():
    _, _, _, model = trained(4, 2)
    assert model.elites.tolist() == np.argsort(model.error)[:2].tolist()
    assert len(set(model.error.tolist())) == 4


def test_the_error_is_that_of_the_held_out_rows():
    """Groups of 5, the third row of each; 398 rows make 79 groups, and 3 that wait. Batches of 16 leave a rest."""
    agent, state, _, model = trained(4, 2)
    data = linear(398)
    rows = jax.tree.map(lambda x: x[2:395:5], data)
    assert len(rows.reward) == 79
    mean, _ = jax.vmap(agent.predict, (0, None, None, None))(model.members, model, rows.obs, rows.action)
    target = jnp.concatenate([rows.next_obs - rows.obs, rows.reward[:, None]], axis=1)
    got = jax.jit(agent.model_error)(model, replays.add(state.replay, data), jnp.int32(2))
    np.testing.assert_allclose(got, np.mean((mean - target) ** 2, axis=(1, 2)), rtol=1e-4)


def test_weights_decay_as_part_of_the_gradient():
    """With a gradient of 0 from the loss, Adam's first step is the learning rate against the sign of each weight."""
    agent = case(weight_decay=0.1)
    weights = {"w": jnp.array([2.0, -3.0, 0.0])}
    change, _ = agent.model_optimiser.update({"w": jnp.zeros(3)}, agent.model_optimiser.init(weights), weights)
    np.testing.assert_allclose(change["w"], [-1e-3, 1e-3, 0], rtol=1e-4)


# --- rollouts ----------------------------------------------------------------------------------------


def rolled(agent, length, starts=None, model=None, seed=0):
    """(the imagined rows, in order, and the state) after one call of `imagine`."""
    state = fresh(agent)
    starts = jax.random.normal(jax.random.key(5), (agent.rollouts, 3)) if starts is None else starts
    ring = jax.jit(agent.imagine)(
        model or state.model, state.imagined, state.learner, starts, jnp.int32(length), jax.random.key(seed)
    )
    return replays.take(ring, jnp.arange(int(ring.count))), ring


@pytest.mark.parametrize(("members", "elites"), [(1, 1), (4, 2)])
def test_rollouts_end_by_the_rule_and_hold_nothing_past_it(members, elites):
    agent = case(termination=high, members=members, elites=elites, rollouts=40)
    rows, _ = rolled(agent, 3, model=trained(members, elites)[3])
    played = agent.within_bounds(rows.action)
    ended = np.asarray(jax.vmap(high)(rows.obs, played, rows.next_obs))
    assert np.array_equal(rows.terminated, ended) and 0 < ended.mean() < 1
    # every later row goes on from an earlier one that did not end; every row that did not end in time goes on
    nexts = {tuple(x): bool(e) for x, e in zip(rows.next_obs.tolist(), ended, strict=True)}
    later = [tuple(x) for x in rows.obs.tolist()[40:]]
    assert all(not nexts[x] for x in later) and len(set(later)) == len(later)
    last = 40 + (~ended[:40]).sum()
    assert len(ended) == last + (~ended[40:last]).sum() < 120


def test_steps_are_drawn_from_the_elites():
    """Members that predict constants: 0, 10, 20, 30. Elites 3 and 1 predict half of the rollouts each, by chance."""
    agent = case(members=4, elites=2, rollouts=40, schedule=(1, 2, 2, 2))
    state = fresh(agent)
    members = jax.tree.map(jnp.zeros_like, state.model.members)
    name = max(members["params"]["MLP_0"])
    bias = members["params"]["MLP_0"][name]["bias"].at[:, 4:].set(-50)
    members["params"]["MLP_0"][name]["bias"] = bias.at[:, :4].set(10.0 * jnp.arange(4)[:, None])
    model = replace(state.model, members=members, elites=jnp.array([3, 1], jnp.int32))
    rows, _ = rolled(agent, 2, starts=jnp.zeros((40, 3)), model=model)
    change = np.round(np.asarray(rows.next_obs - rows.obs)).astype(int)
    assert np.all(change == change[:, :1]) and np.array_equal(change[:, 0], np.round(rows.reward).astype(int))
    for step in (change[:40, 0], change[40:, 0]):
        assert sorted(set(step.tolist())) == [10, 30] and (step == 10).sum() == 20
    both = np.round(np.asarray(rows.next_obs)[40:, 0]).astype(int)
    assert set(both.tolist()) == {20, 40, 60}, "a rollout changes from elite to elite"
    assert np.std(np.asarray(rows.reward) - change[:, 0]) == pytest.approx(np.exp(-5), rel=0.3)


def test_the_imagined_ring_grows_with_the_length():
    """12 rollouts kept for 2 trainings: 24 rows at length 1, 72 at length 3; always the newest."""
    agent = case()
    state = fresh(agent)
    assert state.imagined.capacity == 12 * 2 * 3
    model = replace(state.model, members=jax.tree.map(jnp.zeros_like, state.model.members))  # it stays where it is
    run, ring, counts = jax.jit(agent.imagine), state.imagined, []
    for i, length in enumerate((1, 1, 1, 3, 3, 3, 3)):
        starts = jnp.full((12, 3), 1000.0 * (i + 1))
        ring = run(model, ring, state.learner, starts, jnp.int32(length), jax.random.key(i))
        counts.append(int(ring.count))
    assert counts == [12, 24, 24, 60, 72, 72, 72]
    kept = np.round(np.asarray(ring.rows[:, 0]) / 1000).astype(int)
    assert (kept == 7).sum() == 36 and (kept == 6).sum() == 36


@pytest.mark.parametrize(("live", "limit"), [([1, 0, 1, 1], 5), ([0, 0, 0, 0], 5), ([1, 1, 1, 1], 7)])
def test_only_live_rows_are_added(live, limit):
    new = jax.tree.map(lambda x: x[:4], linear(8))
    ring = replays.empty(7, 3, 2)
    for _ in range(3):
        before = int(ring.cursor)
        ring = jax.jit(replays.add_live)(ring, new, jnp.array(live, bool), jnp.int32(limit))
        for i, row in enumerate(np.flatnonzero(live)):
            assert np.array_equal(replays.take(ring, (before + i) % limit).obs, new.obs[row])
    assert int(ring.count) == min(limit, 3 * sum(live)) and int(ring.cursor) == 3 * sum(live) % limit
    assert not np.any(ring.rows[int(ring.count) :])


@pytest.mark.parametrize(
    ("schedule", "epochs", "wanted"),
    [
        ((20, 150, 1, 15), (0, 18, 19, 28, 29, 84, 148, 149, 500), (1, 1, 1, 1, 2, 8, 14, 15, 15)),
        ((20, 150, 1, 1), (0, 100), (1, 1)),
    ],
)
def test_the_schedule(schedule, epochs, wanted):
    """Epochs count from 1: in epoch 30, (30 - 20) / 130 * 14 = 1.08 above 1."""
    agent = case(schedule=schedule)
    got = [int(agent.length(jnp.int32(1000 * epoch + off))) for epoch in epochs for off in (0, 999)]
    assert got == [x for x in wanted for _ in range(2)]


# --- the agent ---------------------------------------------------------------------------------------


def segment(agent, seed):
    """One step of one stream."""
    data = jax.tree.map(lambda x: x[None], linear(1, seed))
    flag = jnp.zeros((1, 1), bool)
    inputs = Inputs(data.obs, data.action, data.reward, flag)
    steps = Transitions(inputs, data.action, data.action, data.reward, flag, flag, data.next_obs, {}, ~flag)
    return Segment((), steps)


def test_when_it_trains_imagines_and_updates():
    """A warm-up of 8 steps, then the model every 7; rings are written in place.

    Where the warm-up ends before there are five rows, all begins with the fifth: nothing learns from an empty ring.
    """
    agent = case(learning_starts=8, model_every=7, capacity=4000, retain=2000)
    first = fresh(agent)
    program = jax.jit(agent.learn, donate_argnums=0).lower(first, segment(agent, 0), jax.random.key(0)).compile()
    assert program.memory_analysis().temp_size_in_bytes < first.imagined.rows.nbytes / 4
    for played, begins, trains in ((0, 8, [8, 15]), (6, 4, [4, 9])):
        state, moves = replace(first, steps=jnp.int32(played)), []
        for i in range(16):
            before = state
            state, figures = program(jax.tree.map(jnp.copy, before), segment(agent, i), jax.random.key(i))
            moves.append((differ(before.model, state.model), int(state.imagined.count - before.imagined.count)))
            assert differ(before.learner, state.learner) == (i >= begins)
            assert (figures["learn/model_epochs"] > 0) == (i >= begins)
            assert all(np.isfinite(x).all() for x in figures.values())
        assert [i for i, (moved, _) in enumerate(moves) if moved] == trains
        assert [n for _, n in moves] == [12 if i in trains else 0 for i in range(16)]
        assert int(state.replay.count) == 16 == int(state.steps) - played


@pytest.mark.parametrize(("ratio", "real"), [(0.25, 4), (0.0, 0), (1.0, 16)])
def test_batches_mix_real_and_imagined_rows(ratio, real):
    """A batch of 16; real rewards are near 0, imagined ones 10^6 here."""
    rows = linear(24), replace(linear(24), reward=jnp.full(24, 1e6))
    rings = [replays.add(replays.empty(32, 3, 2), data) for data in rows]
    reward = np.asarray(case(real_ratio=ratio).mixed(*rings, jax.random.key(0)).reward)
    assert len(reward) == 16 and (reward < 1e5).sum() == real


def test_targets_move_every_fourth_time():
    agent = case(target_every=4)
    learner, update = agent.begin(jax.random.key(0)), jax.jit(agent.update)
    for i in range(1, 9):
        before = learner
        learner, _ = update(learner, linear(16, seed=i), jax.random.key(i))
        assert differ(before.target_critics, learner.target_critics) == (i % 4 == 0)
        assert differ(before.critics, learner.critics)


def test_how_it_explores():
    """Samples of the untrained policy, then its mean or, by a switch, samples; never uniform draws."""
    for mean in (True, False):
        agent = case(explore_with_mean=mean)
        state = fresh(agent)
        for steps, noise in ((0, 1), (19, 1), (20, 0 if mean else 1)):
            behaviour, _ = agent.explore(replace(state, steps=jnp.int32(steps)), jax.random.key(0))
            assert float(behaviour.noise) == noise and not behaviour.random
        assert float(agent.exploit(state).noise) == 0


@pytest.mark.parametrize(("num_envs", "starts", "least"), [(1, 0, 5), (2, 0, 6), (1, 4, 5), (1, 9, 10), (8, 3, 16)])
def test_the_least_budget_trains_the_model(num_envs, starts, least):
    assert MBPO(num_envs=num_envs, learning_starts=starts).least_budget == least


def test_misfits_and_bad_values():
    with pytest.raises(ValueError, match="rule of termination"):
        MBPO().bind(SPEC)
    with pytest.raises(ValueError, match="bounded"):
        MBPO().bind(replace(SPEC, termination=never, action=Box((1,))))
    for fields, said in (
        ({"schedule": (150, 20, 1, 1)}, "two rising epochs"),
        ({"schedule": (20, 150, 0, 1)}, "lengths of at least 1"),
        ({"elites": 6}, "elites must be at most the 5 members, not 6"),
        ({"members": 7, "elites": 3}, "rollouts must be a multiple of the 3 elites, not 10000"),
        ({"model_batch_size": 1}, "model_batch_size must be at least 2"),
        ({"capacity": 4}, "capacity must be at least 5, the rows that a model needs, not 4"),
    ):
        with pytest.raises(ValueError, match=said):
            MBPO(**fields)


@pytest.mark.slow
def test_it_learns():
    """One-step episodes: rollouts end after their first step."""
    agent = MBPO(**QUICK)
    assert return_on_target(agent, 3000) > -0.02
