"""Searches: their spaces and declarations, what is kept of a decision, the winner's file; slowly, a real one."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from prospect_rl.agents import MBPO, MAPElites
from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.cli.search import trials_table
from prospect_rl.experiments.register import load
from prospect_rl.experiments.search_space import Choice, IntUniform, LogUniform, Search, Uniform
from prospect_rl.experiments.searches import study as studies
from prospect_rl.experiments.searches.study import Study
from prospect_rl.experiments.searches.winner import compare, write
from prospect_rl.experiments.sweeps.child import End
from prospect_rl.experiments.sweeps.job import plan, resolve

ROOT = Path(__file__).parents[2]
ENV = "point/sparse"
SEARCH = Search("me", ENV, {"mutation": LogUniform(0.001, 0.5), "batch": IntUniform(50, 60)}, 1000, trials=4, evals=10)
TIER = Tier({"me": MAPElites()}, (ENV,), seeds=3, budget=1000, evals=2)


def experiment(**fields):
    return Experiment("toy", "A toy", "t", "s", TIER, TIER, TIER, search=replace(SEARCH, **fields))


# --- the space ---------------------------------------------------------------------------------------


def test_draws_stay_in_their_ranges_and_fill_them():
    random = np.random.default_rng(0)
    small, whole = LogUniform(1e-4, 1.0), IntUniform(3, 5)
    draws = [small.draw(random) for _ in range(2000)]
    assert all(1e-4 <= x <= 1 for x in draws)
    assert 0.45 < sum(x < 1e-2 for x in draws) / 2000 < 0.55  # half of the orders of magnitude
    assert all(float(f"{x:.3g}") == x for x in draws), "what is written is what ran"
    assert {whole.draw(random) for _ in range(100)} == {3, 4, 5}
    assert {Choice(((32,), (64, 64))).draw(random) for _ in range(100)} == {(32,), (64, 64)}
    assert all(0.99951 <= Uniform(0.99951, 0.99953).draw(random) <= 0.99953 for _ in range(50))


def test_a_trials_settings_depend_on_the_seed_and_its_number_alone():
    assert SEARCH.draw(0) == {}
    turned = replace(SEARCH, space=dict(reversed(SEARCH.space.items())), trials=99, budget=5)
    assert [SEARCH.draw(i) for i in range(6)] == [turned.draw(i) for i in range(6)]
    assert len({SEARCH.draw(i)["mutation"] for i in range(1, 9)}) == 8
    assert replace(SEARCH, seed=1).draw(1) != SEARCH.draw(1)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Uniform(1, 1), "needs low below high"),
        (lambda: Uniform(0, math.inf), "both finite"),
        (lambda: LogUniform(0, 1), "low above 0"),
        (lambda: IntUniform(1, 2.5), "needs integers"),
        (lambda: Choice(()), "tuple of options"),
        (lambda: Choice((object(),)), "plain values"),
        (lambda: experiment(space={}), "the space is empty"),
        (lambda: experiment(space={"mutation": 0.5}), "needs a distribution"),
        (lambda: experiment(space={"mutatoin": Uniform(0.1, 1)}), "did you mean 'mutation'?"),
        (lambda: experiment(space={"mutation": Uniform(-1, 1)}), "mutation must be above 0"),
        (lambda: experiment(space={"batch": Uniform(1, 50)}), "batch must be int"),
        (lambda: experiment(label="him"), "unknown agent of the search 'him'"),
        (lambda: experiment(env="maze/hard"), "unknown environment of the search 'maze/hard'"),
        (lambda: experiment(metric="return"), "'return' is not a row's metric"),
        (lambda: experiment(better="more"), "better must be"),
        (lambda: experiment(trials=0), "trials must be an integer of at least 1"),
        (lambda: experiment(grace=11), "grace (11) must not exceed evals (10)"),
        (lambda: experiment(reduction=1), "reduction must be an integer of at least 2"),
    ],
)
def test_a_wrong_declaration_is_one_line(make, line):
    with pytest.raises(ValueError) as raised:
        make()
    assert line in str(raised.value) and "\n" not in str(raised.value)


def test_seeds_of_an_agent_that_takes_one():
    tier = Tier({"mbpo": MBPO()}, ("mujoco/hopper",), seeds=1, budget=1000)
    search = Search("mbpo", "mujoco/hopper", {"gamma": Uniform(0.9, 0.99)}, 1000, seeds=2)
    with pytest.raises(ValueError, match="MBPO trains one seed per run"):
        Experiment("toy", "t", "t", "s", tier, tier, tier, search=search)


SEARCHED = ("mex_eta", "minigrid_basics", "minigrid_exploration", "mex_velocity", "elmur_popgym", "elmur_tmaze")


def test_the_registered_searches_can_be(tmp_path):
    declared = [one for one in map(load, SEARCHED) if one.search]
    assert len(declared) == len(SEARCHED)
    for one in declared:
        assert len(Study(one, tmp_path).trials) == one.search.trials, "no draw is refused"


# --- experiments in files ----------------------------------------------------------------------------


FILE = f"""
from prospect_rl.agents import MAPElites
from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.cli.search import trials_table
from prospect_rl.experiments.search_space import LogUniform, Search

