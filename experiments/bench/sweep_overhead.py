"""What a sweep of short runs costs beside the runs: 64 runs of random search in the hard maze, two at once under Ray.

A run's own time is from the birth of its folder's run.json to its result.json; the wall time is from the first job
handed out to the last one's end, so that the start of Ray is left out. Programs are compiled before.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from prospect_rl.experiments import bench

TARGETS: bench.Targets = {"efficiency": ("at least", 0.95)}
CORES = 2
RUNS, WORKERS, BUDGET = 64, 2, 34_000
"""Number of runs, of workers, and of evaluations per run (2000 steps each, about 10 seconds in all)."""
SCRIPT = """
import sys
from prospect_rl.experiments.bench.sweep_overhead import sweeping
print(sweeping(sys.argv[1], int(sys.argv[2])))
"""


def measure() -> dict[str, float]:
    """The share of two cores' time spent in runs, and the times behind it."""
    with tempfile.TemporaryDirectory() as folder:
        one_sweep(folder + "/first", WORKERS)  # compiles
        wall = one_sweep(folder + "/timed", RUNS)
        own = [lifetime(path) for path in Path(folder, "timed").iterdir()]
    return {"efficiency": sum(own) / (WORKERS * wall), "run_s": sum(own) / RUNS, "wall_s": wall}


def one_sweep(folder: str, runs: int) -> float:
    """Seconds of a sweep in a new process, because Ray must start before JAX."""
    command = [sys.executable, "-c", SCRIPT, folder, str(runs)]
    said = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    return float(said.splitlines()[-1])


def sweeping(folder: str, runs: int) -> float:
    """Seconds from the start of the first job to the end of the last."""
    from prospect_rl.experiments.sweeps.job import make_job
    from prospect_rl.experiments.sweeps.sweep import sweep
    from prospect_rl.experiments.sweeps.workers import pool

    base = {
        "agent": "random_search", "fields": {}, "env": "maze/hard", "env_fields": {}, "budget": BUDGET, "evals": 2,
        "eval_episodes": 1,
    }  # fmt: skip
    with pool(WORKERS) as workers:
        jobs = [make_job(base | {"seeds": [seed]}, Path(folder) / f"seed-{seed}") for seed in range(runs)]
        begun = time.monotonic()
        outcome = sweep(jobs, workers)
    if len(outcome.finished) < runs:
        raise RuntimeError(f"{len(outcome.failed)} runs failed: {outcome.failed[0][1]}")
    return time.monotonic() - begun


def lifetime(folder: Path) -> float:
    """Duration of a run in seconds, from the times of its files."""
    return (folder / "result.json").stat().st_mtime - (folder / "run.json").stat().st_mtime
