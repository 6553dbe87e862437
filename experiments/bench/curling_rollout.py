"""Steps a second of curling on one core, acting with SERENE's 6-5-5-5-2 policies included, and of its original.

Ours is a batch of 200 policies (a generation of novelty search) or 12 (a step of an emitter); the original is one
episode in Box2D in a Python loop, acting with the same policies in NumPy. Needs the extra `rivals`.
"""

from __future__ import annotations

import time
from importlib.util import find_spec

import numpy as np

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import curling_box2d, maze_rollout

TARGETS: bench.Targets = {"ratio_to_box2d": ("at least", 75.0)}
HIDDEN = (5, 5, 5)


def measure() -> dict[str, float]:
    """Steps per second of ours at both sizes and of the original, and the ratio at 200 policies."""
    if find_spec("Box2D") is None:
        raise ValueError("curling_rollout needs box2d: install the extra rivals")
    steps, compiling = bench.start(maze_rollout.rollout, 200, maze_rollout.SECONDS, "arm/curling", HIDDEN).result()
    few, _ = bench.start(maze_rollout.rollout, 12, maze_rollout.SECONDS, "arm/curling", HIDDEN).result()
    theirs = bench.start(original).result()
    return {
        "steps_per_s": steps, "steps_per_s_12": few, "steps_per_s_box2d": theirs, "ratio_to_box2d": steps / theirs,
        "compile_s": compiling,
    }  # fmt: skip


def original(seconds: float = maze_rollout.SECONDS) -> float:
    """Steps per second of the original, in the fastest episode of random policies."""
    random = np.random.default_rng(0)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        genome = random.standard_normal(94)
        begun = time.perf_counter()
        curling_box2d.end(genome)
        best = min(best, time.perf_counter() - begun)
    return curling_box2d.STEPS / best
