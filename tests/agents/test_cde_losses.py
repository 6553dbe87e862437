"""Every loss of OptiDICE and CDE on a fixed batch is NumPy's, with the same weights, actions outside and noise."""

import jax
import numpy as np
import pytest

from prospect_rl.agents.offline.cde.cde import CDE
from prospect_rl.agents.offline.cde.optidice import OptiDICE
from tests.agents.dice import (
    CHOICES,
    B,
    bend,
    big_g,
    big_r,
    case,
    critic,
    gaussian,
    log_mixture,
    log_normal,
    log_r,
    log_softmax,
    mixture,
    rows,
)

KEY = jax.random.key(5)
ZETA, CAP = 0.9, np.log(0.3)
"""Of CDE's defaults: the data's share, f'(epsilon)."""


def parts(cls, spec=None, **fields):
    """(agent, learner, its weights in NumPy, a batch, the same in double precision)."""
    agent, learner = case(cls, spec, **fields) if spec else case(cls, **fields)
    batch = rows(spec=spec) if spec else rows()
    inside = jax.tree.map(np.asarray, (learner.values, learner.policy))
    return agent, learner, *inside, batch, jax.tree.map(np.float64, batch)


def advantages(agent, v, b):
    return b.reward + agent.gamma * (1 - b.terminated) * critic(v, b.next_obs) - critic(v, b.obs)


def values_in_numpy(agent, v, b, e_value, beyond, log_d):
    """(figures, loss []) of what is learned of the data; beyond: E of the actions outside that count."""
    eta_v, eta_e, alpha = float(v.eta_v), float(v.eta_e), agent.alpha
    advantage = advantages(agent, v.v, b)
    x, x_e = (advantage - eta_v) / alpha, (e_value - eta_e) / alpha
    loss_v = np.mean(big_r(x) * (advantage - eta_v) - alpha * big_g(x)) + eta_v
    loss_v += (1 - agent.gamma) * np.mean(critic(v.v, b.start))
    hinge = np.mean(np.maximum(beyond - eta_e - alpha * CAP, 0) ** 2)
    loss_e = ZETA * np.mean((e_value - advantage) ** 2) + (1 - ZETA) * hinge
    multiplier_v = np.mean(big_r(x) * (advantage - eta_v)) + eta_v
    multiplier_e = np.mean(big_r(x_e) * (advantage - eta_e)) + eta_e
    figures = {
        "learn/loss_v": loss_v, "learn/loss_e": loss_e, "learn/loss_behaviour": -np.mean(log_d),
        "learn/ratio_v": np.mean(big_r(x)), "learn/ratio_e": np.mean(big_r(x_e)),
        "learn/outside_above": np.mean(beyond > eta_e + alpha * CAP),
    }  # fmt: skip
    assert hinge > 0
    return figures, loss_v + loss_e + multiplier_v + multiplier_e - np.mean(log_d)


