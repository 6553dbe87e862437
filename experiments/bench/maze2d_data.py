"""Making `maze2d/umaze/waypoints`, a million rows, from nothing: compilation included, on two cores."""

from __future__ import annotations

import time

from prospect_rl.envs.data import datasets
from prospect_rl.experiments import bench

TARGETS: bench.Targets = {"seconds": ("at most", 90)}

NAME = "maze2d/umaze/waypoints"
CORES = 2


def measure() -> dict[str, float]:
    """Seconds, and the number of rows and trajectories."""
    return bench.start(work, cores=CORES).result()


def work() -> dict[str, float]:
    """Build the dataset in this process without storing it."""
    begun = time.perf_counter()
    made = datasets.recipe(NAME).build()
    seconds = time.perf_counter() - begun
    rows = len(made.rows["reward"])
    return {"seconds": seconds, "rows": rows, "rows_per_second": rows / seconds, "trajectories": len(made.firsts)}
