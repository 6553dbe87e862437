"""Runs of an earlier version go on: their checkpoints and players are read, and training continues where it stood."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.experiments.run.driver import train_run
from prospect_rl.experiments.run.reopen import rebuild

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.mark.parametrize(("name", "iteration"), [("ppo_recurrent", 10), ("td3", 300)])
def test_a_run_of_an_earlier_version_goes_on(name, iteration, tmp_path):
    """In the middle of episodes, with a memory (PPO), and with a replay (TD3)."""
    folder = shutil.copytree(FIXTURES / name, tmp_path / name)
    before = (folder / "metrics.jsonl").read_text()
    told = rebuild(json.loads((folder / "run.json").read_text())["config"])
    obs = np.zeros(envs.make(told.env).spec.obs.shape, np.float32)
    assert np.all(np.isfinite(agents.load(folder)(obs)))
    result = train_run(dataclasses.replace(told, budget=2 * told.budget, evals=2 * told.evals), out=folder)
    assert not result.interrupted and f"continues a run to budget {told.budget}" in result.notices
    after = (folder / "metrics.jsonl").read_text()
    assert after.startswith(before) and len(after.splitlines()) == 4
    assert [row["iteration"] for row in result.rows] == [k * iteration // 2 for k in (1, 2, 3, 4)]
    assert np.all(np.isfinite(agents.load(folder)(obs)))
