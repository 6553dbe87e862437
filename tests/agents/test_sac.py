"""SAC's density against a numerical change of variables, its losses by hand, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.nn.critics import critic_values
from prospect_rl.agents.online.sac import SAC, log_density
from prospect_rl.envs.api import Inputs
from tests.agents.off_policy import SPEC, batch, differ, return_on_target, updated


def test_the_density_of_squashed_actions():
    """d raw / d action by finite differences in float64; the density integrates to 1."""
    mean, log_std = np.array([0.3, -0.8]), np.array([-0.5, 0.2])
    std = np.exp(log_std)
    action = np.tanh(mean + std * np.array([[-2, 0.5], [0, 0], [1.5, -1]]))
    raw = np.arctanh(action)
    slope = (np.arctanh(action + 1e-7) - np.arctanh(action - 1e-7)) / 2e-7
    normal = np.exp(-0.5 * ((raw - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
    wanted = np.sum(np.log(normal * slope), axis=1)
    got = log_density(*(jnp.asarray(x, jnp.float32) for x in (raw, (raw - mean) / std, np.tile(log_std, (3, 1)))))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    grid = np.linspace(-1, 1, 20_001)[1:-1]
    noise = ((np.arctanh(grid) - 0.3) / np.exp(-0.5)).astype(np.float32)[:, None]
    density = np.exp(
        log_density(jnp.asarray(np.arctanh(grid), jnp.float32)[:, None], noise, jnp.full_like(noise, -0.5))
    )
    assert np.sum(density) * (grid[1] - grid[0]) == pytest.approx(1.0, abs=1e-3)


def test_the_density_far_out():
    """At |x| = 50, tanh is 1 to the last bit; log(1 - tanh^2) is still 2 log 2 - 2 |x|."""
    for x in (50.0, -50.0):
        far = log_density(jnp.array([x]), jnp.zeros(1), jnp.zeros(1))
        assert far == pytest.approx(-0.5 * np.log(2 * np.pi) - 2 * np.log(2) + 100, rel=1e-6)


def small(**fields):
    agent = SAC(hidden=(8,), capacity=32, learning_starts=0, batch_size=4, **fields).bind(SPEC)
    return agent, jax.jit(agent.begin)(jax.random.key(0))


def test_target_and_losses():
    """Against the formulas, written once more in NumPy; ended episodes have neither value nor entropy."""
    agent, learner = small(gamma=0.5, alpha=0.2)
    data, key = batch(), jax.random.key(3)
    action, log_prob = agent.sampled(learner.actor, data.next_obs, key)
    values = np.asarray(critic_values(agent, learner.target_critics, data.next_obs, action))
    y = agent.target(learner, data, key)
    wanted = data.reward + 0.5 * (1 - data.terminated) * (values.min(0) - 0.2 * log_prob)
    np.testing.assert_allclose(y, wanted, rtol=1e-5)
    assert y[3] == data.reward[3] and y[0] != data.reward[0]
    loss, _ = agent.critic_loss(learner.critics, data, y)
    q = np.asarray(critic_values(agent, learner.critics, data.obs, data.action))
    np.testing.assert_allclose(loss, 0.5 * (np.mean((q[0] - y) ** 2) + np.mean((q[1] - y) ** 2)), rtol=1e-5)
    action, log_prob = agent.sampled(learner.actor, data.obs, key)
    values = np.asarray(critic_values(agent, learner.critics, data.obs, action))
    loss, _ = agent.actor_loss(learner.actor, learner.critics, jnp.float32(0.2), data, key)
    np.testing.assert_allclose(loss, np.mean(0.2 * np.asarray(log_prob) - values.min(0)), rtol=1e-5)


def test_the_temperature_by_hand():
    """A = 2: -mean(.5 (-1 - 2), .5 (-3 - 2)) = 2; it falls where the entropy is above -2, unless it is fixed."""
    agent, learner = small()
    assert agent.alpha_loss(jnp.float32(0.5), jnp.array([-1.0, -3.0])) == pytest.approx(2.0)
    after = updated(agent, learner, 2)
    assert after[0][1]["learn/alpha"] == 1.0 and after[0][1]["learn/entropy"] > -2
    assert after[1][1]["learn/alpha"] == pytest.approx(np.exp(-3e-4), rel=1e-6)
    fixed, learner = small(alpha=0.2, tune_alpha=False)
    assert updated(fixed, learner, 2)[1][1]["learn/alpha"] == pytest.approx(0.2)


def test_targets_move_every_time():
    agent, learner = small()
    for now, _ in updated(agent, learner, 2):
        moved = jax.tree.map(lambda t, x: t + 0.005 * (x - t), learner.target_critics, now.critics)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), moved, now.target_critics)
        assert differ(now.actor, learner.actor)
        learner = now


def test_greedy_and_exploring():
    agent, _ = small()
    state = jax.jit(agent.init)(jax.random.key(0))
    inputs = Inputs(jnp.array([0.3, -0.2, 0.9]), jnp.zeros(2), jnp.zeros(()), jnp.zeros((), bool))
    act = jax.jit(jax.vmap(lambda b, key: agent.act(b, (), inputs, key)[2], (None, 0)))
    keys = jax.random.split(jax.random.key(1), 2000)
    mean, log_std = agent.distribution(state.learner.actor, inputs.obs)
    np.testing.assert_allclose(act(agent.exploit(state), keys), np.tile(np.tanh(mean), (2000, 1)), rtol=1e-5)
    raw = np.arctanh(np.asarray(act(agent.explore(state, keys[0])[0], keys), np.float64).clip(-1 + 1e-7, 1 - 1e-7))
    np.testing.assert_allclose(np.std(raw, axis=0), np.exp(log_std), rtol=0.1)


def test_it_learns():
    agent = SAC(
        hidden=(16,), learning_starts=200, num_envs=4, batch_size=32, actor_learning_rate=5e-3,
        critic_learning_rate=5e-3, tau=0.05, capacity=2000, alpha=0.01, tune_alpha=False,
    )  # fmt: skip
    assert return_on_target(agent) > -0.02
