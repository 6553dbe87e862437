"""The report over a thousand runs with 200 rows of metrics each, in a fresh process."""

from __future__ import annotations

import json
import math
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from prospect_rl.experiments import bench

TARGETS: bench.Targets = {"seconds": ("at most", 60.0), "peak_mb": ("at most", 1000.0)}
SEEDS, ROWS, BUDGET = 125, 200, 1_000_000
"""Seeds, rows per run and budget, of two agents in four environments."""


def measure() -> dict[str, float]:
    """Seconds of the report and the peak memory of its process."""
    with tempfile.TemporaryDirectory() as folder:
        bench.start(running, folder).result()
        return bench.start(reporting, folder).result()


def experiment() -> Any:
    """An experiment with two agents in four tasks, and one claim per task."""
    from prospect_rl.agents import SAC, TD3
    from prospect_rl.experiments.api import REAL, Claim, Experiment, Tier

    tasks = tuple(f"mujoco/{name}" for name in ("half_cheetah", "hopper", "walker2d", "ant"))
    tier = Tier({"td3": TD3(), "sac": SAC()}, tasks, seeds=SEEDS, budget=BUDGET, evals=ROWS)
    claims = tuple(
        Claim(task, "sac above td3", "none", "eval/return", task, "sac", "td3", kind="check", scores=REAL)
        for task in tasks
    )
    return Experiment("many", "", "", "", tier, tier, tier, claims, pictures=("curves",))


def running(folder: str) -> None:
    """Write the files of finished runs, with noisy increasing curves."""
    from prospect_rl.experiments.sweeps.job import plan

    noise = random.Random(0)
    for job in plan(experiment(), "repro", root=Path(folder)):
        job.out.mkdir(parents=True)
        rows = []
        for i in range(1, ROWS + 1):
            used = BUDGET * i // ROWS
            figures = {name: math.log1p(i) + noise.gauss(0, 1) for name in ("eval/return", "eval/success")}
            rows.append({"seed": job.seeds[0], "mark": used, "used": used, "unit": "steps", **figures})
        result = {"finished": True, "hash": job.hash, "digest": "", "rows": rows[-1:]}
        (job.out / "metrics.jsonl").write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())
        (job.out / "run.json").write_bytes(json.dumps({"versions": {}}).encode())
        (job.out / "result.json").write_bytes(json.dumps(result).encode())


def reporting(folder: str) -> dict[str, float]:
    """Read the runs, and write tables and curves."""
    from prospect_rl.experiments.reports.report import report

    begun = time.monotonic()
    report(experiment(), "repro", root=Path(folder), out=Path(folder) / "report")
    return {
        "seconds": time.monotonic() - begun,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "runs": 8.0 * SEEDS,
    }
