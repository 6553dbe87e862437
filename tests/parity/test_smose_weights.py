"""A policy of SMoSE's authors walks in our Walker2d as they read it, from our JSON, and trees stand for its router.

    PROSPECT_MOE_SAC=actor.safetensors       of runs/gecco/models/checkpoint_final in vinczematyas/moe-sac

Those weights (Walker2d-v4, six experts) have no licence and are not part of this repository.
"""

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents import Player, Smose
from prospect_rl.agents.online.smose import trees
from prospect_rl.agents.online.smose.coefficients import policy_of, read, written
from prospect_rl.agents.online.smose.policy import Law
from prospect_rl.envs.rollout import episodes

PATH = os.environ.get("PROSPECT_MOE_SAC")
EXPERTS, EPISODES = 6, 100
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not PATH, reason="PROSPECT_MOE_SAC names no weights"),
]


def law_in_file(path: Path) -> Law:
    """The weights of the file as a law; torch's are [out, in]."""
    from safetensors.numpy import load_file

    x = load_file(path)

    def experts(name: str) -> tuple[jax.Array, jax.Array]:
        kernel, bias = (np.stack([x[f"{name}.{m}.{part}"] for m in range(EXPERTS)]) for part in ("weight", "bias"))
        return jnp.asarray(kernel.swapaxes(1, 2)), jnp.asarray(bias)

    ends = (jnp.asarray(x["action_bias"] + sign * x["action_scale"]) for sign in (-1, 1))
    router = (jnp.asarray(x["gate.fc.weight"].T), jnp.asarray(x["gate.fc.bias"]))
    return Law(*router, *experts("mean_experts"), *experts("log_std_experts"), *ends)


def actor_of(law: Law) -> dict:
    """The weights of the agent's network."""

    def layer(kernel, bias):
        return {"kernel": jnp.swapaxes(kernel, 0, 1).reshape(kernel.shape[1], -1), "bias": bias.ravel()}

    return {"params": {"router": {"kernel": law.router_kernel, "bias": law.router_bias},
                       "mean": layer(law.mean_kernel, law.mean_bias),
                       "log_std": layer(law.log_std_kernel, law.log_std_bias)}}  # fmt: skip


def test_the_authors_walker_walks():
    assert PATH
    env, given = envs.make("mujoco/walker2d", version="v4"), law_in_file(Path(PATH))
    facts = json.loads(json.dumps(written(given, env.spec, "Smose")))
    law = read(facts)
    jax.tree.map(np.testing.assert_array_equal, law, given)
    agent = Smose(experts=EXPERTS, capacity=1).bind(env.spec)
    begun = agent.exploit(jax.jit(agent.init)(jax.random.key(0)))
    behaviour = begun.replace(actor=actor_of(law))
    both = {"trained": (behaviour, 4588), "linear": (agent.readings(behaviour)["linear"], 4603)}

    @jax.jit
    def play(behaviour, key):
        return episodes(env, agent, behaviour, jnp.ones(1, bool), key, key, population=1, episodes=EPISODES,
                        shared=True, keep_steps=True)  # fmt: skip

    for reading, (shipped, wanted) in both.items():
        found = play(shipped, jax.random.key(1))
        assert float(jnp.mean(found.returns)) == pytest.approx(wanted, abs=20), reading
        live, seen = (
            np.swapaxes(np.asarray(x)[:, 0], 0, 1) for x in (found.steps.live, found.steps.inputs.obs)
        )  # episode by episode
        fit, other = seen[: EPISODES // 2][live[: EPISODES // 2]], seen[EPISODES // 2 :][live[EPISODES // 2 :]]
        shares = np.bincount(trees.choices(law, fit), minlength=EXPERTS) / len(fit)
        assert set(np.flatnonzero(shares > 1e-4) + 1) == {1, 3, 6}, shares
        for kind in ("each", "one"):
            assert trees.fidelity(trees.fit(law, fit, kind=kind, depth=3), law, other).agreement > 0.985, kind
        player, numpy = Player(agent, shipped), policy_of(facts, reading)
        for obs in other[:: len(other) // 20]:
            np.testing.assert_allclose(numpy(obs), player(obs), atol=1e-5)
