"""MiniGrid inside `jit` against Farama's, in turns in the same process: random actions, on two cores.

Ours is a jitted scan over 1024 environments that draws actions, steps, observes and resets to a level of the bank when
an episode has ended. Theirs is one environment in a Python loop, which generates a level at every reset. Each
figure is the best of several repetitions; the ratio is the lowest of the tasks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl import envs
from prospect_rl.envs.api import Array, Key, Tree
from prospect_rl.envs.minigrid import bank
from prospect_rl.envs.minigrid.env import MiniGrid
from prospect_rl.envs.rollout import select
from prospect_rl.experiments import bench

TASKS = ("DoorKey-8x8-v0", "ObstructedMaze-Full-v1", "MultiRoom-N6-v0", "Empty-8x8-v0")
TARGETS: bench.Targets = {
    "ratio_to_farama": ("at least", 60.0),
    "DoorKey-8x8-v0": ("at least", 0.6e6),
    "ObstructedMaze-Full-v1": ("at least", 0.6e6),
    "MultiRoom-N6-v0": ("at least", 0.6e6),
    "Empty-8x8-v0": ("at least", 1.3e6),
}
"""Targets in steps per second for each task."""
CORES = 2
SIZE, LENGTH = 1024, 100
TURNS = 8
SECONDS = 0.4
"""Least duration of a repetition in seconds."""


def measure() -> dict[str, float]:
    """Steps per second of ours and theirs by task, and the smallest ratio."""
    found = bench.start(both, cores=CORES).result()
    return {"ratio_to_farama": min(found[task] / found[f"{task}_farama"] for task in TASKS), **found}


def both() -> dict[str, float]:
    """Steps per second under the names {task} and {task}_farama."""
    found = {}
    for task in TASKS:
        turns = {task: ours(task), f"{task}_farama": theirs(task)}
        best = dict.fromkeys(turns, 0.0)
        for turn in range(TURNS + 1):
            for name, play in turns.items():
                speed = timed(play)
                best[name] = max(best[name], speed) if turn else 0.0  # the first repetition compiles
        found |= best
    return found


def timed(turn: Callable[[], int]) -> float:
    """Steps per second of a function that executes and returns a number of steps."""
    steps, begun = 0, time.perf_counter()
    while (seconds := time.perf_counter() - begun) < SECONDS:
        steps += turn()
    return steps / seconds


def ours(task: str, size: int = SIZE) -> Callable[[], int]:
    """A function that runs a jitted scan over `size` environments and returns the number of steps."""
    env = envs.make(f"minigrid/{task}")
    assert isinstance(env, MiniGrid)

    @jax.jit
    def roll(env: MiniGrid, streams: Tree, key: Key) -> tuple[Tree, tuple[Array, Array]]:
        def one(streams: Tree, key: Key) -> tuple[Tree, tuple[Array, Array]]:
            k_action, k_step, k_reset = jax.random.split(key, 3)
            actions = jax.random.randint(k_action, (size,), 0, env.family.actions)
            state, step = jax.vmap(env.step)(streams[0], actions, jax.random.split(k_step, size))
            ended = step.terminated | step.truncated
            fresh = jax.vmap(env.reset_if)(ended, jax.random.split(k_reset, size))
            return select(ended, fresh, (state, step.obs)), (jnp.sum(step.reward), jnp.sum(ended))

        return jax.lax.scan(one, streams, jax.random.split(key, LENGTH))

    streams, number = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), size)), 0

    def turn() -> int:
        nonlocal streams, number
        number += 1
        streams, _ = jax.block_until_ready(roll(env, streams, jax.random.key(number)))
        return size * LENGTH

    return turn


def theirs(task: str) -> Callable[[], int]:
    """A function that steps one of Farama's environments, without wrappers, and returns the number of steps."""
    env, length = bank.farama(task), 500
    actions = np.random.default_rng(0).integers(env.action_space.n, size=length).tolist()
    env.reset(seed=0)

    def turn() -> int:
        for action in actions:
            *_, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return length

    return turn
