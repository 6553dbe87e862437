"""Pictures a second of states of the hard maze, 64 x 64 in colour, drawn inside a program on one core.

`jax.image.resize` of the canvas with the same robot gives the same pictures and is the rival; the arm and curling are
recorded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from prospect_rl import envs
from prospect_rl.experiments import bench

TARGETS: bench.Targets = {"ratio_to_resize": ("at least", 50.0)}

SECONDS, PICTURES, SIZE = 3.0, 200, 64
"""Seconds of repeated measurement, of which the best counts; pictures in a batch; pixels along a side."""


def measure() -> dict[str, float]:
    """Pictures a second of the maze, drawn and by resizing, of the arm and of curling."""
    drawn, resized = (bench.start(speed, "maze/hard", way).result() for way in ("drawn", "resized"))
    arm, curling = (bench.start(speed, f"arm/{name}", "drawn").result() for name in ("redundant", "curling"))
    return {
        "pictures_per_s": drawn, "ratio_to_resize": drawn / resized, "pictures_per_s_arm": arm,
        "pictures_per_s_curling": curling,
    }  # fmt: skip


def speed(id: str, way: str) -> float:
    """Pictures a second of first states of an environment, which the batch moves about."""
    env = envs.make(id)
    drawing = env.spec.draw
    assert drawing is not None
    side = len(drawing.canvas)

    def picture(state: Any) -> jax.Array:
        if way == "drawn":
            return drawing.picture(state, SIZE)
        return jax.image.resize(drawing.picture(state, side), (SIZE, SIZE, 3), "bilinear", antialias=False)

    state = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), PICTURES))[0]
    shift = jnp.linspace(0, 1, PICTURES)
    moved = jax.tree.map(lambda x: x + (shift.reshape(-1, *(1,) * (x.ndim - 1))).astype(x.dtype), state)
    return PICTURES / seconds(jax.jit(jax.vmap(picture)), moved)


def seconds(program: Callable[[Any], Any], argument: Any) -> float:
    """Least seconds of a call."""
    jax.block_until_ready(program(argument))
    best, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        begun = time.perf_counter()
        jax.block_until_ready(program(argument))
        best = min(best, time.perf_counter() - begun)
    return best
