"""Writes smose_official.npz: what the released code of SMoSE computes from weights, batches and noise of ours.

    python -m tests.parity.smose_official CLONE        (of vinczematyas/imoe_no_aux_loss; needs torch)

The networks and the training step are the clone's, as they are: only its replay buffer is left out, its batches are
ours, and it draws our noise. Arrays: all weights and the logarithm of the temperature, before and after all updates.
"""

import sys
from itertools import chain
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import jax
import numpy as np

from prospect_rl.agents import Smose
from tests.agents.off_policy import SPEC, batch

UPDATES, EXPERTS, ROWS = 5, 3, 8
WIDTH = 256
"""Of the released code's critics, which have no field for it."""
FILE = Path(__file__).with_name("smose_official.npz")


def begun(width, **fields):
    """(agent, learner) of ours; the actor is grown, so that the gate and the experts differ."""
    agent = Smose(experts=EXPERTS, hidden=(width,), capacity=32, batch_size=ROWS, **fields).bind(SPEC)
    learner = jax.jit(agent.begin)(jax.random.key(0))
    grown = jax.tree.map(lambda x: 2 * x, learner.actor)
    grown["params"]["log_std"]["bias"] -= 2  # far out, the released density is cut off (smose_rules.TINY)
    return agent, learner.replace(actor=grown)


def actor_of(params):
    """Kernel and bias of the router, of means and of log deviations; those of the experts [M, ...]."""
    found = {}
    for name, layer in params["params"].items():
        kernel, bias = np.array(layer["kernel"]), np.array(layer["bias"])
        if name != "router":
            kernel, bias = kernel.reshape(len(kernel), EXPERTS, -1).swapaxes(0, 1), bias.reshape(EXPERTS, -1)
        found |= {f"{name}/kernel": kernel, f"{name}/bias": bias}
    return found


def named(learner):
    """All weights of ours by name, and the logarithm of the temperature."""
    found = {f"actor/{name}": x for name, x in actor_of(learner.actor).items()}
    for part, pair in (("critic", learner.critics), ("target", learner.target_critics)):
        for i, params in enumerate(pair):
            for layer, weights in params["params"].items():
                found |= {f"{part}{i}/{layer}/{name}": np.array(x) for name, x in weights.items()}
    return found | {"log_alpha": np.array(learner.log_alpha)}


def draws(key):
    """What an update of ours draws: for the target, then for each step of the actor."""
    k_target, k_actor = jax.random.split(key)
    normal, size, steps = jax.random.normal, (ROWS, SPEC.action.size), []
    for i in range(2):
        k_loss, k_alpha = jax.random.split(jax.random.fold_in(k_actor, i))
        k_action, k_router = jax.random.split(k_loss)
        shift = np.array(normal(k_router, (1, EXPERTS))) / EXPERTS
        steps.append({"shift": shift, "action": np.array(normal(k_action, size)),
                      "alpha": np.array(normal(k_alpha, size))})  # fmt: skip
    return {"next": np.array(normal(k_target, size)), "steps": steps}


# --- the released code ---------------------------------------------------------------------------------


def official(clone, agent):
    """(the module of the clone, its settings with ours, its networks and optimisers)."""
    for name in ("stable_baselines3", "stable_baselines3.common", "stable_baselines3.common.buffers"):
        sys.modules[name] = ModuleType(name)
    sys.modules["stable_baselines3.common.buffers"].ReplayBuffer = lambda *_, **__: SimpleNamespace()
    sys.path.insert(0, clone)
    import sac

    cfg = SimpleNamespace(device="cpu", sac=SimpleNamespace(
        nonlinear_actor=False, n_experts=EXPERTS, topk=1, q_depth=1, q_lr=agent.critic_learning_rate,
        policy_lr=agent.actor_learning_rate, alpha_auto=True, buffer_size=1, batch_size=ROWS, gamma=agent.gamma,
        policy_frequency=agent.actor_delay, aux_loss="vision", aux_loss_weight=agent.w_aux,
        target_network_frequency=1, tau=agent.tau,
    ))  # fmt: skip
    ones = np.ones(SPEC.action.size, np.float32)
    spaces = {"observation": SPEC.obs.shape, "action": ones.shape}
    env = SimpleNamespace(**{
        f"single_{name}_space": SimpleNamespace(shape=shape, low=-ones, high=ones) for name, shape in spaces.items()
    })  # fmt: skip
    return sac, cfg, sac.setup_sac(cfg, env)


def layers(sac):
    """(name of ours, where in its arrays, layer there)."""
    yield "actor/router", (), sac.actor.router
    for name, experts in (("mean", sac.actor.mean_experts), ("log_std", sac.actor.log_std_experts)):
        yield from ((f"actor/{name}", m, layer) for m, layer in enumerate(experts))
    for part, pair in (("critic", (sac.qf1, sac.qf2)), ("target", (sac.qf1_target, sac.qf2_target))):
        for i, network in enumerate(pair):
            yield from ((f"{part}{i}/Dense_{k}", (), layer) for k, layer in enumerate(network.fc_list))


def main(clone):
    import torch

    def tensor(x):
        return torch.tensor(np.array(x))

    agent, learner = begun(WIDTH)
    before = named(learner)
    released, cfg, sac = official(clone, agent)
    with torch.no_grad():
        for name, at, layer in layers(sac):
            layer.weight.copy_(tensor(before[f"{name}/kernel"][at].T))
            layer.bias.copy_(tensor(before[f"{name}/bias"][at]))
    for t in range(UPDATES):
        rows, drawn = batch(ROWS, t), draws(jax.random.key(t))
        data = SimpleNamespace(observations=tensor(rows.obs), actions=tensor(rows.action), rewards=tensor(rows.reward),
                               dones=tensor(rows.terminated), next_observations=tensor(rows.next_obs))  # fmt: skip
        noise = chain([drawn["next"]], *((step["action"], step["alpha"]) for step in drawn["steps"]))
        shifts = iter([step["shift"][0] for step in drawn["steps"]])
        sac.rb.sample = lambda size, data=data: data
        sac.actor.noise_distr.sample = lambda shifts=shifts: tensor(next(shifts))
        with mock.patch.object(torch, "randn_like", lambda x, noise=noise: tensor(next(noise))):
            released.train_sac(cfg, sac)
    after = {name: np.zeros_like(x) for name, x in before.items()}
    for name, at, layer in layers(sac):
        after[f"{name}/kernel"][at] = layer.weight.detach().numpy().T
        after[f"{name}/bias"][at] = layer.bias.detach().numpy()
    after["log_alpha"][...] = sac.log_alpha.item()
    ends = {"before": before, "after": after}
    np.savez_compressed(FILE, **{f"{end}/{name}": x for end, arrays in ends.items() for name, x in arrays.items()})


if __name__ == "__main__":
    main(sys.argv[1])
