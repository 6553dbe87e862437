"""Sweeps: the plan, the loop over a pool that is made up, and both real ways of running."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from prospect_rl.experiments import Run
from prospect_rl.experiments.run.member import NOT_FINITE
from prospect_rl.experiments.sweeps import job as jobs_of
from prospect_rl.experiments.sweeps import work as worker
from prospect_rl.experiments.sweeps.job import Job
from prospect_rl.experiments.sweeps.sweep import Progress, sweep
from tests import toy_agents, toy_envs

ROOT = Path(__file__).parents[2]


def job(tmp_path, seed):
    return Job({}, tmp_path / f"seed-{seed}", "e", "a", (seed,), budget=100, hash=f"h{seed}")


def finish(one, **fields):
    one.out.mkdir(parents=True, exist_ok=True)
    (one.out / "result.json").write_text(json.dumps({"finished": True, "hash": one.hash, **fields}))


class Fake:
    """A pool whose jobs end at once, with outcomes from a script: seed -> list of (error, crashed)."""

    def __init__(self, script, capacity=2):
        self.script, self.most, self.running, self.started, self.stopped = script, capacity, [], [], False

    def room(self, device="cpu"):
        return len(self.running) < self.most

    def start(self, job, message):
        assert len(self.running) < self.most
        self.running.append(job)
        self.started.append(message)

    def wait(self, seconds):
        one = self.running.pop()
        what = self.script.get(one.seeds[0], [(None, False)]).pop(0)
        if what is KeyboardInterrupt:
            self.running.append(one)
            raise KeyboardInterrupt
        return [(one, *what)]

    def interrupt(self):
        self.stopped, self.running = True, []


def test_finished_runs_are_skipped_by_hash(tmp_path):
    jobs = [job(tmp_path, seed) for seed in range(3)]
    finish(jobs[0])
    finish(jobs[1], hash="another configuration")
    pool = Fake({})
    outcome = sweep(jobs, pool)
    assert (outcome.skipped, outcome.finished, outcome.failed) == ([jobs[0]], jobs[1:], [])
    assert [message["out"] for message in pool.started] == [str(one.out) for one in jobs[1:]]


class Finishing(Fake):
    """Jobs that leave a result behind."""

    def wait(self, seconds):
        for one, error, crashed in super().wait(seconds):
            if error is None:
                finish(one, rows=[1])
            return [(one, error, crashed)]


def test_one_configuration_under_two_labels_is_run_once(tmp_path):
    jobs = [job(tmp_path, 0), job(tmp_path, 1)]
    twins = [replace(one, out=tmp_path / "other" / one.out.name, label="b") for one in jobs]
    pool = Finishing({1: [("ValueError: no", False)]})
    outcome = sweep([*jobs, *twins], pool)
    assert len(pool.started) == 2 and outcome.finished == [jobs[0], twins[0]]
    assert outcome.failed == [(jobs[1], "ValueError: no"), (twins[1], "ValueError: no")]
    assert (twins[0].out / "result.json").read_text() == (jobs[0].out / "result.json").read_text()
    late, pool = replace(jobs[0], out=tmp_path / "third" / "seed-0"), Finishing({})
    assert sweep([*jobs[:1], late], pool).finished == [late] and not pool.started and late.finished()


def test_a_twin_that_has_begun_goes_on_by_itself(tmp_path):
    one = job(tmp_path, 0)
    begun = replace(one, out=tmp_path / "other", label="b")
    begun.out.mkdir()
    pool = Finishing({0: [(None, False)] * 2})
    assert sweep([one, begun], pool).finished == [one, begun] and len(pool.started) == 2


def test_failures_are_listed_and_the_others_go_on(tmp_path):
    jobs = [job(tmp_path, seed) for seed in range(4)]
    outcome = sweep(jobs, Fake({1: [("ValueError: no", False)]}))
    assert outcome.failed == [(jobs[1], "ValueError: no")]
    assert outcome.finished == [jobs[0], jobs[2], jobs[3]]


def test_a_crash_is_tried_again_but_not_for_ever(tmp_path):
    jobs = [job(tmp_path, seed) for seed in range(2)]
    crash = ("killed by SIGKILL", True)
    pool = Fake({0: [crash, (None, False)], 1: [crash] * 3})
    outcome = sweep(jobs, pool)
    assert outcome.finished == [jobs[0]]
    assert outcome.failed == [(jobs[1], "killed by SIGKILL")]
    assert len(pool.started) == 2 + 3


def test_an_interrupt_stops_the_running_ones_and_goes_upwards(tmp_path):
    pool = Fake({0: [KeyboardInterrupt]}, capacity=1)
    with pytest.raises(KeyboardInterrupt):
        sweep([job(tmp_path, 0), job(tmp_path, 1)], pool)
    assert pool.stopped and len(pool.started) == 1


def test_progress_counts_budgets(tmp_path):
    jobs = [job(tmp_path, seed) for seed in range(4)]
    jobs[0].out.mkdir()
    (jobs[0].out / "timing.jsonl").write_text('{"used": 20}\n{"used": 30}\n{"used": 4')  # the last is being written
    now = Progress(4, jobs_of.Outcome(), running=(jobs[0], jobs[1]), waiting=1)
    assert jobs[0].progress() == 0.5
    assert now.share == (1 + 0.5 + 0) / 4


def test_a_run_in_a_sweep_keeps_its_notices(tmp_path, monkeypatch):
    broken = Run(toy_agents.Evolver(), toy_envs.Point(broken=-0.5), budget=20, evals=1)
    monkeypatch.setattr(worker, "resolve", lambda message: broken)
    monkeypatch.setattr("prospect_rl.experiments.run.machine.enable_compilation_cache", lambda: None)
    for _ in range(2):  # the second time it has finished
        worker.work({"out": str(tmp_path)})
        assert jobs_of.notices(tmp_path) == [NOT_FINITE]


def test_plan_is_sorted_and_complete(tmp_path):
    from prospect_rl.agents import NoveltySearch, RandomSearch
    from prospect_rl.experiments.api import Experiment, Tier

    tier = Tier({"b": RandomSearch(), "a": NoveltySearch()}, ("point/sparse",), seeds={"b": 2, "a": 1}, budget=500)
    experiment = Experiment("x", "t", "t", "s", tier, tier, tier)
    jobs = jobs_of.plan(experiment, "smoke", root=tmp_path)
    assert [(one.label, one.seeds) for one in jobs] == [("b", (0,)), ("a", (0,)), ("b", (1,))]
    assert jobs[1].out == tmp_path / "x" / "smoke" / "point-sparse" / "a" / "seed-0"
    assert len({one.hash for one in jobs}) == 3
    assert [one.label for one in jobs_of.plan(experiment, "smoke", root=tmp_path, agents=["a"])] == ["a"]
    assert len(jobs_of.plan(experiment, "smoke", root=tmp_path, seeds=1)) == 2
    with pytest.raises(ValueError, match="unknown agent 'c'"):
        jobs_of.plan(experiment, "smoke", root=tmp_path, agents=["c"])


def test_data_may_depend_on_the_seed(tmp_path):
    from prospect_rl.agents import BC
    from prospect_rl.experiments.api import Data, Experiment, Tier

    data = {"each": lambda seed: Data("maze2d/umaze/waypoints", {"subset_seed": seed}), "maze2d/umaze": Data("all")}
    tier = Tier({"each": BC(), "one": BC()}, ("maze2d/umaze",), seeds=2, budget=100, datasets=data)
    jobs = jobs_of.plan(Experiment("x", "t", "t", "s", tier, tier, tier), "smoke", root=tmp_path)
    assert [(one.label, one.seeds) for one in jobs] == [("each", (0,)), ("one", (0, 1)), ("each", (1,))]
    runs = [jobs_of.cell(tier, one.label, one.env, one.seeds) for one in jobs]
    assert [dict(run.dataset.fields) for run in runs] == [{"subset_seed": 0}, {}, {"subset_seed": 1}]
    with pytest.raises(ValueError, match="each has separate data for each seed"):
        jobs_of.cell(tier, "each", "maze2d/umaze", (0, 1))


def test_the_driver_of_a_sweep_imports_no_jax():
    code = "import sys, prospect_rl.experiments.sweeps.sweep, prospect_rl.experiments.cli.main\n"
    code += "print([m for m in ('jax', 'ray') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SCRIPT = """