TIER = Tier({{"me": MAPElites(mutation=0.0005)}}, ("{ENV}",), seeds=1, budget=200, evals=2)
EXPERIMENT = Experiment("toy_file", "A toy", "t", "s", TIER, TIER, TIER)
"""


def test_an_experiment_may_be_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    job = plan(load(str(path)), "smoke", root=tmp_path)[0]
    assert job.payload["experiment"] == str(path)
    assert resolve(job.payload).hash == job.hash


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "file not found"),
        ("x = 1", "declares no EXPERIMENT"),
        ("EXPERIMENT = 3", "declares no EXPERIMENT"),
        (FILE.replace("toy_file", "mex_eta"), "is named 'mex_eta'"),
    ],
)
def test_a_file_that_is_none(tmp_path, text, line):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=line):
        load(str(path))


# --- the study ---------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path):
    made = Study(experiment(), tmp_path)
    made.open()
    return made


def play(trial, scores, *, finished=False):
    """Write what a run leaves."""
    trial.job.out.mkdir(parents=True, exist_ok=True)
    rows = [{"seed": 1000, "mark": 100 * i, "eval/return": score} for i, score in enumerate(scores, 1)]
    (trial.job.out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if finished:
        (trial.job.out / "result.json").write_text(json.dumps({"finished": True, "hash": trial.job.hash}))


def test_trials_are_runs_that_a_worker_can_make(study, monkeypatch):
    monkeypatch.setattr("prospect_rl.experiments.sweeps.job.load", lambda name: experiment())
    for trial in study.trials:
        run = resolve(json.loads(json.dumps(trial.job.payload)))
        assert run.hash == trial.job.hash and run.seeds == (1000,) and run.budget == 1000
        assert trial.job.out.parent.name == f"trial-{trial.number:03}-{run.hash[:8]}"
    assert len({trial.job.hash for trial in study.trials}) == 4


def test_another_declaration_is_refused_and_more_trials_are_not(study, tmp_path):
    more = Study(experiment(), tmp_path, 6)
    more.open()
    assert [trial.job for trial in more.trials[:4]] == [trial.job for trial in study.trials]
    with pytest.raises(ValueError, match=r"holds another search: .*grace: 2 -> 3.*move the folder away"):
        Study(experiment(grace=3), tmp_path).open()
    with pytest.raises(ValueError, match=r"space.mutation.low: 0.001 -> 0.002"):
        Study(experiment(space={**SEARCH.space, "mutation": LogUniform(0.002, 0.5)}), tmp_path).open()


def test_draws_that_cannot_be_are_refused_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match=r"trial 0 .* budget 20 is less than one iteration"):
        Study(experiment(budget=20), tmp_path)


def test_a_stop_is_remembered(study, tmp_path):
    play(study.trials[1], [1, 2, 3, 4])
    study.stop(1, 2)
    again = Study(experiment(), tmp_path)
    again.open()
    assert again.over(again.trials[1]) and again.state(again.trials[1]) == "stopped"
    assert again.last(again.trials[1]) == (2, 2.0), "rows after the decision do not count"
    assert list(again.history()) == [(1, 1, 1.0), (1, 2, 2.0)]
    assert [trial.number for trial in again.trials if not again.over(trial)] == [0, 2, 3]


def test_history_is_row_by_row_and_missing_scores_are_worst(study):
    play(study.trials[0], [1] * 9 + [None], finished=True)
    play(study.trials[2], [5, 6])
    study.stop(2, 1)
    told = list(study.history())
    assert told[:3] == [(0, 1, 1.0), (2, 1, 5.0), (0, 2, 1.0)]
    assert told[-1] == (0, 10, studies.WORST)
    assert study.best() is None, "a run whose score is missing wins nothing"


@pytest.mark.parametrize(("better", "number"), [("higher", 2), ("lower", 0)])
def test_the_best_finished_trial_wins(tmp_path, better, number):
    study = Study(experiment(better=better), tmp_path)
    for trial, last in zip(study.trials, (1, 3, 5, 5), strict=True):
        play(trial, [last] * 10, finished=trial.number != 1)
    study.stop(1, 9)
    assert study.best().number == number


def test_a_metric_that_is_not_there_is_named(study):
    play(study.trials[0], [1])
    with pytest.raises(ValueError, match="its rows have no 'eval/x'; they have eval/return"):
        studies.scores(study.trials[0].job.out, "eval/x", 1)


def test_progress_counts_what_was_over_before(study):
    play(study.trials[0], [1] * 10, finished=True)
    begun = study.progress()
    study.stop(1, 2)
    study.end(2, "ValueError: no")
    study.running.add(3)
    now = study.progress(begun)
    assert [len(x) for x in (now.outcome.skipped, now.outcome.finished, now.outcome.failed, now.running)] == [1] * 4
    assert now.waiting == 0 and now.started == begun.started


# --- the winner --------------------------------------------------------------------------------------


def test_the_winner_is_an_experiment_that_trains(tmp_path):
    from prospect_rl.experiments.run.driver import train_run

    path = tmp_path / "base.py"
    search = f"Search('me', '{ENV}', {{'mutation': LogUniform(.001, .5)}}, 500, tier='gpu')"
    path.write_text(FILE.replace(", TIER)", f", TIER, gpu=TIER, search={search})"))
    study = Study(load(str(path)), tmp_path / "search")
    study.folder.mkdir()
    for trial in study.trials:
        play(trial, [trial.number == 3] * 20, finished=True)
    best, file = write(study)
    assert best.number == 3 and file == study.folder / "toy_file_best.py"
    facts = json.loads((study.folder / "best.json").read_text())
    assert facts["best"]["settings"] == study.search.draw(3) and len(facts["trials"]) == 16
    assert f"run it with: prospect run {file} --tier {study.search.tier}\n" in file.read_text()
    made = load(str(file))
    assert made.name == "toy_file_best" and list(made.smoke.agents) == ["default", "tuned"]
    assert made.repro.agents["tuned"] == replace(made.repro.agents["default"], **study.search.draw(3))
    assert (made.claims[0].left, made.claims[0].right) == ("tuned", "default")
    jobs = plan(made, "smoke", root=tmp_path)
    assert jobs[1].seeds[0] < studies.FIRST_SEED, "no trial has trained with it"
    result = train_run(resolve(jobs[1].payload), out=jobs[1].out)
    assert len(result.rows) == 2 and jobs[1].finished()


def test_where_the_agent_as_it_is_wins_there_is_nothing_to_compare(study):
    for trial in study.trials:
        play(trial, [-trial.number] * 10, finished=True)
    best, file = write(study)
    assert best.number == 0 and file is None and not list(study.folder.glob("*.py"))


def test_winners_of_the_registered_searches_plan_all_tiers():
    for name in SEARCHED:
        base = load(name)
        search = base.search
        made = compare(base, label=search.label, env=search.env, settings=search.draw(1), metric=search.metric)
        assert made.smoke.envs == (search.env,) and all(plan(made, tier) for tier in base.tiers)


def test_a_search_may_be_on_an_agent_that_its_environment_sizes(tmp_path):
    """And on a tier with a second look, and with more seeds on a GPU: none of these are a trial's."""

    def size(spec):
        return {"batch": 50 + spec.obs.size}

    tier = replace(
        TIER, agents={"me": MAPElites(), "other": MAPElites()}, sized={"me": size, "other": size}, seen=3,
        seeds={"me": 4, "other": 5}, gpu_seeds={"other": 9},
    )  # fmt: skip
    base = Experiment("toy", "A toy", "t", "s", tier, tier, tier, search=SEARCH)
    wanted = tier.agent_of("me", ENV)
    assert wanted.batch > 50
    study = Study(base, tmp_path)
    assert [trial.run.agent.batch for trial in study.trials[:2]] == [wanted.batch, SEARCH.draw(1)["batch"]]
    assert list(trials_table(study).columns[1].cells)[0] == str(wanted.batch)
    made = compare(base, label="me", env=ENV, settings={"mutation": 0.2}, metric="eval/return")
    assert made.repro.agents == {"default": wanted, "tuned": replace(wanted, mutation=0.2)}
    assert (made.repro.seen, made.repro.seeds_of("tuned", "gpu")) == (0, 4)


