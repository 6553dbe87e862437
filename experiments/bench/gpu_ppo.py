"""PPO and NovelD on an accelerator: rates with learning, start, what is learned, and how soon a hard task is solved.

In DoorKey-8x8 one setting for 16,384 and 2048 environments: the rate, learning included, and in five seeds the
environment steps until the mean return on 256 unseen levels is at least .95. A start is from the beginning of the
process to the end of the first update. KeyCorridorS3R3 is for NovelD: seconds from the beginning of a process to the
first evaluation of at least .9 on 256 unseen levels, five seeds, one after the other. Numbers are float32, and products
of networks have the device's default precision (TF32 on an NVIDIA GPU). Needs the extra `minigrid`.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from typing import Any

from prospect_rl.experiments import bench

TARGETS: bench.Targets = {
    "ppo_16384": ("at least", 6.0),
    "ppo_2048": ("at least", 3.0),
    "noveld_2048": ("at least", 4.0),
    "solved_16384": ("at least", 5.0),
    "cold_s": ("at most", 20.0),
    "warm_s": ("at most", 6.0),
    "key_corridor_solved": ("at least", 4.0),
}
"""Targets in millions of steps per second, seeds and seconds, on an NVIDIA H200."""
DOOR_KEY, KEY_CORRIDOR = "minigrid/DoorKey-8x8-v0", "minigrid/KeyCorridorS3R3-v0"
SETTING: dict[str, Any] = {
    "length": 32, "epochs": 2, "minibatches": 16, "learning_rate": 1e-3, "entropy": 0.01, "encoding": 128,
    "hidden": (64, 64),
}  # fmt: skip
"""PPO's, for both numbers of environments; all else is the default."""
NOVELD: dict[str, Any] = {"length": 128, "learning_rate": 1e-3, "entropy": 0.01, "centre": True}
GOAL, HARD_GOAL = 0.95, 0.9
"""Mean returns on unseen levels."""
Curve = dict[int, float]
"""Environment steps -> mean return on unseen levels."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    sizes: tuple[int, ...] = (16_384, 2048)
    """Numbers of PPO's environments; NovelD has the last one."""
    levels: int = 8192
    """Number of levels for training, and of unseen ones."""
    seeds: int = 5
    """Number of seeds that are trained."""
    seconds: float = 5.0
    """Duration of the measurement of a rate."""
    frames: int = 20_000_000
    """Environment steps within which DoorKey-8x8 must be learned."""
    every: int = 1_000_000
    """Environment steps between evaluations in DoorKey-8x8; in KeyCorridorS3R3 a quarter of it."""
    patience: float = 60.0
    """Seconds within which KeyCorridorS3R3 must be learned."""
    episodes: int = 256
    """Number of episodes of an evaluation."""


SMALL = Scale(sizes=(32,), levels=64, seeds=1, seconds=0.5, frames=4096, every=4096, patience=0.5, episodes=4)


def measure(small: bool) -> dict[str, float]:
    """Rates, seconds of a start, steps and seconds by seed."""
    scale = SMALL if small else Scale()
    size = scale.sizes[-1]
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as cache:
        for start in ("cold_s", "warm_s"):
            found[start] = bench.start(first_update, scale, cache, time.time(), cores=0).result()
    for n in scale.sizes:
        found[f"ppo_{n}"] = bench.start(rate, scale, "ppo", n, SETTING, cores=0).result()
    found[f"noveld_{size}"] = bench.start(rate, scale, "noveld", size, NOVELD, cores=0).result()
    for n in scale.sizes:
        found |= curves(bench.start(learned, scale, n, cores=0).result(), n)
    waits = [bench.start(hard, scale, seed, time.time(), cores=0).result() for seed in range(scale.seeds)]
    found["key_corridor_solved"] = float(sum(x <= scale.patience for x in waits))
    found |= {f"key_corridor_s_seed_{seed}": x for seed, x in enumerate(waits)}
    settings = SETTING | {"hidden": SETTING["hidden"][0], "layers": len(SETTING["hidden"])}
    return found | {f"setting_{name}": float(x) for name, x in settings.items()}


