"""Ten runs of TD3 in HalfCheetah as one program on an accelerator, with native MuJoCo on all cores of the processor.

A round is one step and one update of every run: 256 rows, two layers of 256 units, a replay buffer of a million steps
each. The rounds before learning begins (act, step, store) are timed too.
"""

from __future__ import annotations

import time

import jax

from prospect_rl.envs.threads import cores
from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops
from prospect_rl.experiments.terminal import out

TARGETS: bench.Targets = {"rounds_per_s": ("at least", 1200.0)}
CORES = cores()
RUNS, ROUNDS, CAPACITY = 10, 1000, 1_000_000


def measure(small: bool = False) -> dict[str, float]:
    """Rounds per second with and without updates; prints the device."""
    sizes = (2, 20, 500) if small else (RUNS, ROUNDS, CAPACITY)
    figures, device = bench.start(together, *sizes, cores=CORES).result()
    out().print(f"gpu_td3: {sizes[0]} runs on {device}, MuJoCo on {CORES} cores")
    return figures


def together(runs: int, rounds: int, capacity: int) -> tuple[dict[str, float], str]:
    """(figures, kind of device) of runs that differ in their seeds, `rounds` rounds at a time."""
    from prospect_rl import agents, envs
    from prospect_rl.experiments.run.machine import enable_compilation_cache
    from prospect_rl.experiments.run.program import Program

    enable_compilation_cache()
    env, sizes = envs.make(loops.TASK), {"hidden": (loops.WIDTH, loops.WIDTH), "batch_size": loops.BATCH}
    agent = agents.make("td3", learning_starts=2 * rounds, capacity=capacity, **sizes).bind(env.spec)
    program = Program(agent, env, range(runs), eval_episodes=1, dataset=None, floats={})
    run = program.init()

    def turn() -> None:
        nonlocal run
        run, status, _ = program.advance(run, 0, 2**30, rounds)
        jax.block_until_ready(status)

    turn()
    begun = time.perf_counter()
    turn()
    acting = rounds / (time.perf_counter() - begun)
    learning = loops.best_of(turn, rounds)
    figures = {"rounds_per_s": learning, "rounds_per_s_without_updates": acting, "steps_per_s": runs * learning}
    return figures, jax.devices()[0].device_kind
