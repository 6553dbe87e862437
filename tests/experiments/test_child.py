"""The child process that does jobs, and what its parent learns of their ends."""

import os
import signal
import sys

import pytest

from prospect_rl.experiments.sweeps import workers
from prospect_rl.experiments.sweeps.child import Child, last_line
from prospect_rl.experiments.sweeps.workers import worker_environment

BASE = {"agent": "random_search", "fields": {"population": 50}, "env": "point/sparse", "env_fields": {},
        "budget": 100, "evals": 2, "eval_episodes": 1}  # fmt: skip
FILES = ("metrics.jsonl", "report.npz", "result.json")


@pytest.fixture
def child():
    one = Child(worker_environment())
    yield one
    one.close()


def end_of(child, message):
    child.start(message)
    while (end := child.wait(60.0)) is None:
        pass
    return end


def test_an_error_comes_back_and_takes_the_process_with_it(child, tmp_path):
    bad = BASE | {"agent": "nobody", "seeds": [0], "out": str(tmp_path / "bad")}
    end = end_of(child, bad)
    assert not end.crashed and end.error.startswith("ValueError: unknown agent 'nobody'")
    assert child._process is None
    assert end_of(child, bad) == end


def test_a_killed_process_is_a_crash_that_says_how(child, tmp_path):
    child.start(BASE | {"seeds": [0], "out": str(tmp_path)})
    os.kill(child._process.pid, signal.SIGKILL)
    end = child.wait(30.0)
    assert end.crashed and "SIGKILL" in end.error and "memory" in end.error


def test_a_head_that_is_gone_ends_the_process_with_the_command(monkeypatch, capsys):
    monkeypatch.setattr(workers, "PULSE", 0.01)
    monkeypatch.setattr(workers, "SILENCE", 0.05)
    monkeypatch.setattr(sys, "argv", ["x", "run", "serene_maze", "--tier", "repro"])
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    workers.watch_head("127.0.0.1", 1)
    said = capsys.readouterr().err
    assert codes == [1] and said.count("\n") == 1
    assert "127.0.0.1:1 is lost" in said and said.endswith("prospect run serene_maze --tier repro\n")


def test_last_line():
    assert last_line("a\nb \n\n") == "b" and last_line("") == ""


@pytest.mark.slow
def test_files_do_not_depend_on_what_ran_before(tmp_path):
    ends, pids = [], []
    for name, order in (("forth", (0, 1)), ("back", (1, 0))):
        one = Child(worker_environment())
        for seed in order:
            ends.append(end_of(one, BASE | {"seeds": [seed], "out": str(tmp_path / name / str(seed))}))
            pids.append(one._process.pid)
        one.close()
    assert [end.error for end in ends] == [None] * 4
    assert pids[0] == pids[1] != pids[2] == pids[3]
    for seed in ("0", "1"):
        for file in FILES:
            assert (tmp_path / "forth" / seed / file).read_bytes() == (tmp_path / "back" / seed / file).read_bytes()


@pytest.mark.slow
def test_a_job_is_stopped_at_its_limit_and_goes_on(tmp_path):
    one = Child(worker_environment(), limit=12.0)
    long = BASE | {"budget": 10**8, "evals": 10, "seeds": [0], "out": str(tmp_path / "long")}
    end = end_of(one, long)
    assert not end.crashed and end.error.startswith("stopped at its time limit of 12 s")
    assert any((tmp_path / "long" / "checkpoints").iterdir())
    assert not (tmp_path / "long" / "lock.json").exists()
    one.close()
