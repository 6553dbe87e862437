"""MEX's value term: numbers of docs/methods/mex.md, its invariance, and that without weight it is TD3 bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.nn.critics import squared_error
from prospect_rl.agents.online.mex.mex import MEX, value_term
from prospect_rl.agents.online.td3 import TD3
from tests.agents.off_policy import SPEC, batch, differ, updated

# rows are critics, columns samples
DATA = jnp.array([[1, 0.5], [1.2, 0.3]])
FOLLOWING = jnp.array([[0.8, 0.6], [0.9, 0.2]])
DRAWN = jnp.array([[0, -0.5], [0.1, -0.2]])
POLICY = jnp.array([[1.1, 0.7], [1.3, 0.4]])


@pytest.mark.parametrize(("quirks", "wanted"), [(True, 0.2270774), (False, 0.2270949)])
def test_the_loss_in_numbers(quirks, wanted):
    term = value_term(DATA, POLICY, FOLLOWING, DRAWN, official_quirks=quirks)
    assert squared_error(DATA, jnp.array([1.5, 0.2])) - 0.005 * term == pytest.approx(wanted, abs=5e-8)


def test_the_term_sample_by_sample():
    for quirks, wanted in ((True, [-0.53786, -0.90532]), (False, [-0.62933, -0.82083])):
        for i, second in enumerate(wanted):
            one = [x[:, i : i + 1] for x in (DATA, POLICY, FOLLOWING, DRAWN)]
            first = (-0.68235, -0.70545)[i]
            assert value_term(*one, official_quirks=quirks) == pytest.approx(first + second, abs=1e-5)


def agent_of(cls, **fields):
    return cls(hidden=(8,), capacity=32, learning_starts=0, batch_size=4, **fields).bind(SPEC)


def test_without_weight_it_is_td3_bit_for_bit():
    """And with a weight that no float32 sum can see, to rounding: its extra draws disturb none of TD3's."""
    agents = (agent_of(TD3), agent_of(MEX, eta=0.0), agent_of(MEX, eta=1e-30), agent_of(MEX, eta=0.5))
    learner = jax.jit(agents[0].begin)(jax.random.key(0))
    runs = [updated(agent, learner, 6) for agent in agents]
    for (a, left), (b, right), (c, _), (d, _) in zip(*runs, strict=True):
        assert not differ(a, b) and all(left[name] == right[name] for name in left)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-7), a, c)
        assert np.abs(jax.tree.leaves(a.critics)[1] - jax.tree.leaves(d.critics)[1]).max() > 1e-5


@pytest.mark.parametrize("baseline", [True, False])
def test_a_constant_raises_the_term_only_without_baseline(baseline):
    """d term / dc for Q -> Q + c: 0 with the baseline, 2 (1 a critic) without; the loss moves by eta times it."""
    eta = 0.3
    agents = [agent_of(cls, **fields) for cls, fields in ((MEX, {"eta": eta, "baseline": baseline}), (TD3, {}))]
    learner, data, y = agents[0].begin(jax.random.key(0)), batch(), jnp.zeros(8)

    def raised(c, agent):
        critics = jax.tree.map(lambda x: x, learner.critics)
        for critic in critics:
            critic["params"]["Dense_1"]["bias"] += c
        return agent.critic_loss(critics, learner.actor, data, y, jax.random.key(1))[0]

    mex, td3 = (jax.grad(raised)(0.0, agent) for agent in agents)
    assert td3 - mex == pytest.approx(0.0 if baseline else 2 * eta, abs=1e-6)


def test_the_term_in_the_loss_is_that_of_four_separate_passes():
    """Actions of the policy at s and s' and a random one, all valued at s; no gradient reaches the policy."""
    agent, key, data, y = agent_of(MEX, eta=0.5), jax.random.key(1), batch(), jnp.ones(8)
    learner = agent.begin(jax.random.key(0))
    drawn = jax.random.uniform(key, (8, 2), minval=-1, maxval=1)
    actions = (data.action, agent.greedy(learner.actor, data.obs), agent.greedy(learner.actor, data.next_obs), drawn)
    values = [agent.values(learner.critics, data.obs, action) for action in actions]
    wanted = squared_error(values[0], y) - 0.5 * value_term(*values)
    loss, figures = agent.critic_loss(learner.critics, learner.actor, data, y, key)
    np.testing.assert_allclose(loss, wanted, rtol=1e-6)
    np.testing.assert_allclose(figures["learn/gap"], np.mean(values[1] - values[0]), rtol=1e-5)
    slope = jax.grad(lambda actor: agent.critic_loss(learner.critics, actor, data, y, key)[0])(learner.actor)
    assert all(np.all(x == 0) for x in jax.tree.leaves(slope))


def test_a_regression_without_baseline_ends_half_eta_too_high():
    """The least of (Q - y)^2 - eta Q, by Newton's step from any start: Q = y + eta / 2, a constant bonus."""
    eta, y = 0.4, jnp.array([1.5])
    loss = lambda q: jnp.mean((q - y) ** 2) - eta * jnp.mean(q)  # noqa: E731
    q = jnp.array([3.0])
    assert (q - jax.grad(loss)(q) / 2)[0] == pytest.approx(1.5 + eta / 2)
