"""What a finished agent must do besides: exams, kept one by one."""

import json
from dataclasses import replace

import jax
import pytest

from prospect_rl.agents import BC
from prospect_rl.envs.data import datasets
from prospect_rl.experiments import Interrupted
from prospect_rl.experiments.api import Data, Exam
from prospect_rl.experiments.reports import records
from prospect_rl.experiments.run import exams
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.driver import train_run
from prospect_rl.experiments.run.reopen import rebuild
from prospect_rl.experiments.sweeps.job import Job

FAR = Exam("far", {"delay": 6}, episodes=64, best=True)
NEAR = Exam("near", {"delay": 1}, episodes=8)


@pytest.fixture(autouse=True)
def known(monkeypatch, tmp_path):
    monkeypatch.setitem(datasets.DATASETS, "test/cues", ("tests.toy_data:Cues", {}))
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path / "cache"))


def run_of(*found, **fields):
    agent = BC(hidden=(8,), updates=5, batch_size=4)
    settings = {"env_fields": (("delay", 2),), "seeds": (0,), "budget": 20, "evals": 2, "eval_episodes": 4, **fields}
    return Run(agent, "probe/memory", dataset=Data("test/cues", {"episodes": 4}), exams=found, name="bc", **settings)


def test_figures_come_into_the_final_row_alone(tmp_path):
    run = run_of(FAR, NEAR, seeds=(0, 1))
    result = train_run(run, out=tmp_path)
    last = json.loads((tmp_path / "result.json").read_text())["rows"]
    assert last == result.rows[-2:] and "exam/far/success" not in result.rows[0]
    for row in last:
        assert row["exam/far/length"] == row["exam_best/far/length"] == 7 and row["exam/near/length"] == 2
        assert 0.2 < row["exam/far/success"] == row["exam/far/return"] < 0.8  # it sees no cue at the end
        assert "exam_best/near/success" not in row
    job = Job({}, tmp_path, "probe/memory", "bc", (0, 1), run.budget, run.hash)
    found = records.read([job], "repro")
    assert [record.rows[-1]["exam/near/length"] for record in found] == [2, 2]


def test_an_exam_runs_once_and_a_signal_keeps_those_before(tmp_path, monkeypatch):
    found, true = [], exams.ExamProgram.run

    def watched(exam_program, behaviour, key, stopped):
        found.append(exam_program._rebuild(exam_program._arrays).delay)
        return None if len(found) == 2 else true(exam_program, behaviour, key, stopped)

    monkeypatch.setattr(exams.ExamProgram, "run", watched)
    with pytest.raises(Interrupted):
        train_run(run_of(NEAR, Exam("far", {"delay": 6}, episodes=8)), out=tmp_path)
    assert not (tmp_path / "result.json").exists()
    result = train_run(run_of(NEAR, Exam("far", {"delay": 6}, episodes=8)), out=tmp_path)
    assert found == [1, 6, 6] and {"exam/near/success", "exam/far/success"} <= set(result.rows[-1])


def test_chunks_do_not_matter_and_are_interrupted(monkeypatch):
    run = run_of()
    result = train_run(run)
    exam_program = exams.ExamProgram(result.agent, run.make_env(delay=100), 16)

    def results(stopped=lambda: False):
        return exam_program.run(result.behaviour, jax.random.key(3), stopped)

    whole = results()
    monkeypatch.setattr(exams, "CHUNK_S", 0.0)  # a step each, after the first
    assert results() == whole and whole["length"] == 101
    calls = iter([False, True])
    assert results(lambda: next(calls)) is None


def test_the_configuration_holds_them_and_comes_back():
    run = run_of(FAR)
    assert run.config()["exams"][0]["fields"] == {"delay": 6} and rebuild(run.config()) == replace(run, device="cpu")
    assert run.hash != run_of(NEAR).hash != run_of().hash
    assert "exams" not in run_of().config()  # hashes of runs without are those of before


def test_an_unknown_field_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="probe/memory: .*colour"):
        train_run(run_of(Exam("odd", {"colour": 1})), out=tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()
