"""Floors of every MuJoCo task: what uniformly random and zero actions get.

python -m prospect_rl.experiments.bench.floors.mujoco [hopper ...]     writes the table, or some of its rows
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl import envs
from prospect_rl.agents.floor import Floor
from prospect_rl.envs.api import Env
from prospect_rl.envs.rollout import episodes
from prospect_rl.experiments.bench.floors.table import renew

README = Path(envs.__file__).parent / "mujoco" / "README.md"
EPISODES, MANY = 16, 64
"""Episodes of a task; of one whose episodes last less than a quarter of the horizon."""
SEED = 0
COLUMNS = ("task", "random: return", "% paid", "length", "zero: return", "% paid", "length")


def measure(env: Env, *, random: bool, count: int = EPISODES, seed: int = SEED) -> tuple[float, float, float, float]:
    """(mean and standard deviation of the return, share of steps that a sparse reward was paid at, mean length)."""
    key = jax.random.key(seed)
    go = jax.jit(partial(episodes, population=1, episodes=count, shared=True, keep_steps=True), static_argnums=1)
    actor = Floor(action="random" if random else "zero").bind(env.spec)
    data = go(env, actor, (), jnp.ones(1, bool), key, key)
    assert data.steps is not None
    live, paid = np.asarray(data.steps.live), np.asarray(data.steps.info["success"])
    returns = np.asarray(data.returns)
    return float(returns.mean()), float(returns.std()), float(paid[live].mean()), float(data.length.mean())


def row(id: str) -> str:
    """A task's row; a dense task pays at every step, and has a dash. Tasks that end early get more episodes."""
    env = envs.make(id)
    found = [f"`{id.removeprefix('mujoco/')}`"]
    for random in (True, False):
        mean, spread, paid, length = measure(env, random=random)
        if length < env.spec.horizon / 4:
            mean, spread, paid, length = measure(env, random=random, count=MANY)
        share = f"{100 * paid:.1f}" if getattr(env, "reward", "dense") != "dense" else "–"
        found += [f"{mean:.1f} ± {spread:.1f}".replace("-0.0", "0.0"), share, f"{length:.0f}"]
    return f"| {' | '.join(found)} |"


def main(names: list[str]) -> None:
    """Renew the rows of the named tasks, or of all."""
    ids = {id.removeprefix("mujoco/"): id for id in envs.ENVS if id.startswith("mujoco/")}
    renew(README, COLUMNS, row, ids, names)


if __name__ == "__main__":
    main(sys.argv[1:])
