"""TD3+BC, IQL, AWAC, CQL: losses in numbers worked by hand, limits in which one is another, ends; that they learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.nn.critics import critic_values
from prospect_rl.agents.offline.awac import AWAC
from prospect_rl.agents.offline.base import moments
from prospect_rl.agents.offline.cde.cde import CDE
from prospect_rl.agents.offline.cde.optidice import OptiDICE
from prospect_rl.agents.offline.cql import CQL
from prospect_rl.agents.offline.filtered_bc import FilteredBC
from prospect_rl.agents.offline.iql import IQL, expectile_loss
from prospect_rl.agents.offline.td3_bc import TD3BC
from prospect_rl.agents.online.sac import SACUpdates
from prospect_rl.agents.ops.replay import Experience
from prospect_rl.envs.api import Box, Dataset, Inputs, Spec
from prospect_rl.envs.rollout import batches
from tests.agents.dice import dataset
from tests.agents.off_policy import SPEC, batch, differ, updated

S = jnp.array([[0.5, 9.0, 9.0], [-0.5, 9.0, 9.0]])
DATA = Experience(S, jnp.array([[0.25, 0], [1, 0]]), jnp.array([1.0, 2.0]), jnp.array([0.0, 1.0]), -S)
"""Two rows; the second has ended."""


def weights(net, values, bias=0.0):
    """A linear network whose only output, or first one, is `values` times its inputs, plus a bias."""
    net = jax.tree.map(jnp.zeros_like, net)
    layers = net["params"].get("MLP_0", net["params"])
    layers["Dense_0"]["kernel"] = layers["Dense_0"]["kernel"].at[:, 0].set(jnp.array(values))
    layers["Dense_0"]["bias"] = layers["Dense_0"]["bias"].at[0].set(bias)
    return net


def linear(cls, actor=1.0, **fields):
    """(agent, learner, actor whose first mean is `actor` s_1 before a tanh, critics s_1 + 2 a_1 + 1, s_1 + a_1 + 2)."""
    agent = cls(hidden=(), gamma=0.5, **fields).bind(SPEC)
    learner = agent.begin(jax.random.key(0))
    begun = getattr(learner, "networks", learner)
    one, two = begun.critics
    critics = weights(one, [1.0, 0, 0, 2, 0], 1.0), weights(two, [1.0, 0, 0, 1, 0], 2.0)
    return agent, learner, weights(begun.actor, [actor, 0.0, 0.0]), critics


# --- TD3+BC ------------------------------------------------------------------------------------------


def test_td3_bc_by_hand():
    """At pi = tanh(+-.5): Q_1 = 2.4242343, -.4242343, so lambda = 2.5 / 1.4242343; errors .2121172 and 1.4621172."""
    agent, _, actor, critics = linear(TD3BC)
    loss = agent.actor_loss(actor, critics, DATA)
    assert loss == pytest.approx(-2.5 / 1.4242343 * 1.0 + (0.0449937 + 2.1377867) / 4, rel=1e-5)
    cloning, *_ = linear(TD3BC, alpha=0.0)
    assert cloning.actor_loss(actor, critics, DATA) == pytest.approx((0.0449937 + 2.1377867) / 4, rel=1e-5)


def test_td3_bc_does_not_see_the_scale_of_values():
    """No gradient passes by lambda, and ten times the values give the same one."""
    agent, _, actor, critics = linear(TD3BC)
    gradient = jax.grad(agent.actor_loss)
    large = jax.tree.map(lambda x: 10 * x, critics)
    one, ten = (np.asarray(gradient(actor, c, DATA)["params"]["Dense_0"]["bias"]) for c in (critics, large))
    np.testing.assert_allclose(one, ten, rtol=1e-5)
    slope = 1 - np.tanh(0.5) ** 2  # of the tanh at both rows
    value = -2.5 / 1.4242343 * 2 * slope  # d Q_1 / d a_1 = 2
    near = np.mean([2 * -(0.25 - 0.4621172), 2 * -(1 + 0.4621172)]) / 2 * slope
    assert one[0] == pytest.approx(value + near, rel=1e-4)
    assert np.isfinite(agent.actor_loss(actor, jax.tree.map(jnp.zeros_like, critics), DATA))


def test_td3_bc_delays_its_actor():
    agent = TD3BC(hidden=(4,)).bind(SPEC)
    before = jax.jit(agent.begin)(jax.random.key(0))
    (one, _), (two, _) = updated(agent, before, 2)
    assert not differ(before.actor, one.actor) and differ(one.actor, two.actor)
    assert differ(before.critics, one.critics) and not differ(before.target_critics, one.target_critics)


# --- IQL ---------------------------------------------------------------------------------------------


def iql(**fields):
    """V = 6 s_1."""
    agent, learner, actor, critics = linear(IQL, **fields)
    return agent, learner.networks.replace(actor=actor, critics=critics, v=weights(learner.networks.v, [6.0, 0, 0]))


def test_iql_by_hand():
    """A = 2 - 3, 2.5 + 3; y = 1 - .5 * 3, 2; Q_1 = 2, 2.5 and Q_2 = 2.75, 2.5; the second weight is cut at 100."""
    agent, networks = iql()
    _, figures = agent.loss(networks, networks.critics, DATA)
    assert figures["learn/loss_v"] == pytest.approx((0.3 * 1 + 0.7 * 5.5**2) / 2)
    assert figures["learn/loss_critic"] == pytest.approx(((2.5**2 + 0.5**2) / 2 + (3.25**2 + 0.5**2) / 2) / 2)
    # log pi = -log(2 pi) - error^2 / 2, errors .25 - tanh(.5) and 1 + tanh(.5)
    log_pi = -np.log(2 * np.pi) - np.array([0.2121172, 1.4621172]) ** 2 / 2
    assert figures["learn/loss_actor"] == pytest.approx(-np.mean(np.array([np.exp(-3), 100]) * log_pi), rel=1e-5)
    cloning, networks = iql(beta=0.0)
    _, figures = cloning.loss(networks, networks.critics, DATA)
    assert figures["learn/loss_actor"] == pytest.approx(-np.mean(log_pi), rel=1e-5)


def test_expectiles():
    """.5 is the mean, and one near 1 the best; between, the weighted errors of both sides balance."""
    values = jnp.array([0.0, 1.0, 5.0])

    def slope(v, expectile):
        return jax.grad(lambda v: expectile_loss(values - v, expectile))(v)

    assert expectile_loss(jnp.array([2.0, -1.0]), 0.8) == pytest.approx((0.8 * 4 + 0.2 * 1) / 2)
    assert slope(2.0, 0.5) == pytest.approx(0, abs=1e-6)
    assert slope(4.99, 0.999) < 0 < slope(5.0, 0.999)
    assert slope(3.5, 0.8) == pytest.approx(0, abs=1e-6)  # .8 (5 - v) = .2 (v - 0) + .2 (v - 1)


def test_iql_learns_each_part_from_its_own_loss():
    """The gradients of the sum are those of one loss each: nothing reaches V from the critics or the policy."""
    agent, networks = iql()

    def part(name):
        return jax.grad(lambda n: agent.loss(n, networks.critics, DATA)[1][name])(networks)

    whole = jax.grad(lambda n: agent.loss(n, networks.critics, DATA)[0])(networks)
    for leaf, name in (("v", "learn/loss_v"), ("critics", "learn/loss_critic"), ("actor", "learn/loss_actor")):
        alone = part(name)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), getattr(whole, leaf), getattr(alone, leaf)
        )
        others = [getattr(alone, other) for other in ("v", "critics", "actor") if other != leaf]
        assert all(not np.any(x) for x in jax.tree.leaves(others))


def test_iql_targets_and_the_cosine():
    agent = IQL(hidden=(4,), decay=2).bind(SPEC)
    assert [float(agent.rate(jnp.int32(n))) for n in (0, 1, 2, 9)] == pytest.approx([1, 0.5, 0, 0])
    assert IQL().rate(jnp.int32(9)) == 1
    before = jax.jit(agent.begin)(jax.random.key(0))
    (one, _), (two, _), (three, _) = updated(agent, before, 3)
    moved = jax.tree.map(lambda t, x: t + 0.005 * (x - t), before.target_critics, one.networks.critics)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), moved, one.target_critics)
    assert differ(before.networks.actor, one.networks.actor)
    assert not differ(two.networks.actor, three.networks.actor) and differ(two.networks.critics, three.networks.critics)


def test_iql_scales_rewards_by_the_range_of_returns():
    """Returns 1 and 5: times 1000 / 4; with all alike there is no range to divide by."""
    agent = IQL(scale_rewards=True).bind(SPEC)
    assert agent.rewards(dataset([0, 1, 2, 3], [2, 2])).tolist() == [0, 250, 500, 750]
    assert agent.rewards(dataset([1, 1, 1, 1], [2, 2])).tolist() == [1] * 4
    assert IQL().bind(SPEC).rewards(dataset([0, 1, 2, 3], [2, 2])).tolist() == [0, 1, 2, 3]


# --- AWAC --------------------------------------------------------------------------------------------


def test_awac_by_hand():
    """Means 4 s_1 without a tanh. a' = -1 (cut) where s' = -.5: Q_1 = -1.5, Q_2 = .5; the second row has ended."""
    agent, learner, actor, critics = linear(AWAC, actor=4.0, temperature=0.5)
    certain = {"params": actor["params"] | {"log_std": jnp.full(2, -20.0)}}
    y = agent.target(learner.replace(actor=certain, target_critics=critics), DATA, jax.random.key(0))
    np.testing.assert_allclose(y, [1 + 0.5 * -1.5, 2], rtol=1e-6)
    # least values 2, 2.5 at the data; 3.5, -1.5 at what the policy drew: A = -1.5, 4, over .5; e^8 is cut
    loss = agent.actor_loss(actor, critics, DATA, jnp.array([[1.0, 0], [-1, 0]]))
    log_pi = -np.log(2 * np.pi) - np.array([0.25 - 2, 1 + 2]) ** 2 / 2
    assert loss == pytest.approx(-np.mean(np.array([np.exp(-3), 100]) * log_pi), rel=1e-5)
    loss, _ = agent.critic_loss(critics, DATA, jnp.array([1.0, 2.0]))
    assert loss == pytest.approx((1 + 0.25) / 2 + (1.75**2 + 0.25) / 2)


def test_awac_with_a_hot_policy_clones():
    agent, _, actor, critics = linear(AWAC, temperature=1e9)
    drawn = jnp.array([[1.0, 0], [-1, 0]])
    log_pi = agent.distribution(actor, S).log_prob(DATA.action)
    assert agent.actor_loss(actor, critics, DATA, drawn) == pytest.approx(-float(jnp.mean(log_pi)), rel=1e-5)
    assert not np.any(jax.tree.leaves(jax.grad(lambda c: agent.actor_loss(actor, c, DATA, drawn))(critics))[0])


# --- CQL ---------------------------------------------------------------------------------------------

OTHERS = jnp.array([[[0.0, 0]] * 2, [[1.0, 0]] * 2]), jnp.full((2, 2), -2 * np.log(2))
"""Actions 0 and 1 for both rows, as if they were uniform ones."""
GAPS = [2.2632224, 2.0745561]
"""Q_1 = (1.5, 3.5), (.5, 2.5), so 3.5 + log 4 + log(1 + e^-2) - 2 and 1 less - 2.5; Q_2 = (2.5, 3.5), (1.5, 2.5)."""


def test_cql_by_hand():
    agent, _, _, critics = linear(CQL)
    values = critic_values(agent, critics, S, DATA.action)
    np.testing.assert_allclose(agent.gaps(critics, values, S, OTHERS), GAPS, rtol=1e-6)
    y, weighted_gaps = jnp.array([1.0, 2.0]), 10 * (np.array(GAPS) - 5)
    loss, (gaps, _) = agent.critics_loss(critics, DATA, y, OTHERS, agent.price(jnp.log(2.0)))
    assert loss == pytest.approx(2.28125 + 2 * weighted_gaps.sum(), rel=1e-5)
    # the price falls while gaps are below their target: its loss rises with it
    price_loss = jax.value_and_grad(agent.price_loss)(jnp.log(2.0), gaps)
    assert price_loss == pytest.approx((-2 * weighted_gaps.mean(),) * 2, rel=1e-5)
    assert agent.price(jnp.float32(99)) == 1e6
    fixed, *_ = linear(CQL, lagrange=False, weight=3.0)
    loss, _ = fixed.critics_loss(critics, DATA, y, OTHERS, fixed.price(jnp.log(2.0)))
    assert loss == pytest.approx(2.28125 + 3 * sum(GAPS), rel=1e-5)


def test_cql_without_weight_has_the_critics_of_sac():
    """Up to the factor 1/2; and its target is SAC's without the entropy."""
    agent, learner, actor, critics = linear(CQL, weight=0.0)
    learner, key, y = learner.replace(actor=actor, target_critics=critics), jax.random.key(1), jnp.array([1.0, 2.0])
    ours = jax.grad(lambda c: agent.critics_loss(c, DATA, y, OTHERS, jnp.float32(7))[0])(critics)
    theirs = jax.grad(lambda c: 2 * SACUpdates.critic_loss(agent, c, DATA, y)[0])(critics)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, theirs)
    _, log_prob = agent.sampled(actor, DATA.next_obs, key)
    alive = SACUpdates.target(agent, learner, DATA, key) + 0.5 * (1 - DATA.terminated) * log_prob  # alpha is 1
    np.testing.assert_allclose(agent.target(learner, DATA, key), alive, rtol=1e-5)


