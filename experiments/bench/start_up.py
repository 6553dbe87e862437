"""How long one waits for the first result: from the command line to the first row of metrics of SERENE.

Cold: with an empty program cache, as after the installation. Warm: the same command once more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from prospect_rl.experiments import bench

TARGETS: bench.Targets = {"warm_s": ("at most", 6.0), "cold_s": ("at most", 25.0)}

COMMAND = ("run", "serene", "maze/hard", "--budget", "300", "--evals", "1", "--seed", "0")
"""A command that runs the initial population and one generation."""
PATIENCE = 300.0
"""Seconds after which a start counts as failed."""


def measure() -> dict[str, float]:
    """Seconds of a cold start and of a warm start after it (the better of two)."""
    with tempfile.TemporaryDirectory() as cache:
        cold = first_row(cache)
        warm = min(first_row(cache) for _ in range(2))
    return {"warm_s": warm, "cold_s": cold}


def first_row(cache: str) -> float:
    """Seconds until the command has written its first metrics row; raises RuntimeError if it never does."""
    with tempfile.TemporaryDirectory() as runs, tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        environment = os.environ | {"PROSPECT_CACHE": cache, "PROSPECT_RUNS": runs}
        begun = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", "prospect_rl.experiments", *COMMAND],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            while time.perf_counter() - begun < PATIENCE:
                ended = child.poll() is not None
                if any(path.stat().st_size for path in Path(runs).rglob("metrics.jsonl")):
                    return time.perf_counter() - begun
                if ended:
                    break
                time.sleep(0.02)
            said.seek(0)
            raise RuntimeError(f"no first row: {said.read().strip()[-500:]}")
        finally:
            child.kill()
            child.wait()
