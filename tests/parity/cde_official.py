"""Writes cde_official.npz: what the official CDE computes from weights, batches and noise of ours.

    python -m tests.parity.cde_official CLONE        (of czp16/cde-offline-rl; needs torch)

The learner is the clone's, as it is: only its tracker is left out, its batches are ours, and what it draws is kept.
Arrays [T, ...]: batches, actions outside the data, noise of the policy, losses; and all weights, before and after.
"""

import dataclasses
import sys
from pathlib import Path
from types import ModuleType

import jax
import numpy as np

from prospect_rl.agents.offline.cde.cde import CDE
from tests.agents.dice import case, rows

STEPS = 20
OFFICIAL = {"rejection": "each", "densities": "raw"}
"""The switches that make ours the official computation."""
FILE = Path(__file__).with_name("cde_official.npz")


def begun(**fields):
    """(agent, learner) of ours; weights small enough that no mean of pi_D comes to the bound that only ours has."""
    agent, learner = case(CDE, **(OFFICIAL | fields))
    half = {name: jax.tree.map(lambda x: x / 2, getattr(learner, name)) for name in ("values", "policy")}
    return agent, dataclasses.replace(learner, **half)


def linears(params):
    """(kernel, bias) of a network of ours, in the order of the layers of a network there."""
    inner = params["params"]
    layers = [*(inner["Body_0"][name] for name in sorted(inner["Body_0"])), *_heads(inner)]
    return [(np.array(layer["kernel"]), np.array(layer["bias"])) for layer in layers]


def _heads(inner):
    """There mean and deviation come before a mixture's logits."""
    heads = [inner[name] for name in sorted(inner) if name.startswith("Dense")]
    return heads if len(heads) < 3 else [*heads[1:], heads[0]]


def networks(learner):
    """The four of ours by name."""
    return {
        "v": learner.values.v, "e": learner.values.e, "behaviour": learner.values.behaviour,
        "actor": learner.policy.actor,
    }  # fmt: skip


def main(clone):
    import torch

    for name in ("wandb", "gym", "d4rl", "mujoco_py"):
        sys.modules[name] = ModuleType(name)
    sys.path.insert(0, clone)
    import cde
    from utils import Critic, TanhMixtureNormalPolicy, TanhNormalPolicy

    agent, ours = begun()
    hidden = list(agent.hidden)
    made = {
        "v": Critic(3, 0, hidden), "e": Critic(3, 2, hidden),
        "behaviour": TanhMixtureNormalPolicy(agent.components, 3, 2, 1.0, hidden),
        "actor": TanhNormalPolicy(3, 2, hidden),
    }  # fmt: skip
    for name, network in networks(ours).items():
        theirs = [m for m in made[name].modules() if isinstance(m, torch.nn.Linear)]
        for layer, (kernel, bias) in zip(theirs, linears(network), strict=True):
            layer.weight.data = torch.tensor(kernel.T.copy())
            layer.bias.data = torch.tensor(bias)
    adam = {name: torch.optim.Adam(network.parameters(), agent.learning_rate) for name, network in made.items()}
    kept = {name: [] for name in ("outside", "noise", "deviation", *Batch.names, "start", *Losses.names)}
    losses = Losses()
    sys.modules["wandb"].log = losses
    learner = cde.CDELearner(
        agent.gamma, agent.alpha, made["actor"], adam["actor"], made["behaviour"], adam["behaviour"], made["v"],
        adam["v"], made["e"], adam["e"], 1, agent.others, agent.zeta, agent.epsilon, False, e_value_type="adv",
        policy_ent_reg=True, target_ent=-2.0,
    )  # fmt: skip
    learner._eta_v.data = torch.tensor(float(ours.values.eta_v))
    learner._eta_e.data = torch.tensor(float(ours.values.eta_e))
    learner.log_ent_coef.data = torch.tensor(float(ours.policy.log_c))
    draw = learner.get_ood_a

    def outside(batch):
        kept["outside"].append(draw(batch).numpy())
        kept["deviation"].append(learner.data_policy.get_action_std(batch.obs).detach().numpy())
        return torch.tensor(kept["outside"][-1])

    def normal(shape, dtype, device):
        kept["noise"].append(np.random.default_rng(len(kept["noise"])).normal(size=shape).astype(np.float32))
        return torch.tensor(kept["noise"][-1])

    learner.get_ood_a, torch.distributions.normal._standard_normal = outside, normal
    torch.manual_seed(0)
    before = {f"before/{i}": x for i, x in enumerate(jax.tree.leaves((ours.values, ours.policy)))}
    for t in range(STEPS):
        batch, bonus = rows(t), float(torch.exp(learner.log_ent_coef))
        for name in (*Batch.names, "start"):
            kept[name].append(np.asarray(getattr(batch, name)))
        learner.learn_w(Batch(torch, batch), Starts(torch, batch), len(batch.obs), 1, 0)
        for name, x in losses.found(bonus).items():
            kept[name].append(x)
    after = {
        f"after/{name}/{i}/{part}": x
        for name, network in made.items()
        for i, layer in enumerate(m for m in network.modules() if isinstance(m, torch.nn.Linear))
        for part, x in (("kernel", layer.weight.detach().numpy().T), ("bias", layer.bias.detach().numpy()))
    }
    after["after/eta_v"], after["after/eta_e"] = learner._eta_v.detach().numpy(), learner._eta_e.detach().numpy()
    after["after/log_c"] = learner.log_ent_coef.detach().numpy()
    arrays = before | {name: np.stack(x) for name, x in kept.items()} | after
    np.savez_compressed(FILE, **{name: np.asarray(x, np.float32) for name, x in arrays.items()})
    print({name: (kept[name][0], kept[name][-1]) for name in Losses.names})


class Batch:
    """Ours in the form that the learner there samples from."""

    names = ("obs", "action", "reward", "terminated", "next_obs", "weight")

    def __init__(self, torch, batch):
        x = {name: torch.tensor(np.array(getattr(batch, name))) for name in self.names}
        column = {name: x[name][:, None] for name in ("reward", "terminated", "weight")}
        self.obs, self.act, self.obs_next = x["obs"], x["action"], x["next_obs"]
        self.rew, self.terminal, self.is_optimal = column["reward"], column["terminated"], column["weight"]

    def __len__(self):
        return len(self.obs)

    def sample(self, _):
        return self


class Starts:
    """First observations: all of them, whichever are asked for."""

    def __init__(self, torch, batch):
        self.obs, self.start = self, torch.tensor(np.array(batch.start))

    def __len__(self):
        return len(self.start)

    def __getitem__(self, index):
        return self.start


class Losses:
    """Hears what the learner there logs."""

    names = ("loss_v", "loss_e", "loss_outside", "loss_behaviour", "loss_policy", "entropy")
    said = (
        "loss/v_loss_minimax", "loss/adv_loss_mse", "loss/adv_ood_loss_mse", "loss/data_policy", "loss/policy",
        "loss/policy_entropy",
    )  # fmt: skip

    def __call__(self, losses, step):
        self.heard = losses

    def found(self, bonus):
        """By our names; the policy's without the bonus on entropy."""
        found = dict(zip(self.names, (self.heard[name] for name in self.said), strict=True))
        return found | {"loss_policy": found["loss_policy"] + bonus * found["entropy"]}


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main(sys.argv[1])
