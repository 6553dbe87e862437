"""A sweep of ten thousand runs, planned and found finished after a restart, in a fresh process."""

from __future__ import annotations

import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from prospect_rl.experiments import bench

TARGETS: bench.Targets = {"seconds": ("at most", 5.0), "peak_mb": ("at most", 500.0)}
SEEDS = 1250
"""Number of seeds of two agents in four environments."""


def measure() -> dict[str, float]:
    """Seconds to plan the sweep and check its runs, and the peak memory of that process."""
    with tempfile.TemporaryDirectory() as folder:
        bench.start(finishing, folder).result()
        return bench.start(restarting, folder).result()


def planned(folder: str) -> list[Any]:
    """The jobs of the sweep."""
    from prospect_rl.agents import TD3, RandomSearch
    from prospect_rl.experiments.api import Experiment, Tier
    from prospect_rl.experiments.sweeps.job import plan

    tasks = tuple(f"mujoco/{name}" for name in ("half_cheetah", "hopper", "walker2d", "ant"))
    tier = Tier({"td3": TD3(), "random": RandomSearch()}, tasks, seeds=SEEDS, budget=1000)
    return plan(Experiment("many", "", "", "", tier, tier, tier), "repro", root=Path(folder))


def finishing(folder: str) -> None:
    """Write the results of finished runs."""
    for job in planned(folder):
        job.out.mkdir(parents=True)
        (job.out / "result.json").write_bytes(json.dumps({"finished": True, "hash": job.hash}).encode())


def restarting(folder: str) -> dict[str, float]:
    """Plan the sweep and check which runs have finished, including the import of JAX."""
    begun = time.monotonic()
    jobs = planned(folder)
    finished = sum(job.finished() for job in jobs)
    seconds = time.monotonic() - begun
    if finished != len(jobs) or len(jobs) != 8 * SEEDS:
        raise RuntimeError(f"{finished} of {len(jobs)} runs were found finished")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"seconds": seconds, "peak_mb": peak, "runs": float(len(jobs))}
