"""MiniGrid's environments on an accelerator: random actions, views and resets, in millions of steps per second.

The loop of `minigrid_env`, with 1024, 16,384 and 131,072 environments for DoorKey-8x8, and 131,072 for one id of each
rule: its largest map, where a step moves most. `slowest` is the lowest of these rates.
"""

from __future__ import annotations

from prospect_rl.envs.minigrid.table import FAMILIES, TASKS
from prospect_rl.experiments import bench

SIZES, SMALL = (1024, 16_384, 131_072), (64,)
DOOR_KEY, MULTI_ROOM = "DoorKey-8x8-v0", "MultiRoom-N6-v0"
TARGETS: bench.Targets = {
    f"{DOOR_KEY}_1024": ("at least", 12.0),
    f"{DOOR_KEY}_131072": ("at least", 500.0),
    MULTI_ROOM: ("at least", 100.0),
    "slowest": ("at least", 60.0),
}
"""Targets in millions of steps per second, on an NVIDIA H200."""
TURNS = 3


def measure(small: bool) -> dict[str, float]:
    """Millions of steps per second by task."""
    found, sizes = {}, SMALL if small else SIZES
    for size in sizes:
        found[f"{DOOR_KEY}_{size}"] = bench.start(rate, DOOR_KEY, size, cores=0).result()
    tasks = (MULTI_ROOM,) if small else largest()
    rates = {task: bench.start(rate, task, sizes[-1], cores=0).result() for task in tasks}
    return found | rates | {"slowest": min(rates.values())}


def largest() -> tuple[str, ...]:
    """The ids with the largest map of each rule; the last one of several."""
    best = {}
    for name, task in TASKS.items():
        rule = FAMILIES[task.family].rule
        if rule not in best or task.width * task.height >= TASKS[best[rule]].width * TASKS[best[rule]].height:
            best[rule] = name
    return tuple(best.values())


def rate(task: str, size: int) -> float:
    """Millions of steps per second of a task."""
    from prospect_rl.experiments.bench.minigrid_env import ours, timed
    from prospect_rl.experiments.run.machine import enable_compilation_cache

    enable_compilation_cache()
    play = ours(task, size)
    play()
    return max(timed(play) for _ in range(TURNS)) / 1e6
