"""IQL and TD3+BC on an accelerator, five seeds as one program: minutes of a million updates, one after the other.

Batches of 256 rows of HalfCheetah's size (17 numbers seen, 6 actions), drawn from 100,000 random rows; hidden layers of
256 and 256. An update waits for the one before. The rate is that of the driver's program, without evaluations.
"""

from __future__ import annotations

import time
from typing import Any

from prospect_rl.experiments import bench

AGENTS = ("iql", "td3_bc")
TARGETS: bench.Targets = {f"minutes_{name}": ("at most", 4.0) for name in AGENTS}
"""Minutes of a million updates of five seeds, on an NVIDIA H200."""
SEEDS, ROWS, WIDTH, SECONDS = 5, 100_000, 256, 10.0


def measure(small: bool) -> dict[str, float]:
    """Updates per second of each of five seeds, and minutes of a million."""
    scale = (2, 1000, 16, 0.5) if small else (SEEDS, ROWS, WIDTH, SECONDS)
    rates = {name: bench.start(rate, name, *scale, cores=0).result() for name in AGENTS}
    minutes = {f"minutes_{name}": 1e6 / x / 60 for name, x in rates.items()}
    return minutes | {f"updates_per_s_{name}": x for name, x in rates.items()}


def rate(name: str, seeds: int, rows: int, width: int, seconds: float) -> float:
    """Updates per second of each seed."""
    from prospect_rl import agents, envs
    from prospect_rl.experiments.bench.loops import BATCH, TASK
    from prospect_rl.experiments.run.machine import enable_compilation_cache
    from prospect_rl.experiments.run.program import Program

    enable_compilation_cache()
    env = envs.make(TASK)
    agent = agents.make(name, batch_size=BATCH, hidden=(width, width)).bind(env.spec)
    data = agent.prepare(random_rows(env, rows))
    program = Program(agent, env, range(seeds), eval_episodes=1, dataset=data)
    run, status, _ = program.advance(program.init(), 0, 2**30, 1)
    done = -int(status[1])
    limit, begun = 1, time.perf_counter()
    while (taken := time.perf_counter() - begun) < seconds:
        run, status, _ = program.advance(run, 0, 2**30, limit)
        used, limit = int(status[1]), 10  # waits
    return (used + done) / taken


def random_rows(env: Any, count: int) -> Any:
    """Random rows of episodes of 1000 steps."""
    import jax.numpy as jnp
    import numpy as np

    from prospect_rl.envs.api import Dataset

    generator, spec = np.random.default_rng(0), env.spec
    seen, following = (generator.standard_normal((count, *spec.obs.shape), np.float32) for _ in range(2))
    ended = np.arange(count) % 1000 == 999
    rows = {
        "obs": seen, "next_obs": following, "reward": generator.standard_normal(count, np.float32),
        "action": generator.uniform(-1, 1, (count, *spec.action.shape)).astype(np.float32),
        "terminated": np.zeros(count, bool), "truncated": ended,
    }  # fmt: skip
    return Dataset(rows, jnp.arange(0, count, 1000, dtype=jnp.int32))
