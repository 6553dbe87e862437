"""Searches whose trials are one program: which are, who is judged when, and what a second call does."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from prospect_rl.agents import MEX, PPO, TD3
from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.register import load
from prospect_rl.experiments.run import durable
from prospect_rl.experiments.search_space import Choice, IntUniform, LogUniform, Search, Uniform
from prospect_rl.experiments.searches import together
from prospect_rl.experiments.searches.study import Study
from prospect_rl.experiments.searches.winner import write
from prospect_rl.experiments.sweeps.work import work

SMALL = PPO(num_envs=4, length=8, minibatches=2, hidden=(8,))
FILE = """
from prospect_rl.agents import PPO
from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.search_space import LogUniform, Search, Uniform

TIER = Tier({"ppo": PPO(num_envs=4, length=8, minibatches=2, hidden=(8,))}, ("probe/discounting",), seeds=1,
            budget=320, evals=4)
SPACE = {"learning_rate": LogUniform(1e-4, 1e-2), "gamma": Uniform(0.8, 0.99)}
EXPERIMENT = Experiment("toy_ppo", "A toy", "t", "s", TIER, TIER, TIER, search=Search(
    "ppo", "probe/discounting", SPACE, budget=320, trials=4, evals=4, grace=2, reduction=2))
"""


def play(trial, scores, *, finished=False):
    """Write what a run leaves."""
    trial.job.out.mkdir(parents=True, exist_ok=True)
    rows = [{"seed": 1000, "mark": 100 * i, "eval/return": score} for i, score in enumerate(scores, 1)]
    (trial.job.out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if finished:
        (trial.job.out / "result.json").write_text(json.dumps({"finished": True, "hash": trial.job.hash}))


def experiment(agent=SMALL, space=None, env="probe/discounting", **fields):
    tier = Tier({"it": agent}, (env,), seeds=1, budget=32_000, evals=8)
    given = {"budget": 32_000, "trials": 6, "evals": 8, "grace": 2, "reduction": 2} | fields
    search = Search("it", env, space or {"gamma": Uniform(0.8, 0.99)}, **given)
    return Experiment("toy", "A toy", "t", "s", tier, tier, tier, search=search)


@pytest.fixture
def study(tmp_path):
    made = Study(experiment(), tmp_path)
    made.open()
    return made


class Here:
    """A pool in this process: `does` is called with each message."""

    def __init__(self, does, capacity=2):
        self.most, self.running, self.does, self.sent, self._ended = capacity, [], does, [], []

    def capacity(self, device):
        return self.most

    def room(self, device):
        return len(self.running) < self.most

    def start(self, batch, message):
        self.sent.append((len(batch), message["rows"]))
        self.running.append(batch)
        try:
            self.does(batch, message)
            self._ended.append((batch, None, False))
        except (RuntimeError, ValueError) as error:
            self._ended.append((batch, str(error), isinstance(error, RuntimeError)))

    def wait(self, seconds):
        ended, self._ended = self._ended, []
        self.running = [batch for batch in self.running if batch not in [one for one, *_ in ended]]
        return ended

    def interrupt(self):
        raise AssertionError


def player(score):
    """Plays every trial of a batch up to the rows that are asked for."""

    def does(batch, message):
        for trial in batch:
            rows = message["rows"]
            play(trial, [score(trial.number)] * rows, finished=rows == 8)

    return does


# --- which searches ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "space", "one"),
    [
        (SMALL, {"learning_rate": LogUniform(1e-4, 1e-2), "clip": Choice((0.1, 0.2))}, True),
        (SMALL, {"learning_rate": LogUniform(1e-4, 1e-2), "epochs": IntUniform(1, 4)}, False),
        (SMALL, {"greedy": Choice((True, False))}, False),
        (MEX(), {"eta": LogUniform(1e-4, 1e-1)}, True),
        (TD3(), {"tau": Uniform(0.001, 0.1), "updates_per_step": Choice((1.0, 2.0))}, False),
    ],
)
def test_searches_over_traced_floats_are_one_program(tmp_path, agent, space, one):
    env = "probe/discounting" if agent is SMALL else "mujoco/reacher"
    assert together.possible(Study(experiment(agent, space, env), tmp_path)) is one


def test_the_registered_searches_are(tmp_path):
    assert all(together.possible(Study(load(name), tmp_path)) for name in ("mex_eta", "minigrid_basics"))


def test_rungs_and_batches(study):
    assert list(together.rungs(study.search)) == [2, 4, 8]
    assert list(together.rungs(SimpleNamespace(grace=4, reduction=3, evals=24))) == [4, 12, 24]
    assert [len(b) for b in together.batches(study.trials, 2)] == [3, 3] and not together.batches([], 2)
    assert [len(b) for b in together.batches(study.trials * 6, 1)] == [12, 12, 12], "no more than 16 in a program"
    assert [len(b) for b in together.batches(study.trials[:1], 2)] == [1]


# --- who goes on -------------------------------------------------------------------------------------


def test_the_worse_half_stops_at_every_rung(study):
    pool = Here(player(lambda number: number))
    together.run(study, pool)
    assert pool.sent == [(3, 2), (3, 2), (2, 4), (1, 4), (1, 8), (1, 8)]
    assert study.stopped == {0: 2, 1: 2, 2: 2, 3: 4} and study.best().number == 5 and not study.failed
    again = Study(study.experiment, study.folder)
    again.open()
    idle = Here(player(lambda number: number))
    together.run(again, idle)
    assert not idle.sent and again.stopped == study.stopped


def test_of_equals_all_go_on_and_missing_scores_are_worst(study):
    together.run(study, pool := Here(player(lambda number: None if number == 2 else 0.0), capacity=1))
    assert pool.sent == [(6, 2), (5, 4), (5, 8)] and study.stopped == {2: 2}


def test_more_trials_are_judged_by_all_that_had_the_row(study):
    together.run(study, Here(player(lambda number: number)))
    more = Study(study.experiment, study.folder, 8)
    more.open()
    together.run(more, pool := Here(player(lambda number: 10 * (number == 7)), capacity=1))
    assert pool.sent == [(2, 2), (1, 4), (1, 8)] and more.stopped[6] == 2 and more.best().number == 7


def test_crashes_are_tried_again_and_errors_are_not(study):
    left = iter([RuntimeError("killed"), RuntimeError("killed")])

    def does(batch, message):
        if (error := next(left, None)) is not None:
            raise error
        player(lambda number: number)(batch, message)

    together.run(study, pool := Here(does, capacity=1))
    assert pool.sent[:3] == [(6, 2)] * 3 and not study.failed and study.best().number == 5


def test_a_trial_that_breaks_fails_alone(study):
    def does(batch, message):
        player(lambda number: number)([trial for trial in batch if trial.number != 5], message)
        for trial in batch:
            if trial.number == 5:
                play(trial, [1.0])
                (trial.job.out / "error.txt").write_text("learn/loss became NaN")

    together.run(study, Here(does))
    assert study.failed == {5: "learn/loss became NaN"} and study.best().number == 4


# --- a real one --------------------------------------------------------------------------------------


def test_a_real_search(tmp_path, monkeypatch):
    monkeypatch.setattr("prospect_rl.experiments.run.machine.enable_compilation_cache", lambda: None)
    path = tmp_path / "toy_ppo.py"
    path.write_text(FILE)
    study = Study(load(str(path)), tmp_path / "search")
    study.folder.mkdir()
    study.open()
    together.run(study, pool := Here(lambda batch, message: work(message), capacity=1))
    assert pool.sent[0] == (4, 2) and not study.failed
    best, _ = write(study)
    assert best is not None and len(durable.read_object(study.folder / "best.json")["trials"]) == 4
    for trial in study.trials:
        rows, score = study.last(trial)
        assert np.isfinite(score) and rows == (4 if study.state(trial) == "finished" else 2)
        assert durable.read_object(trial.job.out / "run.json")["together"] == ["gamma", "learning_rate"]
    together.run(study, idle := Here(lambda batch, message: work(message)))
    assert not idle.sent
