"""OptiDICE and CDE: identities of the divergence, limits in which one is the other, actions outside the data, data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.offline.cde.cde import CDE
from prospect_rl.agents.offline.cde.divergence import cost, log_ratio, ratio, slope
from prospect_rl.agents.offline.cde.optidice import OptiDICE
from prospect_rl.envs.api import Dataset
from prospect_rl.envs.rollout import batches
from tests.agents.dice import CHOICES, SMALL, B, big_r, case, dataset, rows
from tests.agents.off_policy import SPEC, differ

# --- the divergence ----------------------------------------------------------------------------------


def test_the_divergence_and_its_inverse():
    x = np.linspace(-3, 3, 601)
    r = np.where(x < 0, np.exp(x), x + 1)
    f = np.where(r < 1, r * (np.log(r) - 1) + 1, (r - 1) ** 2 / 2)
    np.testing.assert_allclose(ratio(jnp.asarray(x)), r, rtol=2e-6)
    np.testing.assert_allclose(cost(jnp.asarray(x)), f, atol=2e-6)
    np.testing.assert_allclose(log_ratio(jnp.asarray(x)), np.log(r), atol=2e-6)
    assert slope(0.3) == pytest.approx(-1.2039728) and slope(1.0) == 0 and slope(4.0) == 3


@pytest.mark.parametrize("f", [ratio, cost, log_ratio])
def test_both_pieces_meet_with_their_slopes(f):
    gradient = jax.grad(lambda x: f(x))
    below, above = jnp.float32(-1e-4), jnp.float32(1e-4)
    assert abs(f(below) - f(above)) < 3e-4 and abs(gradient(below) - gradient(above)) < 3e-4
    assert np.isfinite([gradient(jnp.float32(x)) for x in (-1e6, 1e6)]).all()
    assert gradient(jnp.float32(0)) == {ratio: 1, cost: 0, log_ratio: 1}[f]


def test_the_cost_grows_as_the_ratio_is_paid():
    """G'(x) = x R'(x): the envelope that leaves w alone in the gradient of V's loss."""
    for x in (-2.0, -0.3, 0.4, 5.0):
        assert jax.grad(lambda x: cost(x))(x) == pytest.approx(x * float(jax.grad(lambda x: ratio(x))(x)), rel=1e-5)


# --- one is the other --------------------------------------------------------------------------------


def learned(cls, spec, **fields):
    """The learner after three updates in which every row counts."""
    agent = cls(**SMALL, **fields).bind(spec)
    learner, update = jax.jit(agent.begin)(jax.random.key(0)), jax.jit(agent.update)
    for i in range(3):
        learner, _ = update(learner, rows(i, spec).replace(weight=jnp.ones(B)), jax.random.key(i))
    return learner


@pytest.mark.parametrize("spec", [SPEC, CHOICES], ids=["real", "choices"])
def test_without_its_terms_it_is_optidice_bit_for_bit(spec):
    plain = learned(OptiDICE, spec)
    assert not differ(learned(CDE, spec, zeta=1.0), plain)
    assert differ(learned(CDE, spec, zeta=0.9), plain)


def test_what_is_left_of_the_difference_is_who_counts():
    ends = jnp.arange(24) == 11
    data = dataset([0] * 11 + [1] + [0] * 12, [12, 12], terminated=ends)
    agents = OptiDICE(**SMALL).bind(SPEC), CDE(**SMALL, zeta=1.0).bind(SPEC)
    plain, ours = (agent.prepare(data).rows for agent in agents)
    assert np.all(plain["weight"] == 1) and ours["weight"].tolist() == [1] * 12 + [0] * 11
    assert not differ({**plain, "weight": 0}, {**ours, "weight": 0})


def test_the_multipliers_gradients_are_one_minus_the_mean_ratio():
    agent, learner = case(CDE)
    gradient, figures = jax.jit(jax.grad(agent.values_loss, has_aux=True))(learner.values, rows(), jax.random.key(0))
    assert gradient.eta_v == pytest.approx(1 - float(figures["learn/ratio_v"]), abs=1e-5)
    assert gradient.eta_e == pytest.approx(1 - float(figures["learn/ratio_e"]), abs=1e-5)


