"""`mex_velocity` killed with SIGKILL, twice in the middle of an episode, writes the metrics of a run left alone."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prospect_rl.experiments.run import checkpoint

ROOT = Path(__file__).parents[2]
RUN = """
import sys
from prospect_rl.experiments import driver, train
from prospect_rl.experiments.api import load

driver.SAVE_EVERY, driver.SAVE_SHARE = 0.0, float("inf")
tier = load("mex_velocity").tier("smoke")
train(tier.agents["mex"], tier.envs[0], budget=tier.budget, evals=tier.evals, out=sys.argv[1], chunk_s=0.2)
"""


def start(folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NPROC": "1"}
    return subprocess.Popen([sys.executable, "-c", RUN, str(folder)], env=environment, stderr=subprocess.PIPE)


def finish(process, folder):
    errors = process.communicate(timeout=200)[1]
    assert process.returncode == 0, errors.decode()
    return (folder / "metrics.jsonl").read_bytes()


@pytest.mark.slow
def test_the_same_metrics_after_kills(tmp_path):
    calm, killed, reached = tmp_path / "calm", tmp_path / "killed", 0
    wanted = finish(start(calm), calm)
    for _ in range(2):
        process, deadline = start(killed), time.monotonic() + 120
        while not (found := checkpoint.steps(killed / "checkpoints")) or int(found[-1].name) <= reached:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        process.communicate()
        reached = int(found[-1].name)
    assert 0 < reached < 2000 and not (killed / "result.json").exists()
    assert finish(start(killed), killed) == wanted
