"""Tabular MEX: its objective by hand, the theory's closed form, and MEX-MB's value gradient against a derivative."""

from dataclasses import dataclass
from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents.online.mex.tabular import State, TabularMEX
from prospect_rl.agents.ops.tabular import discounted_values, occupancy, plan, value_gradient
from prospect_rl.envs.api import Discrete, Spec
from prospect_rl.envs.small.lock import CombinationLock
from prospect_rl.experiments import train


@dataclass(frozen=True)
class Tiny(Spec):
    rewards: tuple = ((0.0, 0.25), (1.0, 1.0))


def tiny(**fields):
    """Two states, two actions, two steps: action 1 pays .25 in state 0, the other state pays 1."""
    spec = Tiny(id="test/tiny", obs=Discrete(2), action=Discrete(2), horizon=2, fixed_length=True)
    return TabularMEX(**fields).bind(spec)


def lock(**fields):
    return TabularMEX(**fields).bind(envs.make("lock/combination").spec)


# --- the objective -----------------------------------------------------------------------------------


def test_the_objective_by_hand():
    # P(. | 0, 0) = (1/4, 3/4), all others even. Last step: V = (.25, 1). First: Q(0, 0) = .25 * .25 + .75 = .8125,
    # Q(0, 1) = .25 + .625 = .875. Data: (0, 0) led twice to 1 and once to 0, (0, 1) once to 0.
    logits = jnp.zeros((2, 2, 2)).at[0, 0, 1].set(log(3))
    counts = jnp.zeros((2, 2, 2)).at[0, 0].set(jnp.array([1.0, 2.0])).at[0, 1, 0].set(1.0)
    agent = tiny(weight=4.0, ridge=0.5)
    assert float(agent.value(logits)) == pytest.approx(0.875, abs=1e-6)
    likelihood = 2 * log(0.75) + log(0.25) + log(0.5)
    by_hand = 4 * 0.875 + likelihood - 0.5 * log(3) ** 2
    assert float(agent.objective(logits, counts)) == pytest.approx(by_hand, abs=1e-5)
    state = State(logits, counts)
    assert agent.exploit(state)["policy"].tolist() == [[1, 0], [1, 0]]


def test_the_bonus_is_for_what_explores():
    # visits 3 and 1 of (0, 0) and (0, 1): bonuses 1 / sqrt(3) and 1; none of both in state 1, which counts as one visit
    logits = jnp.zeros((2, 2, 2)).at[0, 0, 1].set(9.0).at[0, 1, 0].set(9.0)
    counts = jnp.zeros((2, 2, 2)).at[0, 0, 1].set(3.0).at[0, 1, 0].set(100.0)
    agent = tiny(bonus=1.0)
    assert int(agent.exploit(State(logits, counts))["policy"][1, 0]) == 1
    assert int(agent.explore(State(logits, counts), jax.random.key(0))[0]["policy"][1, 0]) == 0  # .577 > .25 + .1


def test_no_model_skips_a_state():
    model = jnp.exp(lock().log_model(jnp.zeros((7, 3, 7))))
    for s in range(7):
        allowed = min(s + 2, 7)
        np.testing.assert_allclose(model[s, 0], [1 / allowed] * allowed + [0] * (7 - allowed), atol=1e-6)
    assert float(jnp.min(jnp.exp(lock(jump=6).log_model(jnp.zeros((7, 3, 7)))))) == pytest.approx(1 / 7)


def test_the_starts():
    previous = jnp.zeros((2, 2, 2)).at[0, 0, 0].set(2.0)
    counts = jnp.zeros((2, 2, 2)).at[0, 1, 1].set(3.0)
    starts = tiny().candidates(previous, counts)
    assert starts.shape == (3, 2, 2, 2) and np.array_equal(starts[0], previous)
    np.testing.assert_allclose(starts[1, 0], [[log(0.5), log(0.5)], [log(0.5), log(3.5)]], rtol=1e-6)
    np.testing.assert_allclose(starts[2] - starts[1], np.broadcast_to([0.0, 3.0], (2, 2, 2)), atol=1e-6)
    assert np.array_equal(tiny(starts="single").candidates(previous, counts), previous[None])