# --- what Tune is told -------------------------------------------------------------------------------


@pytest.fixture
def tuning():
    pytest.importorskip("pyarrow")
    from prospect_rl.experiments.searches import tuning

    return tuning


def tunes(number):
    return SimpleNamespace(trial_id=f"t{number}", config={"trial": json.dumps({"number": number})})


def test_a_stop_is_on_the_disk_before_tune_hears_of_it(study, tuning):
    play(study.trials[0], [5.0] * 10, finished=True)
    play(study.trials[1], [1.0, 1.0])
    study.stop(1, 2)
    judge = tuning.Judge(study, lambda: None)
    judge.on_trial_add(None, tunes(2))
    judge.on_trial_add(None, tunes(3))
    assert judge.on_trial_result(None, tunes(2), {}) == "CONTINUE", "a step without news"
    assert judge.on_trial_result(None, tunes(2), {"row": 1, "score": 0.0}) == "CONTINUE", "grace"
    assert judge.on_trial_result(None, tunes(3), {"row": 2, "score": 6.0}) == "CONTINUE"
    assert judge.on_trial_result(None, tunes(2), {"row": 2, "score": 2.0}) == "STOP", "by what was known before"
    assert json.loads((study.folder / "stopped.json").read_text()) == {"1": 2, "2": 2}
    judge.on_trial_complete(None, tunes(2), {"row": 2, "score": 2.0})
    judge.on_trial_complete(None, tunes(3), {"error": "ValueError: no", "done": True})
    assert study.failed == {3: "ValueError: no"}