import sys
from pathlib import Path
from prospect_rl.experiments.sweeps.job import make_job
from prospect_rl.experiments.sweeps.sweep import sweep
from prospect_rl.experiments.sweeps.workers import pool

with pool(int(sys.argv[1])) as workers:
    assert "jax" not in sys.modules
    root = Path(sys.argv[2])
    base = {"agent": "random_search", "fields": {"population": 50}, "env": "point/sparse", "env_fields": {},
            "budget": 100, "evals": 2, "eval_episodes": 1}
    jobs = [make_job(base | {"seeds": [seed]}, root / f"seed-{seed}") for seed in range(2)]
    jobs.append(make_job(base | {"seeds": [0], "env": "probe/bandit"}, root / "bad"))
    outcome = sweep(jobs, workers)
    for job in outcome.finished:
        print("finished", job.out.name)
    for job, error in outcome.failed:
        print("failed", job.out.name, error)
"""


def sweep_in_a_process(workers, root):
    command = [sys.executable, "-c", SCRIPT, str(workers), str(root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def check(lines, root):
    assert lines[:2] == ["finished seed-0", "finished seed-1"]
    assert lines[2].startswith("failed bad ValueError: RandomSearch does not fit probe/bandit")
    assert "Traceback" in (root / "bad" / "error.txt").read_text()


@pytest.mark.slow
def test_serial_and_ray_write_the_same_bytes(tmp_path):
    for name, workers in (("serial", 1), ("ray", 2)):
        check(sweep_in_a_process(workers, tmp_path / name), tmp_path / name)
    for seed in range(2):
        for name in ("metrics.jsonl", "report.npz", "result.json"):
            one, other = (tmp_path / way / f"seed-{seed}" / name for way in ("serial", "ray"))
            assert one.read_bytes() == other.read_bytes(), name


def test_a_failing_run_is_listed_by_the_serial_pool(tmp_path):
    from prospect_rl.experiments.sweeps.workers import Serial

    bad = Job(
        {"agent": "nobody", "fields": {}, "seeds": [0]}, tmp_path / "bad", "e", "nobody", (0,), budget=1, hash="h"
    )
    outcome = sweep([bad], Serial())
    assert len(outcome.failed) == 1 and "unknown agent 'nobody'" in outcome.failed[0][1]
