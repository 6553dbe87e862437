"""On an accelerator a resumed run has the bits of an unbroken one; seeds as one program learn as each does alone."""

import jax
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.experiments import train
from prospect_rl.experiments.run import driver
from prospect_rl.experiments.run.program import Program
from tests.contract.test_agents import dataset_for
from tests.gpu.places import on

pytestmark = pytest.mark.gpu
CASES = {
    # agent, environment, budget, seeds
    "segments": (
        agents.PPO(num_envs=8, length=16, minibatches=2, hidden=(32,)),
        "minigrid/DoorKey-5x5-v0",
        16 * 128,
        (3,),
    ),
    "segments-replay": (agents.TD3(learning_starts=40, hidden=(32, 32), batch_size=32), "probe/target", 120, (3,)),
    "rollouts": (agents.NoveltySearch(), "point/sparse", 400, (3,)),
    "batches": (agents.IQL(hidden=(32, 32), batch_size=32, updates=5), "probe/target", 80, (3,)),
    "batches-seeds": (agents.TD3BC(hidden=(32, 32), batch_size=32, updates=5), "probe/target", 80, (3, 5)),
}


def made(id):
    return envs.make(id, **({"source": "generator"} if id.startswith("minigrid/") else {}))


def run(case, out, progress=None):
    agent, id, budget, seeds = CASES[case]
    env = made(id)
    data = dataset_for(env) if case.startswith("batches") else None
    options = {"seeds": seeds, "budget": budget, "evals": 2, "eval_episodes": 2, "dataset": data}
    return train(agent, env, out=out, progress=progress, **options)


class CrashError(Exception):
    pass


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_has_the_bits_of_one_without_a_break(case, tmp_path, monkeypatch):
    with on("accelerator"):
        calm = run(case, tmp_path / "calm")
        for name, value in (("SAVE_EVERY", 0.0), ("SAVE_SHARE", float("inf")), ("GROWTH", 1)):
            monkeypatch.setattr(driver, name, value)  # a checkpoint after every iteration
        crashed = []

        def crash(told):
            if told["iteration"] >= 3 and not crashed:
                crashed.append(told["iteration"])
                raise CrashError

        with pytest.raises(CrashError):
            run(case, tmp_path / "broken", crash)
        resumed = run(case, tmp_path / "broken", crash)
        assert crashed and resumed.digest == calm.digest
        assert resumed.rows == calm.rows


@pytest.mark.parametrize("name", ["iql", "td3_bc"])
def test_seeds_as_one_program_learn_as_each_alone(name):
    """Not to the bit, for products of several matrices may be summed in another order than one."""
    with on("accelerator"):
        env = made("probe/target")
        agent = agents.make(name, hidden=(32, 32), batch_size=32, updates=10).bind(env.spec)
        data = agent.prepare(dataset_for(env))

        def trained(seeds):
            program = Program(agent, env, seeds, eval_episodes=1, dataset=data)
            return jax.device_get(program.advance(program.init(), 0, 20, 10)[0].agent)

        together = trained(range(8))
        for seed in (0, 7):
            for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(trained((seed,))), strict=True):
                np.testing.assert_allclose(a[seed], b, rtol=2e-2, atol=2e-3)