@pytest.mark.slow
def test_ratios_come_to_have_mean_one():
    """On a cycle of rows, which a flow goes round."""
    agent, batch = CDE(**SMALL | {"warm_up": 800}, learning_rate=0.01).bind(SPEC), rows()
    batch = batch.replace(next_obs=jnp.roll(batch.obs, -1, axis=0), start=batch.obs, terminated=jnp.zeros(B))

    def one(learner, key):
        learner, figures = agent.update(learner, batch, key)
        return learner, (figures["learn/ratio_v"], figures["learn/ratio_e"])

    keys = jax.random.split(jax.random.key(0), 800)
    _, ratios = jax.jit(lambda key: jax.lax.scan(one, agent.begin(key), keys))(jax.random.key(1))
    assert abs(ratios[0][0] - 1) > 0.1 and all(abs(x[-100:].mean() - 1) < 0.05 for x in ratios)


def test_multipliers_that_are_off_stay():
    agent, learner = case(CDE, unit_ratios=False)
    gradient = jax.jit(jax.grad(lambda values: agent.values_loss(values, rows(), jax.random.key(0))[0]))(learner.values)
    assert gradient.eta_v == gradient.eta_e == 0 and learner.values.eta_v > 0


def test_limits():
    """A huge alpha makes every ratio 1; a huge epsilon asks nothing outside the data."""
    agent, learner = case(CDE, alpha=1e6)
    _, figures = jax.jit(agent.values_loss)(learner.values, rows(), jax.random.key(0))
    assert figures["learn/ratio_v"] == pytest.approx(1, abs=1e-4) == figures["learn/ratio_e"]
    agent, learner = case(CDE, epsilon=1e6)
    _, figures = jax.jit(agent.values_loss)(learner.values, rows(), jax.random.key(0))
    assert figures["learn/outside_above"] == 0


