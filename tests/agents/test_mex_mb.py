"""MEX-MB's value term: by hand, as a score function, as the exact value gradient of a small MDP, and without weight."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.nn.critics import critic_values
from prospect_rl.agents.nn.dynamics import log_density, outcome
from prospect_rl.agents.online.mbpo import MBPO
from prospect_rl.agents.online.mex.model_based import MEXMB, advantage, standardised, value_term
from prospect_rl.agents.ops.tabular import discounted_values, occupancy, value_gradient
from tests.agents.off_policy import batch, return_on_target
from tests.agents.test_mbpo import QUICK, case, fresh, linear, segment


def test_the_advantage_and_its_standard_form_by_hand():
    got = advantage(jnp.array([1.0, 0.0, 2.0]), jnp.array([0.5, 1.0, 0.0]), jnp.array([2.0, 4.0, 0.0]), 0.5)
    assert got.tolist() == [1.5, 1.0, 2.0]
    # mean 1.5, deviation sqrt((0 + .25 + .25) / 2) = .5
    np.testing.assert_allclose(standardised(got), [0, -1, 1], atol=1e-6)
    np.testing.assert_allclose(standardised(jnp.full(4, 3.0)), 0, atol=1e-6)
    x = np.random.default_rng(0).normal(size=9).astype(np.float32)
    np.testing.assert_allclose(standardised(x), (x - x.mean()) / x.std(ddof=1), rtol=1e-5)
    assert value_term(jnp.array([[-1.0, -3.0], [2.0, 0.0]]), jnp.array([2.0, 3.0])) == pytest.approx((-8 + 6) / 4)


def test_the_gradient_by_hand():
    """d/d mean = gain (p - mean) / var, d/d log var = gain ((p - mean)^2 / var - 1) / 2, each over 2 rows x 2."""
    mean, log_var = jnp.array([[0.0, 1.0], [2.0, -1.0]]), jnp.log(jnp.array([[1.0, 4.0], [0.25, 1.0]]))
    drawn, gain = jnp.array([[1.0, 3.0], [1.5, -1.0]]), jnp.array([1.0, -2.0])
    slopes = jax.grad(lambda m, v: value_term(log_density(m, v, drawn), gain), (0, 1))(mean, log_var)
    np.testing.assert_allclose(slopes[0], np.array([[1, 0.5], [4, 0]]) / 4, atol=1e-6)
    np.testing.assert_allclose(slopes[1], np.array([[0, 0], [0, 1]]) / 4, atol=1e-6)


def test_its_expectation_is_the_exact_value_gradient():
    """All (s, a, s') of a random MDP as rows, weighted by how often the model's own rollouts meet them.

    The gradient of the term is then the derivative of the value through the linear solve: MEX-MB's term, were its
    states drawn from the occupancy and its critics exact, climbs V of the model.
    """
    k_l, k_r, k_p = jax.random.split(jax.random.key(2), 3)
    logits, reward = jax.random.normal(k_l, (4, 3, 4)), jax.random.normal(k_r, (4, 3))
    policy, start, gamma = jax.random.dirichlet(k_p, jnp.ones(3), (4,)), jnp.array([1.0, 0, 0, 0]), 0.9
    model = jax.nn.softmax(logits)
    values, visits = discounted_values(model, reward, policy, gamma), occupancy(model, policy, start, gamma)
    q = reward + gamma * model @ values
    s, a, t = (x.ravel() for x in np.indices((4, 3, 4)))
    gain = advantage(reward[s, a], q[s, a], values[t], gamma)
    weight = (visits[..., None] * model)[s, a, t]

    def term(logits, gain):
        return value_term(jax.nn.log_softmax(logits)[s, a, t][:, None], len(s) * weight * gain)

    exact = jax.grad(lambda logits: start @ discounted_values(jax.nn.softmax(logits), reward, policy, gamma))(logits)
    got = jax.grad(term)(logits, gain)
    np.testing.assert_allclose(got, exact, atol=1e-5)
    np.testing.assert_allclose(got, value_gradient(logits, reward, policy, start, gamma), atol=1e-5)
    # the score's mean is 0, so that no baseline of (s, a) matters, and a wrong discount does
    np.testing.assert_allclose(jax.grad(term)(logits, gain + q[s, a]), exact, atol=1e-5)
    wrong = advantage(reward[s, a], q[s, a], values[t], 1.0)
    assert np.abs(jax.grad(term)(logits, wrong) - exact).max() > 1e-2


@pytest.mark.parametrize("members", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_the_term_in_the_loss(members):
    """MEX-MB's gradient less MBPO's, against NumPy's score function carried through the network, for every member."""
    agent, plain = (case(cls, members=members, **f) for cls, f in ((MEXMB, {"value_weight": 0.5}), (MBPO, {})))
    state, key = fresh(agent), jax.random.key(7)
    learner, model = state.learner, replace(state.model, scale=jnp.full(5, 2.0))
    data = jax.tree.map(lambda x: jnp.stack([x] * members), batch())
    slopes = [
        jax.jit(jax.grad(lambda m, a=a: a.model_loss(m, model, batch(), learner, key)[0]))(model_of(model, members - 1))
        for a in (agent, plain)
    ]
    member, obs = model_of(model, members - 1), batch().obs
    k_action, k_model, k_next = jax.random.split(key, 3)
    action, _ = agent.sampled(learner.actor, obs, k_action)
    (mean, log_var), back = jax.vjp(lambda m: agent.predict(m, model, obs, action), member)
    drawn = np.asarray(mean) + np.exp(np.asarray(log_var) / 2) * np.asarray(jax.random.normal(k_model, mean.shape))
    following, _ = agent.sampled(learner.actor, obs + drawn[:, :3], k_next)
    now, then = (
        np.asarray(critic_values(agent, learner.critics, *pair)).min(0)
        for pair in ((obs, action), (obs + drawn[:, :3], following))
    )
    gain = drawn[:, 3] + 0.99 * then - now
    gain = ((gain - gain.mean()) / gain.std(ddof=1))[:, None]
    error, var = drawn - np.asarray(mean), np.exp(np.asarray(log_var))
    score = (gain * error / var / error.size, gain * (error**2 / var - 1) / 2 / error.size)
    (wanted,) = back(tuple(jnp.asarray(-0.5 * x, jnp.float32) for x in score))
    for got, without, x in zip(*map(jax.tree.leaves, (*slopes, wanted)), strict=True):
        np.testing.assert_allclose(got - without, x, atol=2e-5)
        assert np.abs(x).max() > 1e-4
    moved = jax.jit(agent.update_model)(model, data, learner, key)
    changed = jax.tree.leaves(jax.tree.map(lambda a, b: jnp.any(a != b, axis=tuple(range(1, a.ndim))), moved.members,
                                           model.members))  # fmt: skip
    assert all(np.all(x) for x in changed), "every member learns"


def model_of(model, i):
    """The weights of member i."""
    return jax.tree.map(lambda x: x[i], model.members)


def test_a_likelier_good_outcome():
    """The term draws the model towards what its critics take for better: here, towards more reward."""
    agent = case(MEXMB, value_weight=1.0, model_batch_size=64)
    state = fresh(agent)
    learner = replace(state.learner, critics=jax.tree.map(jnp.zeros_like, state.learner.critics))
    data, update = jax.tree.map(lambda x: x[None], linear(64)), jax.jit(agent.update_model)
    models = {0.0: state.model, 1.0: state.model}
    for weight in models:
        update = jax.jit(replace(agent, value_weight=weight).update_model)
        for i in range(150):
            models[weight] = update(models[weight], data, learner, jax.random.key(i))
    mean = {w: agent.predict(model_of(m, 0), m, data.obs[0], data.action[0])[0] for w, m in models.items()}
    assert np.mean(mean[1.0][:, 3]) > np.mean(mean[0.0][:, 3]) + 0.1
    target = outcome(data.obs[0], data.next_obs[0], data.reward[0])
    assert np.mean((mean[0.0] - target) ** 2) < np.mean((mean[1.0] - target) ** 2), "at the cost of its fit"


def test_without_weight_it_is_mbpo_bit_for_bit():
    """One program, to the letter, whatever it is compiled to; with any weight it is another."""
    programs, figures = [], []
    for cls, fields in ((MBPO, {}), (MEXMB, {"value_weight": 0.0}), (MEXMB, {"value_weight": 1e-30})):
        agent = case(cls, members=2, elites=2, **fields)
        state = jax.eval_shape(agent.init, jax.random.key(0))
        traced = jax.jit(agent.learn).trace(state, segment(agent, 0), jax.random.key(0))
        programs.append(traced.lower().as_text())
        figures.append(traced.out_info[1].keys())
    assert programs[0] == programs[1] != programs[2]
    assert figures[0] == figures[1] < figures[2] and "learn/value_term" in figures[2] - figures[0]


@pytest.mark.slow
def test_it_learns():
    """With an ensemble."""
    agent = MEXMB(**QUICK, members=3, elites=2)
    assert return_on_target(agent, 3000) > -0.02