def test_without_value_the_fit_is_the_ridge_estimate():
    # one parameter d = l1 - l0 (by symmetry l1 = -l0 = d / 2): maximise 3 log s(d) + log s(-d) - ridge d^2 / 2
    counts = jnp.zeros((2, 2, 2)).at[0, 0].set(jnp.array([1.0, 3.0]))
    logits, score, _ = tiny(weight=0.0, steps=400, ridge=0.1).fit(jnp.zeros((2, 2, 2)), counts)
    grid = np.linspace(-5, 5, 20_001)
    values = 3 * -np.log1p(np.exp(-grid)) - np.log1p(np.exp(grid)) - 0.05 * grid**2
    assert float(logits[0, 0, 1] - logits[0, 0, 0]) == pytest.approx(grid[values.argmax()], abs=2e-3)
    assert float(score) == pytest.approx(values.max(), abs=1e-4)
    assert float(jnp.abs(logits[1]).max()) < 1e-3


def test_only_the_forward_start_sees_past_a_known_safe_arm():
    """After ten safe episodes the previous model's greedy policy stays in state 0, where V_P has no slope ahead."""
    counts = jnp.zeros((7, 3, 7)).at[0, 0, 0].set(70.0)
    previous = jnp.zeros((7, 3, 7)).at[0, 0, 0].set(4.0).at[0, 0, 1].set(-4.0)
    agent, alone = lock(weight=30.0), lock(weight=30.0, starts="single")
    logits, score, start = jax.jit(agent.fit)(previous, counts)
    stuck, lower, _ = jax.jit(alone.fit)(previous, counts)
    assert int(start) == 2 and float(score) > float(lower)
    assert float(agent.objective(logits, counts)) == pytest.approx(float(score), rel=1e-5)
    assert float(alone.value(stuck)) == pytest.approx(0.35, abs=0.02) and float(agent.value(logits)) > 0.7
    assert int(alone.exploit(State(stuck, counts))["policy"][0, 0]) == 0
    assert int(agent.exploit(State(logits, counts))["policy"][0, 0]) > 0


# --- acting and learning -----------------------------------------------------------------------------


def test_it_opens_a_short_lock_and_counts_every_transition_once():
    """Length 3 and horizon 4: the right arms are worth .9^3 = .73, the safe one .4."""
    env = CombinationLock(length=3, horizon=4, safe=0.1)
    result = train(TabularMEX(weight=30.0), env, budget=40, evals=1, eval_episodes=50)
    assert result.rows[-1]["eval/success"] > 0.5 and result.rows[-1]["eval/return"] > 0.6
    counts, (truth, _) = np.asarray(result.state.counts), env.tables()
    assert counts.sum() == 40 * 4 and (truth[counts > 0] > 0).all()
    assert counts[0].sum() >= 40


def test_misfits_and_bad_values():
    with pytest.raises(ValueError, match="discrete states"):
        TabularMEX().bind(envs.make("probe/bandit").spec)
    with pytest.raises(ValueError, match=r"spec\.rewards"):
        TabularMEX().bind(Spec("test/none", Discrete(2), Discrete(2), horizon=2, fixed_length=True))
    with pytest.raises(ValueError, match="fixed length"):
        TabularMEX().bind(Tiny(id="test/tiny", obs=Discrete(2), action=Discrete(2), horizon=2))
    with pytest.raises(ValueError, match="multi"):
        agents.make("mex_tabular", starts="many")


# --- the theory --------------------------------------------------------------------------------------


