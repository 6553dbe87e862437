"""On a GPU: a run that is cut off and resumed has the bits of one that is not; products outside of networks are exact.

JAX_PLATFORMS=cuda python -m pytest -m gpu tests/reliability/test_gpu.py
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.envs.product import product
from prospect_rl.experiments import train
from prospect_rl.experiments.run import compiler, driver
from tests import golden, toy_data, toy_envs, toy_runs

pytestmark = pytest.mark.gpu
ROOT = Path(__file__).parents[2]
REAL = ("ppo", "noveld", "td3", "novelty_search")
"""Agents with minibatches, an embedding, a replay and an archive, as small as in `tests.golden`."""


class CutError(Exception):
    """Stands for a kill between two chunks."""


def real(name, out, **options):
    """Train one of the agents."""
    env, budget, fields = golden.AGENTS[name]
    return train(agents.make(name, **fields), envs.make(env), budget=3 * budget, evals=2, out=out, **options)


def offline(_, out, **options):
    """Train two seeds of an agent that learns from data, as one program."""
    data, given = toy_data.dataset(), {"seeds": (0, 1), "budget": 60, "evals": 2}
    agent = agents.make("bc", updates=5, batch_size=32)
    return train(agent, toy_envs.Point(), dataset=data, out=out, **given, **options)


def cut_and_resumed(run, name, out, monkeypatch, chunks=3):
    """The digest of a run that ended after some chunks of one iteration, each saved, and was started again."""
    left = [chunks]

    def cut(_):
        left[0] -= 1
        if not left[0]:
            raise CutError

    with monkeypatch.context() as patch:
        for knob, value in (("SAVE_EVERY", 0.0), ("SAVE_SHARE", float("inf")), ("GROWTH", 1)):
            patch.setattr(driver, knob, value)
        with pytest.raises(CutError):
            run(name, out, progress=cut)
    assert any((out / "checkpoints").iterdir()), "cut off after the first checkpoint"
    return run(name, out).digest


@pytest.mark.parametrize(
    ("run", "name"),
    [(toy_runs.run, name) for name in toy_runs.CASES] + [(real, name) for name in REAL] + [(offline, "bc")],
    ids=[*(f"toy-{name}" for name in toy_runs.CASES), *REAL, "bc-seeds"],
)
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(run, name, tmp_path, monkeypatch):
    whole = run(name, tmp_path / "whole").digest
    assert cut_and_resumed(run, name, tmp_path / "cut", monkeypatch) == whole


def test_a_killed_process_is_resumed_by_another_with_the_same_bits(tmp_path):
    """Nothing but the folder and the compilation cache goes from one process to the next."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_PYTHON_CLIENT_MEM_FRACTION": ".1"}
    command = [sys.executable, "-m", "tests.toy_runs", "segments-seeds"]

    def whole(folder):
        done = subprocess.run([*command, str(folder), "0"], env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    child = subprocess.Popen([*command, str(tmp_path / "cut"), ".2"], env=environment, cwd=ROOT)
    until = time.monotonic() + 120
    while not list((tmp_path / "cut").glob("checkpoints/*/manifest.json")) and time.monotonic() < until:
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "cut" / "result.json").exists(), "killed before its end"
    assert whole(tmp_path / "cut") == whole(tmp_path / "whole")


def test_products_are_exact_and_options_are_taken():
    a, b = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    f = jax.jit(product, compiler_options=compiler.options("advance", "gpu"))
    assert np.abs(np.asarray(f(a, b)) - a.astype(np.float64) @ b).max() < 2e-5
