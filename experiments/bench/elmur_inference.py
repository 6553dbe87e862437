"""ELMUR's steps in T-Maze, 100 episodes side by side: a million steps, in constant memory.

The stepper (context 10, width 64, two layers, two slots) plays in a closed loop, as in an exam: 50 episodes on each of
two cores, for what takes a few microseconds a step gains nothing from a second thread. Weights are random; the work is
that of a trained agent. `minutes` is for a million steps, extrapolated from the 20,000 that are timed.
"""

from __future__ import annotations

import resource
import time

from prospect_rl.experiments import bench

CORES = 2
TARGETS: bench.Targets = {"minutes": ("at most", 8.0), "memory_growth": ("at most", 1.01)}
STREAMS, STEPS, MILLION = 50, 20_000, 1_000_000
TURNS = 3


def measure() -> dict[str, float]:
    """Minutes per million steps, microseconds per step, and the growth of memory with the number of steps."""
    both = [child.result() for child in [bench.start(stepping, core=core) for core in range(CORES)]]
    slower, growth = (max(each) for each in zip(*both, strict=True))
    return {"minutes": slower * MILLION / 60, "us_per_step": slower * 1e6, "memory_growth": growth}


def stepping() -> tuple[float, float]:
    """(seconds per step in the best repetition, peak memory afterwards divided by peak memory before)."""
    import jax

    from prospect_rl import agents, envs
    from prospect_rl.experiments.run.exams import ExamProgram

    env = envs.make("memory/tmaze", length=STEPS)
    agent = agents.make("elmur", context=10, width=64, layers=2, heads=2, slots=2, ffn=128).bind(env.spec)
    exam_program, behaviour = ExamProgram(agent, env, STREAMS), agent.exploit(jax.jit(agent.init)(jax.random.key(0)))

    def turn(seed: int) -> float:
        begun = time.perf_counter()
        figures = exam_program.run(behaviour, jax.random.key(seed), lambda: False)
        assert figures is not None and figures["length"] == STEPS
        return (time.perf_counter() - begun) / STEPS

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    turn(0)  # compiles
    before = peak()
    return min(turn(seed) for seed in range(1, TURNS + 1)), peak() / before