def test_the_bandit_closed_form():
    """max over f and a of f_a - eta sum_b N_b (f_b - mean_b)^2 picks argmax mean_a + 1 / (4 eta N_a)."""
    grid, generator = np.linspace(-1, 4, 5001), np.random.default_rng(0)
    for _ in range(20):
        mean, visits, eta = generator.uniform(0, 1, 3), generator.integers(1, 30, 3), generator.uniform(0.1, 1)
        index = mean + 1 / (4 * eta * visits)
        # for an arm a the other f_b are best at their means, where they cost nothing
        values = grid[:, None] - eta * visits * (grid[:, None] - mean) ** 2
        assert values.max(0).argmax() == index.argmax()
        np.testing.assert_allclose(values.max(0), index, atol=1e-4)
        np.testing.assert_allclose(grid[values.argmax(0)], mean + 1 / (2 * eta * visits), atol=1e-3)


def test_planning_against_enumeration():
    k_p, k_r = jax.random.split(jax.random.key(1))
    transition = jax.random.dirichlet(k_p, jnp.ones(2), (2, 2))
    reward = jax.random.normal(k_r, (2, 2))
    values, policy = plan(transition, reward, 3)
    p, r, best = np.asarray(transition), np.asarray(reward), -np.inf
    for code in range(2**6):  # all policies [3, 2]
        choice, v = [(code >> i) & 1 for i in range(6)], np.zeros(2)
        for h in (2, 1, 0):
            v = np.array([r[s, choice[2 * h + s]] + p[s, choice[2 * h + s]] @ v for s in range(2)])
        if v[0] > best:
            best, found = v[0], choice
    assert float(values[0]) == pytest.approx(best, abs=1e-5) and int(policy[0, 0]) == found[0]
    assert policy.shape == (3, 2) and policy.dtype == jnp.int32


def test_the_value_gradient_of_mex_mb():
    """Differentiating the linear solve gives the occupancy-weighted score-function form of MEX-MB's term."""
    k_l, k_r, k_p = jax.random.split(jax.random.key(2), 3)
    logits, reward = jax.random.normal(k_l, (4, 3, 4)), jax.random.normal(k_r, (4, 3))
    policy = jax.random.dirichlet(k_p, jnp.ones(3), (4,))
    start, gamma = jnp.array([1.0, 0, 0, 0]), 0.9

    def value(logits):
        return start @ discounted_values(jax.nn.softmax(logits), reward, policy, gamma)

    exact = jax.grad(value)(logits)
    np.testing.assert_allclose(value_gradient(logits, reward, policy, start, gamma), exact, atol=1e-5)

    # the same expectation written out over (s, a, s') with each d log P by automatic differentiation
    model, scores = jax.nn.softmax(logits), jax.jacobian(jax.nn.log_softmax)(logits)  # [S, A, S'] by [S, A, S]
    v, d = discounted_values(model, reward, policy, gamma), occupancy(model, policy, start, gamma)
    q = reward + gamma * model @ v
    gaps = d[..., None] * model * (reward[..., None] + gamma * v - q[..., None])
    np.testing.assert_allclose(jnp.einsum("ijk,ijkabc->abc", gaps, scores), exact, atol=1e-5)
    assert float(jnp.sum(d)) == pytest.approx(1 / (1 - gamma), rel=1e-4)
    # without the occupancy it is another vector
    flat = jnp.einsum("ijk,ijkabc->abc", gaps / d[..., None], scores)
    assert float(jnp.abs(flat - exact).max()) > 1e-2


def test_values_and_occupancy_by_hand():
    # 0 -> 1 -> 1 for ever, 1 pays 1, gamma = 1/2: V(1) = 2, V(0) = 1; occupancy 1 and 1/2 + 1/4 + ... = 1
    transition, reward = jnp.array([[[0.0, 1.0]], [[0.0, 1.0]]]), jnp.array([[0.0], [1.0]])
    policy = jnp.ones((2, 1))
    np.testing.assert_allclose(discounted_values(transition, reward, policy, 0.5), [1.0, 2.0], atol=1e-6)
    np.testing.assert_allclose(occupancy(transition, policy, jnp.array([1.0, 0.0]), 0.5), [[1.0], [1.0]], atol=1e-6)
