"""POPGym's tasks inside `jit` against popgym's own, in turns in the same process: random actions, on two cores.

Ours is a jitted scan over 1024 environments that draws actions, steps, observes and resets when an episode has
ended; theirs is one environment in a Python loop that does the same. Figures are steps per second, each the best of
several repetitions: `<task>` and `<task>_popgym`. Needs the extra `rivals`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from statistics import median

import jax
import jax.numpy as jnp

from prospect_rl import envs
from prospect_rl.envs.api import Array, Dict, Env, Key, Tree
from prospect_rl.envs.memory.table import TASKS
from prospect_rl.envs.rollout import select
from prospect_rl.experiments import bench
from prospect_rl.experiments.bench.minigrid_env import timed

TARGETS: bench.Targets = {"ratio_to_popgym": ("at least", 30.0), "least_ratio_to_popgym": ("at least", 5.0)}
"""The median over tasks, and the smallest ratio."""
CORES = 2
SIZE, LENGTH = 1024, 50
TURNS = 2


def measure() -> dict[str, float]:
    """The median and the smallest ratio, and steps per second of ours and theirs by task."""
    if find_spec("popgym") is None:
        raise ValueError("popgym_env needs popgym: install the extra rivals")
    found = bench.start(both, cores=CORES).result()
    ratios = [found[task] / found[f"{task}_popgym"] for task in TASKS]
    return {"ratio_to_popgym": median(ratios), "least_ratio_to_popgym": min(ratios), **found}


def both(tasks: tuple[str, ...] = tuple(TASKS)) -> dict[str, float]:
    """Steps per second under the names {task} and {task}_popgym."""
    found = {}
    for task in tasks:
        turns = {task: ours(task), f"{task}_popgym": theirs(task)}
        turns[task]()  # compiles
        for _ in range(TURNS):
            for name, play in turns.items():
                found[name] = max(found.get(name, 0.0), timed(play))
        jax.clear_caches()
    return found


def ours(task: str) -> Callable[[], int]:
    """A function that runs a jitted scan over `SIZE` environments and returns the number of steps."""
    env = envs.make(f"popgym/{task}")
    space = env.spec.action
    assert not isinstance(space, Dict)

    @jax.jit
    def roll(env: Env, streams: Tree, key: Key) -> tuple[Tree, tuple[Array, Array]]:
        def one(streams: Tree, key: Key) -> tuple[Tree, tuple[Array, Array]]:
            k_action, k_step, k_reset = (jax.random.split(k, SIZE) for k in jax.random.split(key, 3))
            state, step = jax.vmap(env.step)(streams[0], jax.vmap(space.sample)(k_action), k_step)
            ended = step.terminated | step.truncated
            fresh = jax.vmap(env.reset_if)(ended, k_reset)
            return select(ended, fresh, (state, step.obs)), (jnp.sum(step.reward), jnp.sum(ended))

        return jax.lax.scan(one, streams, jax.random.split(key, LENGTH))

    streams, number = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), SIZE)), 0

    def turn() -> int:
        nonlocal streams, number
        number += 1
        streams, _ = jax.block_until_ready(roll(env, streams, jax.random.key(number)))
        return SIZE * LENGTH

    return turn


def theirs(task: str) -> Callable[[], int]:
    """A function that steps one of popgym's environments, without wrappers, and returns the number of steps."""
    env, length = getattr(import_module("popgym.envs"), task)(), 500
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(length)]
    env.reset(seed=0)

    def turn() -> int:
        for action in actions:
            *_, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return length

    return turn