@pytest.mark.parametrize(
    "fields", [{}, {"rejection": "each"}, {"squash": False}, {"extraction": "weighted"}], ids=lambda f: str(f)
)
def test_what_is_learned_of_the_data(fields):
    agent, learner, v, _, batch, b = parts(CDE, **fields)
    drawn, counts = jax.jit(lambda *x: agent.outside(agent.actions, *x))(learner.values, batch, KEY)
    assert drawn.shape == (5, B, 2) and counts.shape == (5, B)
    beyond = np.stack([critic(v.e, np.hstack([b.obs, a])) for a in np.float64(drawn)])
    e_value = critic(v.e, np.hstack([b.obs, b.action]))
    raw = b.action if fields == {"squash": False} else np.arctanh(b.action)
    log_d = log_mixture(raw, mixture(v.behaviour, b.obs)) - (0 if fields == {"squash": False} else bend(raw))
    wanted, total = values_in_numpy(agent, v, b, e_value, beyond[np.asarray(counts)], log_d)
    loss, figures = jax.jit(agent.values_loss)(learner.values, batch, KEY)
    assert set(figures) == set(wanted)
    for name, x in wanted.items():
        np.testing.assert_allclose(figures[name], x, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_whose_gradient_goes_where():
    """The last biases add a constant: to V in all its three places, to E in the data and outside."""
    agent, learner, v, _, batch, b = parts(CDE)
    gradient = jax.jit(jax.grad(lambda values: agent.values_loss(values, batch, KEY)[0]))(learner.values)
    w = big_r((advantages(agent, v.v, b) - float(v.eta_v)) / agent.alpha)
    wanted = np.mean(w * (agent.gamma * (1 - b.terminated) - 1)) + 1 - agent.gamma
    np.testing.assert_allclose(gradient.v["params"]["Dense_0"]["bias"], [wanted], rtol=1e-5)
    drawn, counts = agent.outside(agent.actions, learner.values, batch, KEY)
    beyond = np.stack([critic(v.e, np.hstack([b.obs, a])) for a in np.float64(drawn)])[np.asarray(counts)]
    inside = np.mean(critic(v.e, np.hstack([b.obs, b.action])) - advantages(agent, v.v, b))
    excess = np.mean(np.maximum(beyond - float(v.eta_e) - agent.alpha * CAP, 0))
    wanted = 2 * (ZETA * inside + (1 - ZETA) * excess)
    np.testing.assert_allclose(gradient.e["params"]["Dense_0"]["bias"], [wanted], rtol=1e-5)


@pytest.mark.parametrize(
    "fields", [{}, {"densities": "raw"}, {"mixing": "arithmetic"}, {"squash": False}], ids=lambda f: str(f)
)
def test_the_policys_projection(fields):
    agent, learner, v, p, batch, b = parts(CDE, **fields)
    mean, log_std = gaussian(p.actor, b.obs)
    raw = mean + np.exp(log_std) * np.float64(jax.random.normal(KEY, (B, 2)))
    slope, action = (0 * bend(raw), raw) if fields == {"squash": False} else (bend(raw), np.tanh(raw))
    log_pi, log_d = log_normal(raw, mean, log_std), log_mixture(raw, mixture(v.behaviour, b.obs))  # before the tanh
    if fields == {"densities": "raw"}:
        kl = log_pi - ZETA * log_d
    elif fields == {"mixing": "arithmetic"}:
        kl = log_pi - slope - np.log(ZETA * np.exp(log_d - slope) + (1 - ZETA) / 4)
    else:
        kl = log_pi - slope - ZETA * (log_d - slope)
    log_w = log_r((critic(v.e, np.hstack([b.obs, action])) - float(v.eta_e)) / agent.alpha)
    gain, entropy = jax.jit(agent.projection)(learner.policy.actor, learner.values, batch, KEY)
    np.testing.assert_allclose(gain, log_w - kl, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(entropy, -np.mean(log_pi - slope), rtol=1e-5)
    wanted, log_c = -np.mean(b.weight * (log_w - kl)), float(p.log_c)
    loss, own = jax.jit(agent.policy_loss)(learner.policy, learner.values, batch, KEY)
    np.testing.assert_allclose(own, wanted, rtol=1e-5)
    wanted += log_c * (float(entropy) + 2) - np.exp(log_c) * float(entropy)
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)


def test_weighted_extraction():
    agent, learner, v, p, batch, b = parts(OptiDICE, extraction="weighted", tune_entropy=False)
    raw = np.arctanh(b.action)
    w = big_r((critic(v.e, np.hstack([b.obs, b.action])) - float(v.eta_e)) / agent.alpha)
    wanted = -np.mean(w * (log_normal(raw, *gaussian(p.actor, b.obs)) - bend(raw)))
    loss, own = jax.jit(agent.policy_loss)(learner.policy, learner.values, batch, KEY)
    assert loss == own == pytest.approx(wanted, rel=1e-5)


def test_where_all_ratios_are_one_weighted_extraction_is_cloning():
    agent, learner, *_, batch, _ = parts(OptiDICE, extraction="weighted", tune_entropy=False, alpha=1e6)

    def cloning(policy):
        return -jax.numpy.mean(agent.actions.log_policy(policy.actor, batch.obs, batch.action))

    ours = jax.grad(lambda policy: agent.policy_loss(policy, learner.values, batch, KEY)[1])
    for a, b in zip(*(jax.tree.leaves(jax.jit(f)(learner.policy)) for f in (ours, jax.grad(cloning))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mixing", ["geometric", "arithmetic"])
def test_choices_are_exact_sums(mixing):
    agent, learner, v, p, batch, b = parts(CDE, spec=CHOICES, mixing=mixing)
    e_values, own = critic(v.e, b.obs), np.eye(4)[np.asarray(batch.action)].astype(bool)
    log_d = log_softmax(critic(v.behaviour, b.obs))
    wanted, total = values_in_numpy(agent, v, b, e_values[own], e_values[~own], log_d[own])
    loss, figures = jax.jit(agent.values_loss)(learner.values, batch, KEY)
    for name, x in wanted.items():
        np.testing.assert_allclose(figures[name], x, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(loss, total, rtol=1e-5)

    log_pi = log_softmax(critic(p.actor, b.obs))
    log_w = log_r((e_values - float(v.eta_e)) / agent.alpha)
    proposal = ZETA * log_d if mixing == "geometric" else np.log(ZETA * np.exp(log_d) + (1 - ZETA) / 4)
    gain = np.sum(np.exp(log_pi) * (log_w - log_pi + proposal), axis=1)
    loss, own = jax.jit(agent.policy_loss)(learner.policy, learner.values, batch, KEY)
    assert loss == own == pytest.approx(-np.mean(b.weight * gain), rel=1e-5)
