"""MuJoCo inside `jit` against MuJoCo alone: HalfCheetah and Hopper, random actions, on two cores.

Ours is a jitted scan that draws actions, steps, and computes observations and rewards. Compared in the same process, in
turn: the engine's batch alone (64 and 8 simulations; one in a plain `mj_step` loop), and Gymnasium's
SyncVectorEnv; in a second process our version with Python callbacks. Each figure is the best of several repetitions; a
ratio is the lower one of the two tasks.
"""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without type stubs

from __future__ import annotations

import os
import time
from collections.abc import Callable

import gymnasium
import jax
import mujoco
import numpy as np
from mujoco.batch import Batch

from prospect_rl import envs
from prospect_rl.envs.api import Array, Box, Key, Tree
from prospect_rl.envs.mujoco.base import Simulation
from prospect_rl.envs.native import Physics
from prospect_rl.experiments import bench

TARGETS: bench.Targets = {
    "ratio_to_bare": ("at least", 0.9),
    "ratio_to_sync": ("at least", 2.0),
    "ratio_to_bare_8": ("at least", 0.8),
    "ratio_to_loop_1": ("at least", 0.8),
}

TASKS = {"half_cheetah": "HalfCheetah-v5", "hopper": "Hopper-v5"}
CORES = 2
TURNS = 12
SECONDS = 0.4
"""Least duration of a repetition in seconds."""


def measure() -> dict[str, float]:
    """Steps per second of all alternatives by task, and the ratios."""
    found = bench.start(ways, cores=CORES).result()
    callback = bench.start(callbacks, cores=CORES).result()

    def ratio(figures: dict[str, float], left: str, right: str) -> float:
        return min(figures[f"{task}_{left}"] / figures[f"{task}_{right}"] for task in TASKS)

    return {
        "ratio_to_bare": ratio(found, "ours_64", "bare_64"),
        "ratio_to_sync": ratio(found, "ours_64", "sync_64"),
        "ratio_to_bare_8": ratio(found, "ours_8", "bare_8"),
        "ratio_to_loop_1": ratio(found, "ours_1", "loop_1"),
        "ratio_of_callback": ratio(callback, "ours_64", "bare_64"),
        "ratio_of_callback_8": ratio(callback, "ours_8", "bare_8"),
        **found,
    }


def ways() -> dict[str, float]:
    """Steps per second under the names {task}_{alternative}_{size}."""
    found = {}
    for task, theirs in TASKS.items():
        env = make(task)
        turns = {"sync_64": sync(theirs, 64), "loop_1": loop(env.physics), "ours_1": ours(env, 1)}
        for size in (64, 8):
            turns |= {f"ours_{size}": ours(env, size), f"bare_{size}": bare(env.physics, size)}
        found |= {f"{task}_{name}": speed for name, speed in race(turns).items()}
    return found


def callbacks() -> dict[str, float]:
    """Steps per second of the version with Python callbacks, and of the engine's batch in the same process."""
    os.environ["PROSPECT_MUJOCO"] = "callback"
    found = {}
    for task in TASKS:
        env, turns = make(task), {}
        for size in (64, 8):
            turns |= {f"ours_{size}": ours(env, size), f"bare_{size}": bare(env.physics, size)}
        found |= {f"{task}_{name}": speed for name, speed in race(turns).items()}
    return found


def make(task: str) -> Simulation:
    """Create the environment of a task."""
    env = envs.make(f"mujoco/{task}")
    assert isinstance(env, Simulation)
    return env


def race(turns: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Best steps per second of each function; a function executes and returns a number of steps."""
    best = dict.fromkeys(turns, 0.0)
    for turn in turns.values():
        turn()
    for _ in range(TURNS):
        for name, turn in turns.items():
            steps, begun = 0, time.perf_counter()
            while (seconds := time.perf_counter() - begun) < SECONDS:
                steps += turn()
            best[name] = max(best[name], steps / seconds)
    return best


def ours(env: Simulation, size: int) -> Callable[[], int]:
    """A function that runs a jitted scan over `size` environments and returns the number of steps."""
    length, space = max(10, 2000 // size), env.spec.action
    assert isinstance(space, Box)

    @jax.jit
    def roll(state: Tree, key: Key) -> tuple[Tree, Tree]:
        def one(state: Tree, key: Key) -> tuple[Tree, tuple[Array, Array]]:
            actions = jax.vmap(space.sample)(jax.random.split(key, size))
            state, step = jax.vmap(env.step, (0, 0, None))(state, actions, key)
            return state, (step.reward.sum(), step.obs.sum())

        return jax.lax.scan(one, state, jax.random.split(key, length))

    start = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), size))[0]

    def turn() -> int:
        jax.block_until_ready(roll(start, jax.random.key(1)))
        return size * length

    return turn


def bare(physics: Physics, size: int) -> Callable[[], int]:
    """A function that steps MuJoCo's batch with precomputed controls, without observations."""
    batch, length = Batch(physics.model, size, CORES), max(10, 2000 // size)
    controls = np.random.default_rng(0).uniform(-1, 1, (length, size, physics.model.nu))
    actuators = batch.bind("ctrl")

    def turn() -> int:
        batch.reset()
        for control in controls:
            actuators[:] = control
            batch.step(nstep=physics.substeps)
        return size * length

    return turn


def loop(physics: Physics) -> Callable[[], int]:
    """A function that steps one simulation in a plain `mj_step` loop, without observations."""
    model, length = physics.model, 2000
    data, controls = mujoco.MjData(model), np.random.default_rng(0).uniform(-1, 1, (length, model.nu))

    def turn() -> int:
        mujoco.mj_resetData(model, data)
        for control in controls:
            data.ctrl[:] = control
            for _ in range(physics.substeps):
                mujoco.mj_step(model, data)
        return length

    return turn


def sync(name: str, size: int) -> Callable[[], int]:
    """A function that steps a Gymnasium vector environment in one process."""
    vector = gymnasium.make_vec(name, num_envs=size, vectorization_mode="sync")
    vector.reset(seed=0)
    actions = [vector.action_space.sample() for _ in range(30)]

    def turn() -> int:
        for action in actions:
            vector.step(action)
        return size * len(actions)

    return turn
