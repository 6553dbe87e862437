"""Floors of every MuJoCo task: what uniformly random and zero actions get.

    python -m envs.mujoco.floors [hopper ...]      writes the table, or some of its rows, into this folder's README.md

A learner's figure means something only beside these.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import envs
from envs.api import Array, Box, Env, Inputs, Key, Tree
from envs.rollout import episodes

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- floors -->", "<!-- end of floors -->"
EPISODES, MANY = 16, 64
"""Episodes of a task; of one whose episodes last less than a quarter of the horizon."""
SEED = 0
COLUMNS = ("task", "random: return", "% paid", "length", "zero: return", "% paid", "length")


@dataclass(frozen=True)
class Floor:
    """An actor that does not look."""

    space: Box
    random: bool

    def memory(self, behaviour: Tree, key: Key) -> Tree:
        """Nothing."""
        return ()

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """Uniform in the space, or zero."""
        return self.space.sample(key) if self.random else jnp.zeros(self.space.shape), (), ()


def measure(env: Env, *, random: bool, count: int = EPISODES, seed: int = SEED) -> tuple[float, float, float, float]:
    """(mean and standard deviation of the return, share of steps that a sparse reward was paid at, mean length)."""
    assert isinstance(env.spec.action, Box)
    key = jax.random.key(seed)
    go = jax.jit(partial(episodes, population=1, episodes=count, shared=True, keep_steps=True), static_argnums=1)
    data = go(env, Floor(env.spec.action, random), (), jnp.ones(1, bool), key, key)
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
    """Renew the rows of the named tasks, or of all, in the table between its marks in README.md."""
    before, _, rest = README.read_text().partition(BEGIN)
    old, mark, after = rest.partition(END)
    if not mark:
        sys.exit(f"{README} lacks the marks {BEGIN} and {END}")
    ids = [id for id in envs.ENVS if id.startswith("mujoco/")]
    kept = {line.split("`")[1]: line for line in old.splitlines() if "`" in line}
    rows = {id: kept.get(id.removeprefix("mujoco/"), "") for id in ids}
    if strange := set(names) - {id.removeprefix("mujoco/") for id in ids}:
        sys.exit(f"no such MuJoCo task: {', '.join(sorted(strange))}")
    rows |= {id: row(id) for id in ids if not names or id.removeprefix("mujoco/") in names}
    head = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"]
    README.write_text("\n".join([before + BEGIN, *head, *filter(None, rows.values()), END + after]))


if __name__ == "__main__":
    main(sys.argv[1:])