class FakeChild:
    """A child whose ends come from a script; rows appear as it goes."""

    def __init__(self, environment, limit):
        self.started, self.ends, self.interrupted = 0, FakeChild.script, False

    def start(self, message):
        self.started += 1

    def wait(self, seconds):
        rows, end = self.ends.pop(0)
        play(FakeChild.trial, rows)
        return end

    def interrupt(self):
        self.interrupted = True

    def close(self):
        pass


def steps_of(tuning, study, monkeypatch, script, count):
    monkeypatch.setattr(tuning, "Child", FakeChild)
    FakeChild.trial, FakeChild.script = study.trials[2], script
    runner = tuning.Runner.__new__(tuning.Runner)  # its __init__ makes folders of Tune's
    message = study.trials[2].job.message
    facts = {"number": 2, "message": message, "limit": None, "metric": "eval/return", "seeds": 1, "evals": 3}
    facts |= {"environment": {}}
    runner.setup({"trial": json.dumps(facts)})
    return runner, [runner.step() for _ in range(count)]


def test_a_runner_reports_rows_as_they_come_and_the_last_one_at_the_end(study, tuning, monkeypatch):
    script = [([], None), ([1, 2], None), ([1, 2, 3], None), ([1, 2, 3], End(None, False))]
    _, said = steps_of(tuning, study, monkeypatch, script, 5)
    one, two, three = ({"row": i, "score": float(i)} for i in (1, 2, 3))
    assert said == [{}, one, two, {}, three | {"done": True}]


