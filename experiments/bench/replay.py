"""What a large replay costs TD3 in HalfCheetah, and many environments in memory.

An iteration at two capacities, one core; a checkpoint of a run whose replay is full; the peak memory of a process that
steps 4096 environments, and of one that steps 64.
"""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops

TARGETS: bench.Targets = {"ratio_of_iterations": ("at most", 2.0)}
SMALL, LARGE = 1_000, 1_000_000


def measure() -> dict[str, float]:
    """Milliseconds per iteration and their ratio, time and size of a checkpoint, peak memory by environments."""
    sizes = {"small": SMALL, "large": LARGE}
    rates = loops.race({name: (partial(loops.loop, capacity=size), "td3") for name, size in sizes.items()}, cores=1)
    return {
        "ratio_of_iterations": rates["small"] / rates["large"],
        **{f"iteration_ms_{name}": 1e3 / rate for name, rate in rates.items()},
        **bench.start(saving).result(),
        **{f"peak_mb_{size}_envs": bench.start(stepping, size).result() for size in (64, 4096)},
    }


def saving() -> dict[str, float]:
    """Seconds and megabytes of a checkpoint whose replay is full of incompressible numbers."""
    import jax

    from prospect_rl import envs
    from prospect_rl.experiments.run import checkpoint
    from prospect_rl.experiments.run.program import Program

    agent = loops.agent_of("td3", capacity=LARGE)
    run = Program(agent, envs.make(loops.TASK), (0,), eval_episodes=1, dataset=None).init()
    replay = run.agent.replay
    rows = jax.random.normal(jax.random.key(0), replay.rows.shape)
    full = replace(replay, rows=rows, count=replay.count + LARGE)
    run = jax.block_until_ready(replace(run, agent=replace(run.agent, replay=full)))
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        made = checkpoint.save(Path(folder), run, {"iteration": 0})
        seconds = time.perf_counter() - begun
        size = sum(file.stat().st_size for file in made.iterdir())
    return {"checkpoint_s": seconds, "checkpoint_mb": size / 1e6}


def stepping(size: int) -> float:
    """Peak memory in megabytes of this process after stepping `size` environments in a jitted scan."""
    from prospect_rl import envs
    from prospect_rl.envs.mujoco.base import Simulation
    from prospect_rl.experiments.bench.native_env import ours

    env = envs.make(loops.TASK)
    assert isinstance(env, Simulation)
    ours(env, size)()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
