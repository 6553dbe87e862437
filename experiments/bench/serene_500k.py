"""Minutes and memory of the paper's budget: SERENE and novelty search side by side in the hard maze, a core each.

500,000 evaluations of 2000 steps each; evaluations of the best policy, metrics and checkpoints are included.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from pathlib import Path

from prospect_rl.experiments import bench

TARGETS: bench.Targets = {
    "minutes": ("at most", 6.0),
    "minutes_ns": ("at most", 5.0),
    "peak_gb": ("at most", 1.0),
}

BUDGET = 500_000


def measure(budget: int = BUDGET) -> dict[str, float]:
    """Minutes and peak memory of both agents."""
    with tempfile.TemporaryDirectory() as folder:
        serene = bench.start(training, "serene", f"{folder}/serene", budget, core=0)
        rival = bench.start(training, "novelty_search", f"{folder}/ns", budget, core=1)
        figures, figures_ns = serene.result(), rival.result()
    return figures | {f"{name}_ns": value for name, value in figures_ns.items()}


def training(agent: str, out: str, budget: int) -> dict[str, float]:
    """Train one agent in this process; total minutes, minutes of computation and of saving, and peak memory in GB."""
    begun = time.perf_counter()
    from prospect_rl import agents, envs
    from prospect_rl.experiments import train

    train(agents.make(agent), envs.make("maze/hard"), budget=budget, evals=50, out=out)
    minutes = (time.perf_counter() - begun) / 60
    rows = [json.loads(line) for line in (Path(out) / "timing.jsonl").read_bytes().splitlines()]
    return {
        "minutes": minutes,
        "minutes_compute": sum(row["seconds"] for row in rows) / 60,
        "minutes_saving": sum(row["save_seconds"] for row in rows) / 60,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
