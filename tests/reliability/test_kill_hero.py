"""HERO stopped in each of its phases, and killed, ends with the bits of a run left alone; a trained one goes on."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents import HERO
from prospect_rl.experiments.run import checkpoint, driver
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.driver import train_run

ROOT = Path(__file__).parents[2]
TINY = {"prompts": 4, "group": 4, "layers": 1, "width": 8, "heads": 2, "kv_heads": 1, "ffn": 8, "model_width": 8}
AGENT = HERO(**TINY, cold=4, fit=4, model_layers=1, learning_rate=1e-2, greedy=True)
RUN = Run(AGENT, "text/reverse", (("length", 2),), budget=16 * 12, evals=3, eval_episodes=4)
PHASES = (2, 6, 10)
"""Iterations in the cold start, while the reward model is learned, and while the policy learns."""


class CrashError(Exception):
    pass


def slowly(folder, pause):
    """The run with a checkpoint after each iteration, to be killed by tests."""
    driver.SAVE_EVERY, driver.SAVE_SHARE, driver.GROWTH = 0.0, float("inf"), 1
    return train_run(RUN, out=folder, progress=lambda _: time.sleep(pause))


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "calm"
    return folder, train_run(RUN, out=folder).digest


def end(folder, digest):
    return digest, (folder / "metrics.jsonl").read_bytes()


@pytest.mark.slow
def test_stopped_in_each_phase(calm, tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(driver, "SAVE_SHARE", float("inf"))
    monkeypatch.setattr(driver, "GROWTH", 1)
    left = list(PHASES)

    def progress(told):
        if left and told["iteration"] >= left[0]:
            left.pop(0)
            raise CrashError

    for _ in PHASES:
        with pytest.raises(CrashError):
            train_run(RUN, out=tmp_path / "run", progress=progress)
    result = train_run(RUN, out=tmp_path / "run", progress=progress)
    assert not left and end(tmp_path / "run", result.digest) == end(*calm)


@pytest.mark.slow
def test_killed_in_each_phase(calm, tmp_path):
    code = "import sys; from tests.reliability.test_kill_hero import slowly; slowly(sys.argv[1], float(sys.argv[2]))"
    folder, environment = tmp_path / "run", os.environ | {"PYTHONPATH": str(ROOT)}

    def start(pause):
        return subprocess.Popen([sys.executable, "-c", code, str(folder), str(pause)], env=environment, cwd=ROOT)

    for iteration in PHASES:
        process, deadline = start(2.0), time.monotonic() + 300
        while not (found := checkpoint.steps(folder / "checkpoints")) or int(found[-1].name) < iteration:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        process.wait()
    assert start(0.0).wait(timeout=300) == 0
    digest = json.loads((folder / "result.json").read_text())["digest"]
    assert end(folder, digest) == end(*calm)


def test_a_trained_decoder_continues_a_prompt(calm):
    """Token by token, with its cache, it says what is most likely by the whole text before."""
    player, env = agents.load(calm[0]), envs.make("text/reverse", length=2)
    state, first = env.reset(jax.random.key(5))
    prompt = [int(first), *np.asarray(state.text[: env.problem_length]).tolist()]
    said = [*prompt, 4, 2]
    player.reset()
    spoken = [player(token) for token in said]
    logits = player.agent.network.apply(player.behaviour.params, jnp.array(said))[0]
    np.testing.assert_array_equal(spoken, jnp.argmax(logits, axis=-1))
    assert len(said) == env.spec.horizon
