"""What uniformly random actions and the oracle get in every memory environment.

python -m prospect_rl.experiments.bench.floors.memory [RepeatFirstEasy ...]     writes the table, or some of its rows
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from prospect_rl import envs
from prospect_rl.envs.data.demonstrations import Demonstrations
from prospect_rl.envs.memory.table import TASKS
from prospect_rl.experiments.bench.floors.table import renew

README = Path(envs.__file__).parent / "memory" / "README.md"
EPISODES = 200
COLUMNS = ("environment", "steps", "observation", "actions", "random: return", "oracle: return")


def returns(id: str, noise: float) -> np.ndarray:
    """Returns [episodes] with a share `noise` of random actions."""
    data = Demonstrations(id, episodes=EPISODES, noise=noise).build()
    return np.add.reduceat(np.asarray(data.rows["reward"], np.float64), np.asarray(data.firsts))


def row(id: str) -> str:
    """The table row of an environment: mean and standard deviation over episodes."""
    spec = envs.make(id).spec
    actions = getattr(spec.action, "n", "real")
    found = [f"{x.mean():.2f} ± {x.std():.2f}".replace("-0.00", "0.00") for x in (returns(id, 1.0), returns(id, 0.0))]
    return f"| `{id}` | {spec.horizon} | {spec.obs.shape[0]} | {actions} | {' | '.join(found)} |"  # type: ignore[union-attr]


def main(names: list[str]) -> None:
    """Update the rows of the named environments, or of all."""
    ids = {id.removeprefix("memory/"): id for id in envs.ENVS if id.startswith("memory/")}
    renew(README, COLUMNS, row, ids | {name: f"popgym/{name}" for name in TASKS}, names)


if __name__ == "__main__":
    main(sys.argv[1:])