def test_cql_draws_three_kinds_of_actions():
    agent, learner, *_ = linear(CQL, samples=400)
    actions, densities = map(np.asarray, agent.sampled_actions(learner.actor, batch(), jax.random.key(0)))
    assert actions.shape == (1200, 8, 2) and densities.shape == (1200, 8) and np.all(np.abs(actions) <= 1)
    np.testing.assert_allclose(densities[:400], -2 * np.log(2), rtol=1e-6)
    assert np.abs(actions[:400].mean(axis=(0, 1))).max() < 0.05
    for part, obs in ((slice(400, 800), batch().obs), (slice(800, None), batch().next_obs)):
        mean, log_std = map(np.asarray, agent.distribution(learner.actor, obs))
        raw = np.arctanh(actions[part].astype(np.float64).clip(-1 + 1e-9, 1 - 1e-9))
        normal = -0.5 * ((raw - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)
        inside = np.all(np.abs(raw) < 3, axis=-1)
        wanted = np.sum(normal - np.log1p(-(np.tanh(raw) ** 2)), axis=-1)
        np.testing.assert_allclose(densities[part][inside], wanted[inside], atol=2e-3)


def test_cql_moves_what_is_tuned_alone():
    for fields in ({"lagrange": False}, {"tune_alpha": False}):
        agent = CQL(hidden=(4,), samples=1, **fields).bind(SPEC)
        before = jax.jit(agent.begin)(jax.random.key(0))
        ((after, _),) = updated(agent, before, 1)
        assert differ(before.log_price, after.log_price) == agent.lagrange
        assert differ(before.log_alpha, after.log_alpha) == agent.tune_alpha
        assert differ(before.actor, after.actor) and differ(before.critics, after.critics)


# --- all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [TD3BC, AWAC, CQL], ids=lambda x: x.__name__)
def test_what_follows_an_end_has_no_value(cls):
    agent = cls(hidden=(4,)).bind(SPEC)
    learner, rows, key = agent.begin(jax.random.key(0)), batch(), jax.random.key(1)
    ended = rows.terminated[:, None] > 0
    spoilt = rows.replace(next_obs=jnp.where(ended, 1e3, rows.next_obs))
    moved = rows.replace(next_obs=jnp.where(ended, rows.next_obs, rows.next_obs + 1))
    y = agent.target(learner, rows, key)
    assert np.array_equal(y, agent.target(learner, spoilt, key))
    assert np.array_equal(y != agent.target(learner, moved, key), rows.terminated == 0)


def test_what_follows_an_end_teaches_iql_nothing():
    agent, networks = iql()
    spoilt = DATA.replace(next_obs=DATA.next_obs.at[1].set(1e3))
    moved = DATA.replace(next_obs=DATA.next_obs.at[0].set(1e3))
    loss, same, other = (agent.loss(networks, networks.critics, rows)[0] for rows in (DATA, spoilt, moved))
    assert loss == same != other


def test_a_cut_is_no_end():
    """Truncated rows keep their successors and are bootstrapped; terminated ones are marked."""
    cut, end = np.arange(8) == 3, np.arange(8) == 7
    following = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    data = dataset(np.arange(8), [4, 4], truncated=jnp.asarray(cut), terminated=jnp.asarray(end), next_obs=following)
    rows = IQL(normalise=False).bind(SPEC).prepare(data).rows
    assert rows["terminated"].tolist() == [0] * 7 + [1]
    np.testing.assert_array_equal(rows["next_obs"], following)


FROM_ROWS = [TD3BC, IQL, AWAC, CQL, OptiDICE, CDE]


@pytest.mark.parametrize("cls", FROM_ROWS, ids=lambda x: x.__name__)
@pytest.mark.filterwarnings("ignore:.* count.* as success")
def test_the_reward_of_a_last_row_stays_where_it_terminates_and_its_loss_is_told(cls):
    """Two episodes without next_obs, each paid in its last row."""
    ends = np.isin(np.arange(8), [3, 7])
    data, agent = dataset(ends, [4, 4], terminated=jnp.asarray(ends)), cls().bind(SPEC)
    assert agent.prepare(data).rows["reward"].shape == (8,) and np.ptp(agent.prepare(data).rows["reward"]) > 0
    cut = dataset(ends, [4, 4], truncated=jnp.asarray(ends))
    with pytest.warns(UserWarning, match="all 2 rewards above the minimum are lost: the dataset has no next_obs"):
        prepared = agent.prepare(cut)
    assert prepared.rows["reward"].shape == (6,) and np.ptp(prepared.rows["reward"]) == 0


def test_data_that_says_nothing_of_what_is_good_is_told():
    with pytest.warns(UserWarning, match="the reward is 1 in all rows"):
        IQL().bind(SPEC).prepare(dataset([1.0] * 6, [6]))
    with pytest.warns(UserWarning, match="all returns are 2: the first episodes are cloned, not the best"):
        FilteredBC().bind(SPEC).prepare(dataset([1.0] * 6, [2, 2, 2]))


def test_numbers_that_hardly_ever_change_are_no_peaks():
    """A constant, one that is constant but for rounding, a single 1 among zeros, an ordinary one."""
    x = np.zeros((10**6, 4), np.float32)
    x[:, 0], x[:, 1], x[:, 3] = 0.1, 0.1, np.arange(10**6) % 2
    x[::2, 1], x[-1, 2] = np.nextafter(np.float32(0.1), np.float32(1)), 1
    mean, std = moments(x)
    assert std[0] == std[1] == 1 and std[3] == 0.5
    assert (1 - mean[2]) / std[2] == pytest.approx(100) and np.abs((x - mean) / std).max() < 100.01


def test_returns_that_differ_by_rounding_are_alike():
    rewards = [0.1, 0.2, 0.3, 0.3, 0.2, 0.1]
    assert IQL(scale_rewards=True).bind(SPEC).rewards(dataset(rewards, [3, 3])).tolist() == pytest.approx(rewards)


def test_filtered_cloning_keeps_the_best_episodes():
    data = dataset([0, 0, 3, 0, 1, 1, 9], [2, 1, 2, 1, 1])  # returns 0, 3, 1, 1, 9

    def rewards(keep):
        kept = FilteredBC(keep=keep).bind(SPEC).prepare(data)
        return kept.rows["reward"].tolist(), kept.firsts.tolist()

    assert rewards(0.4) == ([3, 9], [0, 1])
    assert rewards(0.6) == ([3, 0, 1, 9], [0, 1, 3])  # of two with 1 the earlier one
    assert rewards(0.01) == ([9], [0]) and rewards(1.0) == ([0, 0, 3, 0, 1, 1, 9], [0, 2, 3, 5, 6])
    alone = FilteredBC().bind(SPEC).prepare(dataset([0.0, 0.0], [2]))
    assert alone.rows["reward"].tolist() == [0, 0]


TINY = {"hidden": (16,), "batch_size": 32, "updates": 400, "tau": 0.05}
FAST = {"actor_learning_rate": 3e-3, "critic_learning_rate": 3e-3}
LEARNING = {
    "td3_bc": TD3BC(**TINY, learning_rate=3e-3),
    "iql": IQL(**TINY, learning_rate=3e-3, beta=20.0),
    "awac": AWAC(**TINY, learning_rate=3e-3, temperature=0.05),
    "cql": CQL(**TINY, **FAST, samples=1, weight=0.1, lagrange=False, alpha=0.01, tune_alpha=False),
}


@pytest.mark.parametrize("name", LEARNING)
def test_it_learns(name):
    """Random actions paid by -(a - obs / 2)^2, which end at once: cloning them pays -.25."""
    spec = Spec(id="test/target", obs=Box((1,), -1.0, 1.0), action=Box((1,), -1.0, 1.0), horizon=1)
    agent = LEARNING[name].bind(spec)
    draw = np.random.default_rng(0)
    obs, action = draw.choice(np.float32([-1, 1]), (512, 1)), draw.uniform(-1, 1, (512, 1)).astype(np.float32)
    rows = {
        "obs": obs, "action": action, "reward": -((action - obs / 2) ** 2)[:, 0], "terminated": np.ones(512, bool),
        "truncated": np.zeros(512, bool), "next_obs": np.zeros_like(obs),
    }  # fmt: skip
    prepared, want = agent.prepare(Dataset(rows, np.arange(512, dtype=np.int32))), agent.wants
    state, learn = jax.jit(agent.init)(jax.random.key(0)), jax.jit(agent.learn)
    for i in range(3):
        key = jax.random.key(i)
        state, _ = learn(state, batches(prepared, key, size=want.size, updates=want.updates), key)
    for sign in (-1.0, 1.0):
        inputs = Inputs(jnp.array([sign]), jnp.zeros(1), jnp.zeros(()), jnp.zeros((), bool))
        acted, _, _ = agent.act(agent.exploit(state), (), inputs, jax.random.key(0))
        assert abs(float(acted[0]) - sign / 2) < 0.15, (name, sign, acted)
