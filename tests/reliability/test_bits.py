"""What must not change a run's bits or cost a compilation, and data that must never run as code."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from prospect_rl import envs
from prospect_rl.agents import make
from prospect_rl.envs.api import Env
from prospect_rl.envs.data import datasets
from prospect_rl.experiments import train
from prospect_rl.experiments.run import checkpoint
from tests import toy_runs

ROOT = Path(__file__).parents[2]


def digest_of(folder: Path, **variables: str) -> str:
    """What a toy run in a process of its own, with these variables, comes to."""
    command = [sys.executable, "-m", "tests.toy_runs", "rollouts", str(folder), "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow  # two processes
def test_the_order_of_hashes_does_not_matter(tmp_path):
    assert digest_of(tmp_path / "a", PYTHONHASHSEED="1") == digest_of(tmp_path / "b", PYTHONHASHSEED="2")


@pytest.mark.slow
def test_a_run_goes_through_where_double_precision_is_allowed(tmp_path):
    """Its bits are others: what draws without a type draws doubles."""
    assert len(digest_of(tmp_path, JAX_ENABLE_X64="1")) == 64


@pytest.fixture
def compiled():
    """Counts what XLA compiles (or loads)."""
    count, name = [], "/jax/core/compile/backend_compile_duration"

    def listen(event: str, duration: float, **facts) -> None:
        if event == name:
            count.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield count
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("case", ["rollouts", "segments", "batches"])
def test_more_chunks_and_rows_compile_nothing_more(case, compiled):
    def compilations(evals: int) -> int:
        compiled.clear()
        jax.clear_caches()
        toy_runs.run(case, None, evals=evals)
        return len(compiled)

    assert 0 < compilations(8) == compilations(2)


class Scaled(Env):
    """Another environment whose rewards are multiplied."""

    def __init__(self, env: Env, scale: float) -> None:
        self.env, self.scale, self.spec = env, scale, env.spec

    def reset(self, key):
        return self.env.reset(key)

    def step(self, state, action, key):
        state, step = self.env.step(state, action, key)
        return state, step.replace(reward=self.scale * step.reward)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e6, 1e-6])
@pytest.mark.parametrize(
    ("name", "env"), [("ppo", "probe/discounting"), ("sac", "probe/target"), ("td3", "probe/target")]
)
def test_rewards_of_any_size_give_finite_figures(name, env, scale):
    small = {"hidden": (16,), "num_envs": 2}
    result = train(make(name, **small), Scaled(envs.make(env), scale), budget=4000, evals=2)
    assert all(value is not None for value in result.rows[-1].values())


class Evil:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_a_pickle_in_the_place_of_arrays_is_refused_and_never_run(monkeypatch, tmp_path):
    data, mark = pickle.dumps(Evil(tmp_path / "mark")), tmp_path / "mark"
    with pytest.raises(ValueError):
        checkpoint.unpacked(data)
    monkeypatch.setitem(datasets.DATASETS, "test/cues", ("tests.toy_data:Cues", {}))
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path))
    datasets.make("test/cues")
    datasets.paths("test/cues", datasets.recipe("test/cues"))[0].write_bytes(data)
    with pytest.warns(UserWarning, match="will be rebuilt"):
        datasets.make("test/cues")
    assert not mark.exists()
    pickle.loads(data)  # it would have
    assert mark.exists()
