"""A run killed with SIGKILL, twice in the middle of an episode, writes the metrics of one left alone."""

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
from prospect_rl.experiments import train
from prospect_rl.experiments.register import load
from prospect_rl.experiments.run import driver

driver.SAVE_EVERY, driver.SAVE_SHARE = 0.0, float("inf")
folder, experiment, label, budget = sys.argv[1:]
tier = load(experiment).tier("smoke")
train(tier.agents[label], tier.envs[0], budget=int(budget), evals=tier.evals, out=folder, chunk_s=0.2)
"""
CASES = [("mex_velocity", "mex", 2000), ("smose_mujoco", "smose", 2000)]
"""Experiment, agent's label in it, steps."""


def start(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NPROC": "1"}
    command = [sys.executable, "-c", RUN, *map(str, (folder, *words))]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def finish(process, folder):
    errors = process.communicate(timeout=600)[1]
    assert process.returncode == 0, errors.decode()
    return (folder / "metrics.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_the_same_metrics_after_kills(case, tmp_path):
    calm, killed, reached = tmp_path / "calm", tmp_path / "killed", 0
    wanted = finish(start(calm, *case), calm)
    for _ in range(2):
        process, deadline = start(killed, *case), time.monotonic() + 600
        while not (found := checkpoint.steps(killed / "checkpoints")) or int(found[-1].name) <= reached:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        process.communicate()
        reached = int(found[-1].name)
    assert 0 < reached < case[-1] and not (killed / "result.json").exists()
    assert finish(start(killed, *case), killed) == wanted
