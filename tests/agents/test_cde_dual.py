"""The dual of OptiDICE and CDE with tables and exact expectations, in double precision: what its optimum is worth.

Shapes: S states, A actions; all densities, rewards and ratios are [S, A].
"""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.agents.dice import big_g, big_r

ALPHAS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""The optimum for one is where the search for the next one begins."""


@dataclass
class Process:
    """A random Markov decision process, and data in whose states some actions are missing."""

    states: int = 50
    actions: int = 4
    gamma: float = 0.95
    seed: int = 0

    def __post_init__(self):
        g, size = np.random.default_rng(self.seed), (self.states, self.actions)
        self.p = g.dirichlet(np.full(self.states, 0.3), size)
        self.reward, self.start = g.normal(size=size), g.dirichlet(np.ones(self.states))
        policy = g.dirichlet(np.ones(self.actions), self.states)
        policy[::2, 0] = 0
        self.data = self.density(policy / policy.sum(axis=1, keepdims=True))
        self.outside = self.data == 0

    def density(self, policy):
        """Of a policy, discounted; it sums to 1."""
        chain = np.einsum("sa,sat->st", policy, self.p)
        visits = np.linalg.solve(np.eye(self.states) - self.gamma * chain.T, (1 - self.gamma) * self.start)
        return visits[:, None] * policy

    def advantage(self, v):
        return self.reward + self.gamma * self.p @ v - v[:, None]

    def imbalance(self, d):
        """How far a density is from the flow of any policy."""
        inflow = (1 - self.gamma) * self.start + self.gamma * np.einsum("sa,sat->t", d, self.p)
        return np.abs(d.sum(axis=1) - inflow).max()

    def best(self):
        """The value of the best policy among the data's actions."""
        v = np.zeros(self.states)
        for _ in range(1000):
            v = np.max(np.where(self.outside, -np.inf, self.reward + self.gamma * self.p @ v), axis=1)
        return (1 - self.gamma) * self.start @ v

    def ratios(self, proposal, alphas, limit=np.inf):
        """w for each alpha, where V's loss (1 - gamma) V(s_0) + E[w A - alpha f(w)] is least."""
        top = np.log(np.minimum(limit, 1)) + np.maximum(limit - 1, 0)  # f'
        change = self.gamma * self.p - np.eye(self.states)[:, None]  # dA / dV, [S, A, S]
        v, found = np.zeros(self.states), []
        for alpha in alphas:

            def loss(v, alpha=alpha):
                x = np.minimum(self.advantage(v) / alpha, top)
                gain = big_r(x) * self.advantage(v) - alpha * big_g(x)
                gradient = np.einsum("sa,sat->t", proposal * big_r(x), change)
                return (1 - self.gamma) * self.start @ v + np.sum(proposal * gain), (
                    (1 - self.gamma) * self.start + gradient
                )

            def curvature(v, alpha=alpha):
                x = self.advantage(v) / alpha
                weight = proposal * np.where(x < top, np.exp(np.minimum(x, 0)), 0) / alpha
                return np.einsum("sat,sa,sau->tu", change, weight, change)

            v = minimize(loss, v, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-10}).x
            found.append(big_r(np.minimum(self.advantage(v) / alpha, top)))
        return found


def test_the_optimum_is_a_flow_and_tends_to_the_best_policy_in_the_data():
    process = Process()
    values = []
    for w in process.ratios(process.data, ALPHAS):
        d = process.data * w
        assert process.imbalance(d) < 1e-6 and d.sum() == pytest.approx(1, abs=1e-6)
        policy = d / d.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(process.density(policy), d, atol=1e-6)
        values.append(np.sum(d * process.reward))
    gaps = process.best() - np.array(values)
    assert np.sum(process.data * process.reward) < values[0] and np.all(np.diff(gaps) < 0)
    assert gaps[0] > 0.3 and 0 < gaps[-1] < 0.01


def test_the_limit_holds_outside_the_data_and_would_not_by_itself():
    process, epsilon = Process(), 0.3
    mu = np.where(process.outside, process.data.sum(axis=1, keepdims=True), 0)
    proposal = 0.9 * process.data + 0.1 * mu / mu.sum()
    (*_, free) = process.ratios(proposal, ALPHAS[:3])
    (*_, bound) = process.ratios(proposal, ALPHAS[:3], np.where(process.outside, epsilon, np.inf))
    assert free[process.outside].max() > 1 and np.isclose(bound[process.outside].max(), epsilon)
    assert bound[~process.outside].max() > 1
    for w in (free, bound):
        assert process.imbalance(proposal * w) < 1e-6


def test_unit_ratios_shun_ends():
    """One state, two actions: stay there, for nothing, or end with a reward of 1. Both are half of the data."""
    gamma, alpha = 0.9, 0.01

    def ratios(v, eta):
        return big_r((np.array([gamma * v - v, 1 - v]) - eta) / alpha)

    def loss(x, unit):
        v, eta = x[0], x[1] if unit else 0.0
        a = np.array([gamma * v - v, 1 - v]) - eta
        return (1 - gamma) * v + eta + np.mean(ratios(v, eta) * a - alpha * big_g(a / alpha))

    def solved(unit):
        precise = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10_000}
        v, eta = minimize(loss, np.zeros(2), args=(unit,), method="Nelder-Mead", options=precise).x
        return ratios(v, eta if unit else 0.0)

    stay, end = solved(True)
    assert end < 0.02 and stay > 1.9
    stay, end = solved(False)
    # the flow: what comes in, 1 - gamma + gamma d(stay), goes out
    assert (stay + end) / 2 == pytest.approx(1 - gamma + gamma * stay / 2, abs=1e-5) and end > 10 * stay
