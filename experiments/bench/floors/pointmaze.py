"""What the clean controller and uniformly random actions get in every maze.

    python -m prospect_rl.experiments.bench.floors.pointmaze [maze2d/umaze ...] writes the table, or some of its rows

`envs.data.scores` holds the controller's mean returns, by which others are measured.
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
from prospect_rl.envs.api import Actor
from prospect_rl.envs.pointmaze.maze import PointMaze
from prospect_rl.envs.pointmaze.waypoints import Walker
from prospect_rl.envs.rollout import episodes
from prospect_rl.experiments.bench.floors.table import renew

README = Path(envs.__file__).parent / "pointmaze" / "README.md"
EPISODES = 1000
COLUMNS = ("environment", "controller: return", "success", "random: return", "success")
Figures = tuple[np.ndarray, np.ndarray]


def measure(env: PointMaze, count: int = EPISODES) -> tuple[Figures, Figures]:
    """(returns, successes), each [count], of the controller without noise, and of random actions."""
    return play(env, Walker(env), count), play(env, Floor().bind(env.spec), count)


def play(env: PointMaze, actor: Actor, count: int) -> Figures:
    """(returns, successes), each [count], of whole episodes."""
    key = jax.random.key(0)
    go = jax.jit(partial(episodes, population=1, episodes=count, shared=True), static_argnums=1)
    found = go(env, actor, (), jnp.ones(1, bool), key, key)
    return np.asarray(found.returns)[0], np.asarray(found.info["success"])[0]


def row(id: str) -> str:
    """An environment's row: mean and standard deviation over episodes, and the share of them that was paid."""
    found = [f"`{id}`"]
    for returns, successes in measure(envs.make(id)):  # type: ignore[arg-type]
        found += [f"{returns.mean():.1f} ± {returns.std():.1f}", f"{successes.mean():.3f}"]
    return f"| {' | '.join(found)} |"


def main(names: list[str]) -> None:
    """Renew the rows of the named environments, or of all."""
    ids = {id: id for id in envs.ENVS if id.startswith(("maze2d/", "pointmaze/"))}
    renew(README, COLUMNS, row, ids, names)


if __name__ == "__main__":
    main(sys.argv[1:])
