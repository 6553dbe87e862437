"""TD3's target, losses and schedule in numbers worked by hand; the replay's side of it; and that it learns."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.nn.critics import squared_error
from prospect_rl.agents.nn.networks import MLP
from prospect_rl.agents.online.td3 import TD3
from prospect_rl.agents.ops.replay import Experience
from prospect_rl.envs.api import Box, Dict, Discrete, Inputs, Segment, Spec, Transitions
from tests.agents.off_policy import SPEC, batch, differ, return_on_target, updated


@cache
def case():
    """(agent, learner, [(learner, figures)] after each of three updates)."""
    agent = TD3(hidden=(8,), capacity=32, learning_starts=4, batch_size=4).bind(SPEC)
    learner = jax.jit(agent.begin)(jax.random.key(0))
    return agent, learner, updated(agent, learner, 3)


def linear(agent, learner):
    """pi(s) = tanh(s_1), 0; Q_1 = s_1 + 2 a_1 + 1, Q_2 = s_1 + a_1 + 2; targets alike."""
    actor = jax.tree.map(jnp.zeros_like, learner.actor)
    actor["params"]["Dense_0"]["kernel"] = jnp.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    critics = jax.tree.map(jnp.zeros_like, learner.critics)
    for critic, weights, bias in zip(critics, ([1.0, 0, 0, 2, 0], [1.0, 0, 0, 1, 0]), (1.0, 2.0), strict=True):
        critic["params"]["Dense_0"]["kernel"] = jnp.array(weights)[:, None]
        critic["params"]["Dense_0"]["bias"] = jnp.array([bias])
    return learner.replace(actor=actor, target_actor=actor, critics=critics, target_critics=critics)


def test_target_and_losses_by_hand():
    agent = TD3(hidden=(), policy_noise=0.0, gamma=0.5).bind(SPEC)
    learner = linear(agent, agent.begin(jax.random.key(0)))
    s = jnp.array([[0.5, 9, 9], [-0.5, 9, 9]])
    data = Experience(s, jnp.array([[0.25, 0], [1, 0]]), jnp.array([1.0, 2.0]), jnp.array([0.0, 1.0]), -s)
    # tanh(.5) = .4621172; row 1: Q' = -.5 - .9242343 + 1 = -.4242343 (below -.5 - .4621172 + 2); row 2 has ended
    y = agent.target(learner, data, jax.random.key(1))
    np.testing.assert_allclose(y, [1 + 0.5 * -0.4242343, 2.0], rtol=1e-6)
    # Q_1 = (2, 2.5), Q_2 = (2.75, 2.5) at the data; with y = (1, 2): (1 + .25) / 2 + (1.75^2 + .25) / 2
    loss, _ = agent.critic_loss(learner.critics, learner.actor, data, jnp.array([1.0, 2.0]), jax.random.key(2))
    assert loss == pytest.approx(0.625 + (3.0625 + 0.25) / 2)
    # Q_1(s, pi(s)) = (.5 + .9242343 + 1, -.5 - .9242343 + 1)
    assert agent.actor_loss(learner.actor, learner.critics, data) == pytest.approx(-1.0, abs=1e-6)


def test_the_squared_error_is_a_sum_without_a_half():
    values = jnp.array([[1.0, 0.5], [1.2, 0.3]])
    assert squared_error(values, jnp.array([1.5, 0.2])) == pytest.approx(0.22)


def test_target_noise_is_clipped():
    """Noise of 1000 becomes plus or minus .5 around pi = 0, hence Q' = 1 +- 1 or 2 +- .5, whichever is less."""
    agent = TD3(hidden=(), policy_noise=1000.0, gamma=0.5).bind(SPEC)
    learner = linear(agent, agent.begin(jax.random.key(0)))
    data = Experience(jnp.zeros((64, 3)), jnp.zeros((64, 2)), jnp.zeros(64), jnp.zeros(64), jnp.zeros((64, 3)))
    y = np.asarray(agent.target(learner, data, jax.random.key(1)))
    assert set(np.round(y, 6)) == {0.0, 1.0}


def test_actor_and_targets_move_every_second_time():
    agent, before, ((one, _), (two, figures), (three, _)) = case()
    for name in ("actor", "actor_optimiser", "target_actor", "target_critics"):
        assert not differ(getattr(before, name), getattr(one, name)), name
        assert differ(getattr(one, name), getattr(two, name)), name
        assert not differ(getattr(two, name), getattr(three, name)), name
    assert differ(before.critics, one.critics) and differ(two.critics, three.critics)
    for net, target in (("actor", "target_actor"), ("critics", "target_critics")):
        moved = jax.tree.map(lambda t, x: t + 0.005 * (x - t), getattr(one, target), getattr(two, net))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), moved, getattr(two, target))
    wanted = agent.actor_loss(one.actor, two.critics, batch(seed=1))
    np.testing.assert_allclose(figures["learn/loss_actor"], wanted, rtol=1e-5)


