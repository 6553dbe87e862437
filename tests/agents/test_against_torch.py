"""CDE, TD3+BC, IQL and SMoSE against the PyTorch of their benches: same weights, batches and noise, same losses.

Needs torch, which the extra `sb3` brings.
"""

import jax
import numpy as np
import pytest

from prospect_rl.agents.offline.cde.cde import CDE
from prospect_rl.agents.offline.iql import IQL
from prospect_rl.agents.offline.td3_bc import TD3BC
from prospect_rl.agents.online.smose.smose import Smose
from prospect_rl.experiments.bench import cde_torch, cde_update, offline_torch, smose_torch
from tests.agents.off_policy import SPEC, batch

torch = pytest.importorskip("torch", reason="the extra sb3 is not installed")

SMALL = {"hidden": (8, 6), "batch_size": 16}
UPDATES = 4


def tensor(x):
    return torch.tensor(np.asarray(x))


def pairs(network, params):
    """(torch's Linear, our layer) of a network, in torch's order: hidden layers, heads."""
    layers = dict(params["params"])
    layers = [*layers.pop("Body_0").values(), *layers.values()] if "Body_0" in layers else layers.values()
    linears = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    return zip(linears, layers, strict=True)


def write(network, params):
    with torch.no_grad():
        for linear, layer in pairs(network, params):
            linear.weight.copy_(tensor(layer["kernel"]).T)
            linear.bias.copy_(tensor(layer["bias"]))


def check(network, params):
    for linear, layer in pairs(network, params):
        np.testing.assert_allclose(linear.weight.detach().numpy().T, layer["kernel"], atol=2e-6)
        np.testing.assert_allclose(linear.bias.detach().numpy(), layer["bias"], atol=2e-6)


def equal(losses, figures):
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(float(figures[name]), rel=2e-5, abs=1e-6), name


def test_cde():
    agent = CDE(**SMALL, warm_up=0, alpha=0.1, others=3).bind(SPEC)
    learner, update = jax.jit(agent.begin)(jax.random.key(0)), jax.jit(agent.update)
    theirs = cde_torch.Learner(agent)

    def networks(learner):
        values = learner.values
        ours = values.v, values.e, values.behaviour, learner.policy.actor
        return zip((theirs.v, theirs.e, theirs.behaviour, theirs.actor), ours, strict=True)

    for network, params in networks(learner):
        write(network, params)
    for i in range(UPDATES):
        key = jax.random.key(10 + i)
        ended = (np.arange(16) % 4 == 3).astype(np.float32)
        rows = cde_update.rows(agent, jax.random.key(i)).replace(terminated=ended, weight=1 - ended)
        drawn = jax.random.uniform(jax.random.fold_in(key, 0), (3, 16, 2), minval=-1, maxval=1)
        noise = jax.random.normal(jax.random.fold_in(key, 1), (16, 2))
        learner, figures = update(learner, rows, key)
        losses = theirs.update(jax.tree.map(tensor, rows), tensor(drawn), tensor(noise))
        assert set(losses) == {name for name in figures if "loss" in name}
        equal(losses, figures)
    for network, params in networks(learner):
        check(network, params)
    multipliers = learner.values.eta_v, learner.values.eta_e, learner.policy.log_c
    for x, own in zip((theirs.eta_v, theirs.eta_e, theirs.log_c), multipliers, strict=True):
        assert x.item() == pytest.approx(float(own), abs=1e-6)


def test_td3_bc():
    agent = TD3BC(**SMALL).bind(SPEC)
    learner, update = jax.jit(agent.begin)(jax.random.key(0)), jax.jit(agent.update)
    theirs = offline_torch.TD3BC(agent)

    def networks(learner):
        ours = learner.actor, *learner.critics, learner.target_actor, *learner.target_critics
        return zip((theirs.actor, *theirs.twins, theirs.target_actor, *theirs.target_twins), ours, strict=True)

    for network, params in networks(learner):
        write(network, params)
    for i in range(UPDATES):
        key = jax.random.key(10 + i)
        noise = jax.random.normal(jax.random.split(key)[0], (16, 2))
        learner, figures = update(learner, batch(16, i), key)
        losses = theirs.update(jax.tree.map(tensor, batch(16, i)), tensor(noise))
        assert ("learn/loss_actor" in losses) == (i % 2 == 1)
        equal(losses, figures)
    for network, params in networks(learner):
        check(network, params)


def test_iql():
    agent = IQL(**SMALL).bind(SPEC)
    learner, update = jax.jit(agent.begin)(jax.random.key(0)), jax.jit(agent.update)
    theirs = offline_torch.IQL(agent)

    def networks(learner):
        ours, mean = learner.networks, {"params": learner.networks.actor["params"]["MLP_0"]}
        ours = mean, ours.v, *ours.critics, *learner.target_critics
        return zip((theirs.actor, theirs.v, *theirs.twins, *theirs.target_twins), ours, strict=True)

    for network, params in networks(learner):
        write(network, params)
    for i in range(UPDATES):
        learner, figures = update(learner, batch(16, i), jax.random.key(i))
        equal(theirs.update(jax.tree.map(tensor, batch(16, i)), None), figures)
    for network, params in networks(learner):
        check(network, params)
    log_std = learner.networks.actor["params"]["log_std"]
    np.testing.assert_allclose(theirs.actor.log_std.detach().numpy(), log_std, atol=2e-6)
    assert np.abs(log_std).min() > 1e-4


def test_smose():
    agent = Smose(**SMALL, experts=3).bind(SPEC)
    learner, update = jax.jit(agent.begin)(jax.random.key(0)), jax.jit(agent.update)
    learner.actor["params"]["log_std"]["bias"] -= 2  # far out, the released density is cut off
    theirs = smose_torch.Learner(agent)
    normal, (obs, action) = jax.random.normal, agent.sizes

    def networks(learner):
        layers = learner.actor["params"]
        yield theirs.router, {"params": {"router": layers["router"]}}
        for name, experts in (("mean", theirs.mean), ("log_std", theirs.log_std)):
            kernel, bias = (layers[name][part].reshape(*shape, 3, action) for part, shape in
                            (("kernel", (obs,)), ("bias", ())))  # fmt: skip
            for m, expert in enumerate(experts):
                yield expert, {"params": {name: {"kernel": kernel[:, m], "bias": bias[m]}}}
        yield from zip((*theirs.twins, *theirs.target_twins), (*learner.critics, *learner.target_critics), strict=True)

    for network, params in networks(learner):
        write(network, params)
    for i in range(UPDATES):
        k_target, k_actor = jax.random.split(jax.random.key(i))
        drawn = [normal(k_target, (16, action))]
        for turn in range(2):
            k_loss, k_alpha = jax.random.split(jax.random.fold_in(k_actor, turn))
            k_action, k_router = jax.random.split(k_loss)
            drawn += [normal(k_router, (1, 3))[0], normal(k_action, (16, action)), normal(k_alpha, (16, action))]
        learner, figures = update(learner, batch(16, i), jax.random.key(i))
        left = iter(drawn)
        losses = theirs.update(jax.tree.map(tensor, batch(16, i)), lambda *shape, left=left: tensor(next(left)))
        for name, loss in losses.items():
            assert loss.item() == pytest.approx(float(figures[name]), rel=1e-4, abs=1e-5), name
    for network, params in networks(learner):
        for linear, layer in pairs(network, params):
            np.testing.assert_allclose(linear.weight.detach().numpy().T, layer["kernel"], atol=1e-5)
    assert theirs.log_alpha.item() == pytest.approx(float(learner.log_alpha), abs=1e-5)
