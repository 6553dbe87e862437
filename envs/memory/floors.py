"""What uniformly random actions and the oracle get in every memory environment.

    python -m envs.memory.floors [RepeatFirstEasy ...]      writes the table, or some of its rows, into README.md here

A learner's figure means something only beside these.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import envs
from envs.memory.oracles import Demonstrations
from envs.memory.table import TASKS

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- floors -->", "<!-- end of floors -->"
EPISODES = 200
COLUMNS = ("environment", "steps", "observation", "actions", "random: return", "oracle: return")


def returns(id: str, noise: float) -> np.ndarray:
    """[episodes] with so large a share of random actions."""
    data = Demonstrations(id, episodes=EPISODES, noise=noise).build()
    return np.add.reduceat(np.asarray(data.rows["reward"], np.float64), np.asarray(data.firsts))


def row(id: str) -> str:
    """An environment's row: mean and standard deviation over episodes."""
    spec = envs.make(id).spec
    actions = getattr(spec.action, "n", "real")
    found = [f"{x.mean():.2f} ± {x.std():.2f}".replace("-0.00", "0.00") for x in (returns(id, 1.0), returns(id, 0.0))]
    return f"| `{id}` | {spec.horizon} | {spec.obs.shape[0]} | {actions} | {' | '.join(found)} |"  # type: ignore[union-attr]


def main(names: list[str]) -> None:
    """Renew the rows of the named environments, or of all, in the table between its marks in README.md."""
    ids = {id.removeprefix("memory/"): id for id in envs.ENVS if id.startswith("memory/")}
    ids |= {name: f"popgym/{name}" for name in TASKS}
    if strange := set(names) - set(ids):
        sys.exit(f"no such memory environment: {', '.join(sorted(strange))}")
    found = {id: row(id) for name, id in ids.items() if not names or name in names}
    before, _, rest = README.read_text().partition(BEGIN)
    old, mark, after = rest.partition(END)
    if not mark:
        sys.exit(f"{README} lacks the marks {BEGIN} and {END}")
    rows = {line.split("`")[1]: line for line in old.splitlines() if "`" in line} | found
    head = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"]
    table = [rows[id] for id in ids.values() if id in rows]
    README.write_text("\n".join([before + BEGIN, *head, *table, END + after]))


if __name__ == "__main__":
    main(sys.argv[1:])