def test_the_first_step_of_adam_has_the_size_of_the_learning_rate():
    _, before, ((one, _), *_) = case()
    change = jax.tree.map(lambda a, b: np.abs(np.asarray(a - b)), one.critics, before.critics)
    moved = np.concatenate([x[x > 0] for x in jax.tree.leaves(change)])
    assert moved.size and np.median(moved) == pytest.approx(3e-4, rel=1e-3) and moved.max() < 3.01e-4


def segment(reward=1.0, terminated=False, truncated=False):
    """One step of one stream."""
    inputs = Inputs(jnp.full((1, 1, 3), 0.1), jnp.zeros((1, 1, 2)), jnp.zeros((1, 1)), jnp.zeros((1, 1), bool))
    flags = (jnp.full((1, 1), flag) for flag in (terminated, truncated))
    steps = Transitions(
        inputs, jnp.full((1, 1, 2), 0.5), jnp.full((1, 1, 2), 0.2), jnp.full((1, 1), reward), *flags,
        jnp.full((1, 1, 3), 0.3), {}, jnp.ones((1, 1), bool),
    )  # fmt: skip
    return Segment((), steps)


def test_what_is_stored_and_when_learning_starts():
    """Only `terminated` masks; the action is the one that the networks saw; the fifth step is the first to teach."""
    agent, learner, _ = case()
    learn, state = jax.jit(agent.learn), jax.jit(agent.init)(jax.random.key(0))
    flags = [(False, False), (True, False), (False, True), (True, True), (False, False)]
    for i, (terminated, truncated) in enumerate(flags):
        behaviour, _ = agent.explore(state, jax.random.key(0))
        assert bool(behaviour.random) == (i < 4) and not agent.exploit(state).random
        before, (state, figures) = state, learn(state, segment(float(i), terminated, truncated), jax.random.key(i))
        assert differ(before.learner, state.learner) == (i == 4)
        assert (figures["learn/loss_critic"] > 0) == (i == 4)
    rows = np.asarray(state.replay.rows)[:5]
    np.testing.assert_allclose(rows[:, :5], np.tile(np.float32([0.1, 0.1, 0.1, 0.2, 0.2]), (5, 1)))
    assert rows[:, 5].tolist() == [0, 1, 2, 3, 4] and rows[:, 6].tolist() == [0, 1, 0, 1, 0]
    assert int(state.steps) == int(state.replay.count) == 5 == int(figures["replay/size"])


def test_actions_in_their_bounds():
    agent, learner, _ = case()
    state = jax.jit(agent.init)(jax.random.key(0))
    inputs = Inputs(jnp.array([0.3, -0.2, 0.9]), jnp.zeros(2), jnp.zeros(()), jnp.zeros((), bool))
    act = jax.jit(jax.vmap(lambda b, key: agent.act(b, (), inputs, key), (None, 0)))
    keys = jax.random.split(jax.random.key(1), 2000)
    shipped, exploring = agent.exploit(state), agent.explore(state, jax.random.key(0))[0]
    greedy, _, raw = act(shipped, keys)
    assert np.all(greedy == greedy[0]), "greedy acting does not look at its key"
    np.testing.assert_allclose(greedy, np.array([0, 0.5]) + np.array([4, 0.5]) * np.asarray(raw), atol=1e-6)
    noisy = act(exploring.replace(random=jnp.bool_(False)), keys)[2] - raw
    assert np.std(noisy, axis=0) == pytest.approx(0.1, rel=0.1) and np.abs(np.mean(noisy)) < 0.01
    uniform = np.asarray(act(exploring, keys)[0])
    assert np.all(uniform >= [-4, 0]) and np.all(uniform <= [4, 1])
    np.testing.assert_allclose(np.std(uniform, axis=0), np.array([8, 1]) / np.sqrt(12), rtol=0.05)


def test_networks_start_as_in_torch():
    params = jax.jit(MLP((64, 16), torch_init=True).init)(jax.random.key(0), jnp.zeros(400))["params"]
    for name, fan_in in (("Dense_0", 400), ("Dense_1", 64)):
        for leaf in jax.tree.leaves(params[name]):
            assert np.abs(leaf).max() <= fan_in**-0.5 and np.std(leaf) == pytest.approx((3 * fan_in) ** -0.5, rel=0.4)


def test_misfits_and_bad_values():
    vector = Box((2,), -1.0, 1.0)
    for obs, action, said in (
        (Dict((("a", vector),)), vector, "one array of numbers"),
        (vector, Discrete(2), "vector of real numbers"),
        (vector, Box((1,)), "bounded"),
    ):
        with pytest.raises(ValueError, match=said):
            TD3().bind(Spec(id="x", obs=obs, action=action, horizon=1))
    with pytest.raises(ValueError, match="whole number of updates"):
        TD3(updates_per_step=0.5)
    with pytest.raises(ValueError, match="capacity 4 is less"):
        TD3(capacity=4, num_envs=8)
    assert TD3(updates_per_step=0.5, train_every=2).updates == 1 and TD3(num_envs=3, train_every=2).updates == 6


def test_it_learns():
    agent = TD3(
        hidden=(32,), learning_starts=200, num_envs=4, batch_size=32, learning_rate=2e-3, tau=0.05, capacity=2000
    )
    assert return_on_target(agent) > -0.02