def curves(found: list[Curve], num_envs: int) -> dict[str, float]:
    """Number of seeds that learned the task, their steps, and the mean curve; a seed keeps its last value."""
    steps = [float(max(curve)) if max(curve.values()) >= GOAL else float("inf") for curve in found]
    marks = sorted(set().union(*found))
    means = {mark: sum(curve[min(mark, max(curve))] for curve in found) / len(found) for mark in marks}
    return {
        f"solved_{num_envs}": float(sum(x < float("inf") for x in steps)),
        **{f"steps_{num_envs}_seed_{seed}": x for seed, x in enumerate(steps)},
        **{f"unseen_{num_envs}_at_{mark}": mean for mark, mean in means.items()},
    }


def program_of(scale: Scale, name: str, task: str, num_envs: int, fields: dict[str, Any], cache: str = "") -> Any:
    """The compiled programs of an agent in a task, which are kept on disk, in a folder of their own if given."""
    import jax

    from prospect_rl import agents, envs
    from prospect_rl.experiments.run.machine import enable_compilation_cache
    from prospect_rl.experiments.run.program import Program

    enable_compilation_cache()
    if cache:
        jax.config.update("jax_compilation_cache_dir", cache)
    env = envs.make(task, levels=scale.levels)
    agent = agents.make(name, num_envs=num_envs, **fields)
    return Program(agent.bind(env.spec), env, (0,), eval_episodes=scale.episodes, dataset=None)


def rate(scale: Scale, name: str, num_envs: int, fields: dict[str, Any]) -> float:
    """Millions of environment steps per second in DoorKey-8x8, learning included."""
    import jax

    program = program_of(scale, name, DOOR_KEY, num_envs, fields)
    run, status, _ = program.advance(program.init(), 0, 2**30, 1)
    jax.block_until_ready(status)
    done, begun = 0, time.perf_counter()
    while (taken := time.perf_counter() - begun) < scale.seconds:
        run, status, _ = program.advance(run, 0, 2**30, 8)
        done += int(status[0])  # waits
    return done * num_envs * fields["length"] / taken / 1e6


def first_update(scale: Scale, cache: str, begun: float) -> float:
    """Seconds from `begun`, a time of day, to the end of PPO's first update, with a cache of programs of its own.

    Levels stay where they are, for they are made once for all runs.
    """
    import jax

    program = program_of(scale, "ppo", DOOR_KEY, scale.sizes[-1], SETTING, cache)
    jax.block_until_ready(program.advance(program.init(), 0, 1, 1)[1])
    return time.time() - begun


def learned(scale: Scale, num_envs: int) -> list[Curve]:
    """The curves of PPO in DoorKey-8x8, by seed."""
    import jax.numpy as jnp

    program, found = program_of(scale, "ppo", DOOR_KEY, num_envs, SETTING), []
    for seed in range(scale.seeds):
        program.who = jnp.uint32(seed)
        found.append(curve_of(program, GOAL, range(scale.every, scale.frames + 1, scale.every)))
    return found


def hard(scale: Scale, seed: int, begun: float) -> float:
    """Seconds from `begun`, a time of day, to an evaluation of .9 on KeyCorridorS3R3; infinite if it takes longer."""
    import jax.numpy as jnp

    program = program_of(scale, "noveld", KEY_CORRIDOR, 256, NOVELD)
    program.who, every = jnp.uint32(seed), scale.every // 4
    curve = curve_of(program, HARD_GOAL, range(every, 2**30, every), until=begun + scale.patience)
    return time.time() - begun if max(curve.values()) >= HARD_GOAL else float("inf")


def curve_of(program: Any, goal: float, marks: range, until: float = float("inf")) -> Curve:
    """The returns on unseen levels up to the first one of at least `goal`, the last mark, or a time of day."""
    run, curve = program.init(), {}
    for mark in marks:
        run, _, _ = program.advance(run, 0, mark, 10**6)
        curve[mark] = float(program.evaluate(run, mark)["unseen/return"])
        if curve[mark] >= goal or time.time() > until:
            break
    return curve