def test_a_runner_starts_a_crashed_child_again_and_reports_other_errors(study, tuning, monkeypatch):
    crash = ([], End("killed by SIGKILL", True))
    runner, said = steps_of(tuning, study, monkeypatch, [crash, crash, ([], End("ValueError: no", False))], 3)
    assert said == [{}, {}, {"error": "ValueError: no", "done": True}] and runner._child.started == 3
    _, said = steps_of(tuning, study, monkeypatch, [crash] * 3, 3)
    assert said[-1] == {"error": "killed by SIGKILL", "done": True}


def test_a_missing_extra_is_one_line(monkeypatch, capsys, tmp_path):
    from prospect_rl.experiments.cli import main as cli
    from prospect_rl.experiments.cli import search as command

    (tmp_path / "toy.py").write_text(REAL)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setenv("PROSPECT_RUNS", str(tmp_path))
    monkeypatch.setattr(command, "connect", lambda *_, **__: SimpleNamespace(shutdown=lambda: None))
    monkeypatch.setattr(command, "Ray", lambda *_: SimpleNamespace(gpus=0, share=1.0))
    assert cli.main(["search", str(tmp_path / "toy.py")]) == 2
    assert 'pip install "prospect-rl[search]"' in capsys.readouterr().err


# --- a real one --------------------------------------------------------------------------------------


TRIALS = 4
REAL = FILE.replace(
    ", TIER)",
    ", TIER, search=Search('me', 'point/sparse', {'mutation': LogUniform(0.0005, 0.3)}, 60_000, 'ledger/coverage',"
    f" trials={TRIALS}, evals=10, grace=1, reduction=2, seed=92))",
)


def begin(path, runs):
    command = [sys.executable, "-m", "prospect_rl.experiments", "search", str(path), "--workers", "2"]
    environment = os.environ | {"PROSPECT_RUNS": str(runs)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition, driver, seconds=180):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until and driver.poll() is None, driver.communicate()
        time.sleep(0.1)


def files(folder):
    """The files of trials that are over, with their times."""
    stopped = json.loads((folder / "stopped.json").read_text()) if (folder / "stopped.json").exists() else {}
    over = [p.parent for p in folder.glob("trial-*/seed-1000/result.json")]
    over += [p for p in folder.glob("trial-*/seed-1000") if str(int(p.parent.name.split("-")[1])) in stopped]
    return {p: p.stat().st_mtime_ns for out in over for p in (out / "metrics.jsonl", out / "result.json") if p.exists()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_that_is_interrupted_and_killed_ends_as_if_it_were_not(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "toy.py"
    path.write_text(REAL)
    said, errors = begin(path, tmp_path / "calm").communicate(timeout=300)
    assert "to compare the best trial, " in said, errors

    folder = tmp_path / "rough" / "toy_file" / "search"
    driver = begin(path, tmp_path / "rough")
    wait_for(lambda: [p for p in folder.glob("trial-*/seed-1000/metrics.jsonl") if p.stat().st_size], driver)
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130 and "the same command resumes" in errors
    assert list(folder.glob("trial-*/seed-1000/checkpoints/*/manifest.json"))

    driver = begin(path, tmp_path / "rough")
    wait_for(lambda: files(folder), driver)
    time.sleep(1)
    driver.kill()
    driver.communicate()
    before = files(folder)
    driver = begin(path, tmp_path / "rough")
    rough, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert {p: when for p, when in files(folder).items() if p in before} == before, "nothing is run again"
    assert not (folder / ".tune").exists() and not errors.count("Traceback")

    calm = tmp_path / "calm" / "toy_file" / "search"
    ours, theirs = (json.loads((one / "best.json").read_text())["best"] for one in (folder, calm))
    assert ours == theirs and (folder / "toy_file_best.py").exists()
    for name in ("metrics.jsonl", "report.npz", "result.json"):
        one, other = (next(f.glob(f"{ours['folder']}/*/{name}")).read_bytes() for f in (folder, calm))
        assert one == other, name
    assert rough.splitlines()[-1].startswith("prospect run ")
