"""Updates of `smose` are those of the released code's rules (smose_rules.py): same losses, same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents import Smose
from tests.agents.off_policy import SPEC, batch
from tests.parity import smose_rules

UPDATES = 5
EXPERTS = 3


def wide(x):
    return np.asarray(x, np.float64)


def actor_of(params):
    """Ours as the rules have it."""
    layers, found = params["params"], {}
    for name, layer in layers.items():
        kernel, bias = wide(layer["kernel"]), wide(layer["bias"])
        if name != "router":
            kernel, bias = kernel.reshape(3, EXPERTS, 2).swapaxes(0, 1), bias.reshape(EXPERTS, 2)
        found |= {f"{name}/kernel": kernel, f"{name}/bias": bias}
    return found


def critic_of(params):
    layers = params["params"]
    return {f"{short}{i}": wide(layers[f"Dense_{i}"][name])
            for i in (0, 1) for short, name in (("w", "kernel"), ("b", "bias"))}  # fmt: skip


def draws(key, size):
    """What an update of ours draws."""
    k_target, k_actor = jax.random.split(key)
    normal, steps = jax.random.normal, []
    for i in range(2):
        k_loss, k_alpha = jax.random.split(jax.random.fold_in(k_actor, i))
        k_action, k_router = jax.random.split(k_loss)
        shift = wide(normal(k_router, (1, EXPERTS))) / EXPERTS
        steps.append({"shift": shift, "action": wide(normal(k_action, size)), "alpha": wide(normal(k_alpha, size))})
    return {"next": wide(normal(k_target, size)), "steps": steps}


@pytest.mark.parametrize("w_aux", [0.1, 3.0])
def test_updates_by_the_released_rules(w_aux):
    agent = Smose(experts=EXPERTS, w_aux=w_aux, hidden=(8,), capacity=32, batch_size=8).bind(SPEC)
    learner, update = jax.jit(agent.begin)(jax.random.key(0)), jax.jit(agent.update)
    grown = jax.tree.map(lambda x: 2 * x, learner.actor)  # so that the gate and the experts differ
    grown["params"]["log_std"]["bias"] -= 2  # far out, the released density is cut off (smose_rules.TINY)
    learner = learner.replace(actor=grown)
    rules = smose_rules.Rules(
        actor_of(grown), [*map(critic_of, learner.critics)], gamma=0.99, tau=0.005, rate=3e-4, critic_rate=1e-3,
        w_aux=w_aux, every=2,
    )  # fmt: skip
    for t in range(UPDATES):
        data, key = batch(seed=t), jax.random.key(t)
        rows = {name: wide(getattr(data, name)) for name in ("obs", "action", "reward", "terminated", "next_obs")}
        losses = rules.update(rows, draws(key, (8, 2)))
        learner, figures = update(learner, data, key)
        assert 2 * figures["learn/loss_critic"] == pytest.approx(losses["critic"], rel=1e-4)
        if t % 2 == 0:
            whole = figures["learn/loss_actor"] + w_aux * figures["learn/loss_aux"]
            assert whole == pytest.approx(losses["actor"], rel=1e-4, abs=1e-5)
    for mine, theirs in ((actor_of(learner.actor), rules.actor),
                         *zip(map(critic_of, learner.critics), rules.critics, strict=True),
                         *zip(map(critic_of, learner.target_critics), rules.targets, strict=True)):  # fmt: skip
        for name in theirs:
            np.testing.assert_allclose(mine[name], theirs[name], atol=1e-5, err_msg=name)
    assert float(learner.log_alpha) == pytest.approx(float(rules.log_alpha["log_alpha"]), abs=1e-6)
    moved = np.abs(actor_of(learner.actor)["router/kernel"] - actor_of(grown)["router/kernel"]).max()
    assert moved > 1e-3 and jnp.isfinite(moved), "the router hardly moved"
