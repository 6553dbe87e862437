"""256 seeds of PPO in DoorKey-8x8 as one program on an accelerator: how many learn it, and in how many minutes.

A seed has learned the task when its mean return on 256 unseen levels is above .9. The clock starts with the process,
so compilation counts, and stops when 240 seeds have learned it, or after five minutes. Needs the extra `minigrid`.
"""

from __future__ import annotations

import time

from prospect_rl.experiments import bench

TARGETS: bench.Targets = {"solved": ("at least", 240.0), "minutes": ("at most", 5.0)}
"""On an NVIDIA H200."""
SEEDS, ENOUGH, GOAL = 256, 240, 0.9
MINUTES, EVERY = 5.0, 250_000
"""The end, and a seed's environment steps between evaluations."""


def measure(small: bool) -> dict[str, float]:
    """Number of seeds that learned the task, minutes, and rates."""
    size, minutes, every = (2, 0.2, 4096) if small else (SEEDS, MINUTES, EVERY)
    return bench.start(learn, size, minutes, every, time.time(), cores=0).result()


def learn(size: int, minutes: float, every: int, begun: float) -> dict[str, float]:
    """Train `size` seeds together for at most some minutes from `begun`, a time of day."""
    import numpy as np

    from prospect_rl import agents, envs
    from prospect_rl.experiments.run.machine import enable_compilation_cache
    from prospect_rl.experiments.run.program import Program

    enable_compilation_cache()
    env = envs.make("minigrid/DoorKey-8x8-v0", levels=8192)
    agent = agents.make("ppo", num_envs=64, length=64, minibatches=8, learning_rate=1e-3, entropy=0.01)
    program = Program(agent.bind(env.spec), env, range(size), eval_episodes=256, dataset=None)
    run, used, solved, taken = program.init(), 0, 0, 0.0
    enough = min(ENOUGH, size)
    while solved < enough and taken < minutes:
        run, status, _ = program.advance(run, 0, used + every, 10**6)
        used = int(status[1])
        solved = int(np.sum(np.asarray(program.evaluate(run, used)["unseen/return"]) > GOAL))
        taken = (time.time() - begun) / 60
    return {
        "solved": float(solved), "minutes": taken, "seeds": float(size), "steps_per_seed": float(used),
        "million_steps_per_s": size * used / taken / 60e6,
    }  # fmt: skip
