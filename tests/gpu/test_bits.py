"""On an accelerator a resumed run has the bits of an unbroken one; seeds as one program learn as each does alone."""

import jax
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.envs.product import product
from prospect_rl.experiments import train
from prospect_rl.experiments.run import compiler
from prospect_rl.experiments.run.program import Program
from tests import toy_runs
from tests.contract.test_agents import dataset_for
from tests.crashes import CrashError, crash_at, start, wait_for_checkpoint
from tests.gpu.places import TRIED, on

pytestmark = pytest.mark.gpu
CASES = {
    # agent, environment, budget, seeds
    "segments": (
        agents.PPO(num_envs=8, length=16, minibatches=2, hidden=(32,)),
        "minigrid/DoorKey-5x5-v0",
        16 * 128,
        (3,),
    ),
    "segments-bonus": (
        agents.NovelD(num_envs=4, length=16, hidden=(16,)),
        "minigrid/DoorKey-5x5-v0",
        16 * 64,
        (3,),
    ),
    "segments-replay": (agents.TD3(learning_starts=40, hidden=(32, 32), batch_size=32), "probe/target", 120, (3,)),
    "rollouts": (agents.NoveltySearch(), "point/sparse", 400, (3,)),
    "batches": (agents.IQL(hidden=(32, 32), batch_size=32, updates=5), "probe/target", 80, (3,)),
    "batches-seeds": (agents.TD3BC(hidden=(32, 32), batch_size=32, updates=5), "probe/target", 80, (3, 5)),
}
EVERY = {**CASES, **{f"toy-{case}": None for case in toy_runs.CASES}}
"""Real agents, and the toys that the same tests have on a CPU."""


def made(id):
    return envs.make(id, **({"source": "generator"} if id.startswith("minigrid/") else {}))


def run(case, out, progress=None):
    if case.startswith("toy-"):
        return toy_runs.run(case.removeprefix("toy-"), out, progress=progress)
    agent, id, budget, seeds = CASES[case]
    env = made(id)
    data = dataset_for(env) if case.startswith("batches") else None
    options = {"seeds": seeds, "budget": budget, "evals": 2, "eval_episodes": 2, "dataset": data}
    return train(agent, env, out=out, progress=progress, **options)


@pytest.mark.parametrize("case", EVERY)
def test_a_resumed_run_has_the_bits_of_one_without_a_break(case, tmp_path, request):
    with on("accelerator"):
        calm = run(case, tmp_path / "calm")
        request.getfixturevalue("fine")  # from here on a checkpoint after every iteration
        with pytest.raises(CrashError):
            run(case, tmp_path / "broken", crash_at([3]))
        resumed = run(case, tmp_path / "broken")
        assert resumed.digest == calm.digest
        assert resumed.rows == calm.rows


def test_a_killed_process_is_resumed_by_another_with_the_same_bits(tmp_path, monkeypatch):
    """Nothing but the folder and the compilation cache goes from one process to the next."""
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", ".1")
    broken, case = tmp_path / "broken", "segments-seeds"
    process = start(case, broken, pause=0.2)
    reached = wait_for_checkpoint(process, broken, 3)
    assert reached is not None, "killed before its end"
    process.kill()
    process.communicate()
    assert not (broken / "result.json").exists()
    ends = [start(case, folder, pause=0).communicate() for folder in (broken, tmp_path / "calm")]
    assert ends[0][0] and ends[0][0] == ends[1][0], ends
    saved = [len((folder / "timing.jsonl").read_text().splitlines()) for folder in (broken, tmp_path / "calm")]
    assert saved[0] < saved[1] + reached, "it went on from its checkpoint, and did not begin anew"


@pytest.mark.skipif(TRIED, reason="options of a GPU's compiler")
def test_products_are_exact_and_options_are_taken():
    a, b = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    f = jax.jit(product, compiler_options=compiler.options("advance", "gpu"))
    assert np.abs(np.asarray(f(a, b)) - a.astype(np.float64) @ b).max() < 2e-5


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
