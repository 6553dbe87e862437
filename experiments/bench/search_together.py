"""A search over floats as one program a worker against one run after another: 16 trials of PPO in DoorKey-5x5.

The trials are random draws of four fields, 100,000 env steps each, without early stopping. Both ways have two workers
with one XLA thread each and an empty cache of compiled programs, which the runs of one way share.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from prospect_rl.experiments import bench
from prospect_rl.experiments.run import durable

TARGETS: bench.Targets = {"ratio": ("at most", 0.7)}
CORES = 2
TRIALS, WORKERS, BUDGET = 16, 2, 100_000
SCRIPT = """
import sys
from prospect_rl.experiments.bench.search_together import searching
print(searching(sys.argv[1], sys.argv[2] == "together", int(sys.argv[3])))
"""


def measure(budget: int = BUDGET) -> dict[str, float]:
    """Seconds of both ways, and the ratio."""
    taken = {}
    for way in ("together", "apart"):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", SCRIPT, folder, way, str(budget)]
            kept = {name: x for name, x in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
            environment = kept | {"PROSPECT_CACHE": f"{folder}/cache"}
            said = subprocess.run(command, check=True, capture_output=True, encoding="utf-8", env=environment).stdout
            taken[way] = float(said.splitlines()[-1])
    return {"ratio": taken["together"] / taken["apart"], "together_s": taken["together"], "apart_s": taken["apart"]}


def searching(folder: str, together: bool, budget: int) -> float:
    """Seconds from the first trial handed out to the last one's end. Ray starts before JAX, and is left out."""
    from prospect_rl.experiments.sweeps.sweep import sweep
    from prospect_rl.experiments.sweeps.workers import pool

    with pool(WORKERS) as workers:
        study = study_of(Path(folder) / "search", budget)
        begun = time.monotonic()
        if together:
            from prospect_rl.experiments.searches.together import run

            run(study, workers)
        else:
            sweep([trial.job for trial in study.trials], workers)
        seconds = time.monotonic() - begun
    if unfinished := [trial.number for trial in study.trials if not trial.job.finished()]:
        raise RuntimeError(f"trials {unfinished} did not finish: {study.failed}")
    return seconds


def study_of(folder: Path, budget: int) -> Any:
    """The search. Its experiment is a file: workers make the trials from it."""
    from prospect_rl.experiments.register import load
    from prospect_rl.experiments.searches.study import Study

    folder.mkdir(parents=True)
    path = folder / "doorkey.py"
    durable.write(path, FILE.format(budget=budget, trials=TRIALS).encode())
    study = Study(load(str(path)), folder)
    study.open()
    return study


FILE = """
from prospect_rl.agents import PPO
from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.search_space import LogUniform, Search, Uniform

ENV = "minigrid/DoorKey-5x5-v0"
TIER = Tier({{"ppo": PPO()}}, (ENV,), seeds=1, budget={budget}, evals=10, eval_episodes=5)
SPACE = {{
    "learning_rate": LogUniform(1e-4, 3e-3), "entropy": LogUniform(1e-4, 3e-2), "gamma": Uniform(0.95, 0.995),
    "lam": Uniform(0.9, 0.99),
}}
EXPERIMENT = Experiment("doorkey", "A search", "t", "s", TIER, TIER, TIER, search=Search(
    "ppo", ENV, SPACE, budget={budget}, trials={trials}, evals=10, grace=10))
"""