def test_the_limit_pulls_at_what_lies_above_it_alone():
    agent, learner = case(CDE)
    values, zeros = learner.values, jnp.zeros(B)
    e_values = values.eta_e + agent.alpha * slope(agent.epsilon) + jnp.array([[-1.0, 0.0, 0.5, 2.0]])
    counts = jnp.array([[True, True, True, False]])

    def loss(e_values):
        return agent.e_loss(values, zeros, zeros, (e_values, counts))[0]

    # .1 of the mean over three of the squared excess, of which two have none
    assert loss(e_values) == pytest.approx(0.1 * 0.25 / 3, rel=1e-4)
    np.testing.assert_allclose(jax.grad(loss)(e_values), [[0, 0, 0.1 / 3, 0]], rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(jax.grad(loss)(jnp.minimum(e_values, e_values[0, 0])), np.zeros((1, 4)))


@pytest.mark.parametrize("spec", [SPEC, CHOICES], ids=["real", "choices"])
def test_what_follows_an_end_is_not_looked_at(spec):
    agent, learner = case(CDE, spec)
    batch, loss = rows(spec=spec), jax.jit(agent.values_loss)
    spoilt = batch.replace(next_obs=jnp.where(batch.terminated[:, None] > 0, 1e3, batch.next_obs))
    assert loss(learner.values, batch, jax.random.key(0))[0] == loss(learner.values, spoilt, jax.random.key(0))[0]


def test_the_minimax_loss_by_hand():
    agent, learner = case(OptiDICE, advantage="minimax")
    eta = learner.values.eta_e
    loss, _ = agent.e_loss(learner.values, jnp.array([1.0, -1.0]) + eta, jnp.array([0.5, -0.5]) + eta, None)
    # x = (1, -1): alpha G = .5 (.5, 1 - 2 / e), w = (2, 1 / e)
    assert loss == pytest.approx(np.mean([0.25 - 2, 0.5 * (1 - 2 / np.e) + 1 / np.e]), rel=1e-5)


def test_the_official_broadcast_loses_who_earned_what():
    """The mean of products is not the product of means, where ratio and density go together."""
    agent, learner = case(OptiDICE, extraction="weighted", squash=False)
    slip, _ = case(OptiDICE, extraction="weighted", squash=False, official_broadcast=True)
    args = learner.policy.actor, learner.values, rows()
    right, wrong = np.asarray(agent.weighted(*args)), np.asarray(slip.weighted(*args))
    e = np.asarray(agent.actions.e_value(learner.values.e, rows().obs, rows().action))
    w = big_r((e - float(learner.values.eta_e)) / agent.alpha)
    assert np.mean(wrong) == pytest.approx(np.mean(w) * np.mean(right / w), rel=1e-4)
    assert abs(np.mean(right) - np.mean(wrong)) > 1e-3


@pytest.mark.parametrize("fields", [{}, {"squash": False}, {"extraction": "weighted"}], ids=str)
def test_what_is_averaged_has_one_number_a_row(fields):
    agent, learner = case(CDE, **fields)
    batch, key, policy, values = rows(), jax.random.key(0), learner.policy, learner.values
    advantage, start = agent.advantages(values.v, batch)
    e_value, (e_values, counts) = agent.e_values(values, batch, key)
    gain, entropy = agent.projection(policy.actor, values, batch, key)
    log_d = agent.actions.log_behaviour(values.behaviour, batch.obs, batch.action)
    one = advantage, start, e_value, gain, log_d, agent.weighted(policy.actor, values, batch)
    assert all(x.shape == (B,) for x in one) and e_values.shape == counts.shape == (5, B) and entropy.shape == ()


@pytest.mark.parametrize("rejection", ["any", "each"])
def test_actions_outside_the_data(rejection):
    agent, learner = case(CDE, rejection=rejection, others=200)
    batch = rows()
    outside = jax.jit(lambda *x: agent.outside(agent.actions, *x))
    drawn, counts = map(np.asarray, outside(learner.values, batch, jax.random.key(1)))
    assert drawn.shape == (200, B, 2) and np.all(np.abs(drawn) <= 1) and counts.shape == (200, B)
    _, _, log_std = agent.actions.parts(learner.values.behaviour, batch.obs)
    reach = np.minimum(np.exp(log_std).mean(axis=1), 0.1)
    away = np.abs(drawn - np.asarray(batch.action)) >= reach - 1e-6
    if rejection == "each":
        assert away.all() and counts.all()
        below = (drawn < np.asarray(batch.action))[..., 0].mean(axis=0)  # as much as there is room there
        assert np.abs(below - (np.asarray(batch.action)[:, 0] + 1) / 2).max() < 0.15
    else:
        assert np.array_equal(counts, away.any(axis=2)) and not away.all() and counts.mean() > 0.9


# --- data --------------------------------------------------------------------------------------------


def test_who_counts():
    """Episodes that end with a reward; one paid in mid-episode does not count, and few rows make all count."""
    agent = CDE(**SMALL).bind(SPEC)
    data = dataset([0] * 11 + [1] + [1, 0, 0] + [0, 0], [12, 3, 2])
    assert agent.weights(data).tolist() == [1] * 12 + [0] * 5
    with pytest.warns(UserWarning, match="1 of 2 rewards above the minimum are lost"):
        assert agent.prepare(data).rows["weight"].tolist() == [1] * 11 + [0] * 3  # the last rows have no successors
    few = dataset([0, 0, 1, 0, 0], [3, 2], terminated=jnp.arange(5) == 2)
    with pytest.warns(UserWarning, match="3 rows belong to successful episodes, fewer than 10"):
        assert agent.prepare(few).rows["weight"].tolist() == [1] * 4
    assert CDE(**SMALL, successes_only=False).bind(SPEC).weights(data).tolist() == [1] * 17


@pytest.mark.parametrize("change", [lambda r: r - 1, lambda r: 3 * r + 7], ids=["-1/0", "3r+7"])
@pytest.mark.parametrize("cls", [CDE, OptiDICE])
def test_scale_and_offset_of_rewards_change_nothing(cls, change):
    rewards, ends = np.repeat(np.float32([0, 1, 0]), [12, 12, 4]), np.isin(np.arange(28), [17, 23])
    shape, more = [12, 6, 6, 4], {"terminated": jnp.asarray(ends)}
    agent = cls(**SMALL).bind(SPEC)
    plain, other = (agent.prepare(dataset(r, shape, **more)).rows for r in (rewards, change(rewards)))
    np.testing.assert_allclose(other["reward"], plain["reward"], atol=1e-6)
    assert not differ(other["weight"], plain["weight"]) and (plain["weight"].sum() == 12 or cls is OptiDICE)


def test_what_counts_as_success_may_be_said_and_is_told_where_everything_does():
    data = dataset([0, -1, 5, 0, 2], [2, 1, 2])
    assert CDE(**SMALL).bind(SPEC).weights(data).tolist() == [0, 0, 1, 1, 1]
    assert CDE(**SMALL, success_above=2.0).bind(SPEC).weights(data).tolist() == [0, 0, 1, 0, 0]
    with pytest.warns(UserWarning, match="every episode counts as success: its last reward is above -2"):
        assert CDE(**SMALL, success_above=-2.0).bind(SPEC).weights(data).all()


def test_a_reward_in_a_million_rows_is_no_peak():
    """Its deviation is .001; the reward lies 100 deviations away and no more."""
    agent, data = OptiDICE(**SMALL).bind(SPEC), Dataset({"reward": np.zeros(10**6, np.float32)}, np.int32([0]))
    data.rows["reward"][-1] = 1
    assert agent.rewards(data).max() == pytest.approx(0.1 * 100) and agent.rewards(data).std() < 0.1


def test_rows_without_successor_are_left_out_and_ends_are_not():
    ends = np.arange(24) == 11
    data = dataset(ends, [12, 12], terminated=jnp.asarray(ends), truncated=jnp.asarray(np.arange(24) == 23))
    rows = CDE(**SMALL, normalise=False).bind(SPEC).prepare(data).rows
    assert rows["terminated"].tolist() == [0] * 11 + [1] + [0] * 11
    np.testing.assert_array_equal(rows["next_obs"][:11], data.rows["obs"][1:12])


@pytest.mark.filterwarnings("ignore:the reward is 0 in all rows", "ignore:0 rows belong to successful episodes")
def test_no_success_and_constant_features_are_no_division_by_zero():
    agent = CDE(**SMALL).bind(SPEC)
    same = np.ones((24, 3), np.float32)
    prepared = agent.prepare(dataset([0.0] * 24, [12, 12], obs=jnp.asarray(same)))
    assert all(np.isfinite(x).all() for x in prepared.rows.values()) and np.all(prepared.rows["reward"] == 0)
    assert np.all(prepared.rows["weight"] == 1) and np.all(prepared.rows["obs"] == 0)
    assert prepared.rows["obs"].shape[0] == 22  # the last row of each episode has no successor
    want = agent.wants
    batch = batches(prepared, jax.random.key(0), size=want.size, updates=want.updates, starts=want.starts)
    state, figures = jax.jit(agent.learn)(jax.jit(agent.init)(jax.random.key(0)), batch, jax.random.key(1))
    assert all(np.isfinite(x) for x in figures.values())
    assert np.allclose(state.mean, 1) and np.allclose(state.std, 1)  # what differs in play stays small


def test_rewards_are_standardised():
    agent, plain = (OptiDICE(**SMALL, **f).bind(SPEC) for f in ({}, {"centre_rewards": False, "reward_scale": 1.0}))
    data, deviation = dataset([0, 0, 0, 1], [4]), np.std([0, 0, 0, 1])
    assert agent.rewards(data) == pytest.approx(0.1 * (np.array([0, 0, 0, 1]) - 0.25) / deviation, rel=1e-5)
    assert plain.rewards(data) == pytest.approx(np.array([0, 0, 0, 1]) / deviation, rel=1e-5)
    constant = dataset([0.7] * 4, [4])
    assert agent.rewards(constant).tolist() == [0] * 4 and plain.rewards(constant) == pytest.approx([0.7] * 4)


def test_mistakes_are_one_line():
    for fields, line in (
        ({"zeta": 0.0}, "zeta must be above 0"), ({"rejection": "none"}, "rejection must be 'any' or 'each'"),
        ({"advantage": "td"}, "must be 'mse' or 'minimax'"), ({"extraction": "x"}, "'projection' or 'weighted'"),
        ({"mixing": "x"}, "'geometric' or 'arithmetic'"), ({"densities": "x"}, "'squashed' or 'raw'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=line):
            CDE(**fields)
