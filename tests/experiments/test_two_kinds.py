"""A cell that was run on cores and on a GPU: all rows stay, and a verdict or a figure uses one kind of device."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from prospect_rl.agents import PPO, TD3, NoveltySearch
from prospect_rl.experiments.api import REAL, Claim, Experiment, Tier
from prospect_rl.experiments.register import load
from prospect_rl.experiments.reports import kinds, records, report, tables_csv
from prospect_rl.experiments.reports.claims import judge, sides_of
from prospect_rl.experiments.reports.statistics import LEVEL, LEVEL_OF_TWO_LOOKS
from prospect_rl.experiments.sweeps.job import plan, resolve
from prospect_rl.experiments.sweeps.sweep import sweep
from tests.experiments.test_sweep import Fake

ENV = "probe/bandit"
CLAIM = Claim(
    "better", "Left is better.", "ours", "eval/return", ENV, "left", "right", kind="check", scores=REAL
)  # fmt: skip
GENERATOR = np.random.default_rng(0)


def rows_of(label, device, count, mean, env=ENV):
    """Rows of summary.csv of seeds 0, 1, ... on a device."""
    return [
        {"env": env, "label": label, "seed": seed, "versions": f"device {device}; jax 1", "budget": 10,
         "eval/return": mean + float(GENERATOR.normal())}
        for seed in range(count)
    ]  # fmt: skip


CPU = [*rows_of("left", "cpu", 5, 0.0), *rows_of("right", "cpu", 5, 50.0)]
GPU = [*rows_of("left", "H200", 60, 50.0), *rows_of("right", "H200", 40, 0.0)]


def test_a_verdict_has_the_kind_on_which_its_smaller_side_is_larger():
    assert judge(CLAIM, CPU, budget=10).outcome == "FAIL"
    both = judge(CLAIM, [*CPU, *GPU], budget=10)
    assert both.outcome == "PASS" and (both.left.seeds, both.left.devices) == (60, "H200")
    assert both.others == "left on cpu: seeds 0 to 4; right on cpu: seeds 0 to 4"
    one_sided = judge(CLAIM, [*CPU, *GPU[:60], *GPU[60:64]], budget=10)  # 60 and 4 seeds on the GPU: 5 are more
    assert one_sided.outcome == "FAIL" and (one_sided.left.seeds, one_sided.left.devices) == (5, "")
    assert one_sided.others == "left on H200: seeds 0 to 59; right on H200: seeds 0 to 3"


def test_as_many_seeds_on_both_are_those_of_the_cpu():
    verdict = judge(CLAIM, [*GPU[:5], *GPU[60:65], *CPU], budget=10)
    assert verdict.outcome == "FAIL" and verdict.left.devices == ""


def test_sides_on_different_kinds_are_not_compared():
    verdict = judge(CLAIM, [*CPU[:5], *GPU[60:]], budget=10)
    assert verdict.outcome == "NOT RUN" and verdict.words == "its sides ran on different kinds of device"
    assert verdict.others == "left on cpu: seeds 0 to 4" and "No kind of device has seeds of all" in report.why(verdict)
    assert judge(CLAIM, CPU[:5], budget=10).words == ""  # a side that was not run at all


def test_a_claim_about_several_environments_has_one_kind_in_all_of_them():
    other = "point/sparse"
    claim = replace(CLAIM, also=(other,), unit="right", part=0.1)
    here = [*CPU, *rows_of("left", "cpu", 5, 10.0, other), *rows_of("right", "cpu", 5, 20.0, other)]
    more = [*GPU, *rows_of("left", "H200", 40, 90.0, other)]  # right has no seed there on the GPU
    assert [s.devices for s in sides_of(claim, [*here, *more])] == ["", ""]
    sides = sides_of(claim, [*here, *more, *rows_of("right", "H200", 40, 9.0, other)])
    assert [(s.seeds, s.devices) for s in sides] == [(40, "H200")] * 2


def test_the_second_look_is_one_with_more_seeds_than_were_seen():
    tier = Tier({"left": PPO(), "right": PPO()}, (ENV,), seeds=5, budget=10, seen=5, gpu_seeds={"left": 60})
    assert judge(CLAIM, CPU, budget=10, tier=tier).level == LEVEL
    verdict = judge(CLAIM, [*CPU, *GPU], budget=10, tier=tier)
    assert verdict.level == LEVEL_OF_TWO_LOOKS and verdict.left.planned == 60


def test_a_figure_has_the_kind_that_most_agents_have():
    third = rows_of("third", "cpu", 3, 0.0)
    assert kinds.of_figures([*CPU, *GPU]) == {ENV: "gpu"}
    assert kinds.of_figures([*CPU, *GPU, *third]) == {ENV: "cpu"} and len(kinds.shown([*CPU, *GPU, *third])) == 13


# --- plans -------------------------------------------------------------------------------------------


@pytest.fixture
def experiment():
    agents = {"left": PPO(), "right": TD3()}
    tier = Tier(agents, (ENV,), seeds={"left": 3, "right": 4}, budget=1000, evals=2, gpu_seeds={"left": 60})
    return Experiment("synthetic", "T", "t.", "s", tier, tier, tier, (CLAIM,), metrics=("eval/return",))


def test_all_seeds_of_an_agent_are_one_program_on_a_gpu(experiment, tmp_path):
    cores, gpu = (plan(experiment, "repro", root=tmp_path, device=kind) for kind in ("cpu", "gpu"))
    assert [len([job for job in cores if job.label == label]) for label in ("left", "right")] == [3, 4]
    assert [(job.label, job.seeds, job.out.name) for job in gpu] == [
        ("left", tuple(range(60)), "seeds-0-59-gpu"), ("right", tuple(range(4)), "seeds-0-3-gpu"),
    ]  # fmt: skip
    fewer = plan(experiment, "repro", root=tmp_path, device="gpu", seeds=2)
    assert [job.out.name for job in fewer] == ["seeds-0-1-gpu"] * 2
    declared = replace(experiment.repro, gpu_seeds=None, seeds={"left": 60, "right": 4})
    assert plan(replace(experiment, repro=declared), "repro", root=tmp_path, device="gpu")[0].hash == gpu[0].hash


def test_a_worker_finds_the_same_run(tmp_path):
    for job in plan(load("minigrid_exploration"), "repro", root=tmp_path, device="gpu", agents=("ppo",)):
        run = resolve(job.payload)
        run.check(None)
        assert run.hash == job.hash and len(run.seeds) > 1 and run.device == "gpu"


def test_runs_on_cores_do_not_count_on_a_gpu(experiment, tmp_path):
    experiment = replace(experiment, repro=replace(experiment.repro, seeds=1, gpu_seeds=None))
    for job in plan(experiment, "repro", root=tmp_path):
        write_run(job, 1.0)
    jobs, pool = plan(experiment, "repro", root=tmp_path, device="gpu"), Fake({})
    outcome = sweep(jobs, pool)
    assert not outcome.skipped and len(outcome.finished) == 2


# --- tables and page ---------------------------------------------------------------------------------


def write_run(job, value, device="cpu"):
    job.out.mkdir(parents=True)
    rows = [
        {"seed": seed, "mark": mark, "unit": "steps", "iteration": 1, "used": mark, "eval/return": value + seed / 100}
        for mark in (500, 1000) for seed in job.seeds
    ]  # fmt: skip
    (job.out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (job.out / "run.json").write_text(json.dumps({"hash": job.hash, "versions": {"device": device}}))
    (job.out / "timing.jsonl").write_text('{"seconds": 60, "save_seconds": 0, "used": 1000, "date": "2026-01-01"}\n')
    last = [row for row in rows if row["mark"] == 1000]
    (job.out / "result.json").write_text(json.dumps({"finished": True, "hash": job.hash, "digest": "d", "rows": last}))


def run_all(experiment, root, device, **values):
    for job in plan(experiment, "repro", root=root, device=device):
        if job.label in values:
            write_run(job, values[job.label], "cpu" if device == "cpu" else "NVIDIA H200")


def test_the_tables_keep_both_and_the_page_says_which_are_used(experiment, tmp_path):
    run_all(experiment, tmp_path, "cpu", left=1.0, right=2.0)
    out = tmp_path / "out"
    report.report(experiment, "repro", root=tmp_path, out=out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    run_all(experiment, tmp_path / "elsewhere", "gpu", left=4.0, right=3.0)
    made = report.report(experiment, "repro", root=tmp_path / "elsewhere", out=out)  # the first runs are not there
    rows = records.read_summary(out)
    assert [len(kinds.on(rows, kind)) for kind in ("cpu", "gpu")] == [7, 64]
    lines = before["summary.csv"].decode().splitlines()[1:]
    assert set(lines) < set((out / "summary.csv").read_text().splitlines())
    assert made.verdicts[0].outcome == "PASS" and made.verdicts[0].left.planned == 60
    text = (out / "README.md").read_text()
    assert "left: 4.29 (60 of 60, on NVIDIA H200); right: 3.01 (4 of 4, on NVIDIA H200); left out: left on cpu" in text
    assert "64 of 64 seeds finished (7 on a CPU, 64 on a GPU)" in text
    assert (
        "These seeds ran on a GPU, as did those of the figures; those on a CPU are apart:" in text
        and "| finished seeds | 3 | 4 |" in text
    )
    row = next(csv.DictReader((out / "claims.csv").read_text().splitlines()))
    assert row["others"] == "left on cpu: seeds 0 to 2; right on cpu: seeds 0 to 3"
    drawn = records.tables_in(out)
    assert {line["device"] for line in drawn.curves} == {"cpu", "gpu"}
    assert {line["device"] for line in drawn.shown().curves} == {"gpu"}
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    report.report(experiment, "repro", out=out, from_summary=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_the_tables_of_runs_on_cores_name_no_device(experiment, tmp_path):
    run_all(experiment, tmp_path, "cpu", left=1.0, right=2.0)
    report.report(experiment, "repro", root=tmp_path, out=tmp_path / "out")
    assert "device" not in (tmp_path / "out" / "curves.csv").read_text().splitlines()[0]
    assert "others" not in (tmp_path / "out" / "claims.csv").read_text().splitlines()[0]


def test_fewer_seeds_as_one_program_are_reported(experiment, tmp_path):
    """`--seeds N`; a run of more seeds replaces it when it has finished."""
    for job in plan(experiment, "repro", root=tmp_path, device="gpu", seeds=5):
        write_run(job, 1.0, "NVIDIA H200")
    out = report.report(experiment, "repro", root=tmp_path, out=tmp_path / "out").folder
    assert len(records.read_summary(out)) == 5 + 4
    shutil.rmtree(tmp_path / "synthetic")
    run_all(experiment, tmp_path, "gpu", left=2.0)
    report.report(experiment, "repro", root=tmp_path, out=out)
    assert len(records.read_summary(out)) == 60 + 4


def test_archives_of_both_kinds_stay(tmp_path):
    """As one table: those of a CPU under their usual names, those of a GPU with the kind behind."""
    tier = Tier({"left": NoveltySearch()}, ("point/sparse",), seeds=1, budget=1000, evals=2)
    experiment = Experiment("synthetic", "T", "t.", "s", tier, tier, tier, metrics=("eval/return",))
    for kind, value in (("cpu", 0.5), ("gpu", -0.5)):
        (job,) = plan(experiment, "repro", root=tmp_path, device=kind)
        write_run(job, 1.0, "cpu" if kind == "cpu" else "NVIDIA H200")
        np.savez(job.out / "report.npz", descriptor=np.full((2, 2), value, np.float32))
    out = report.report(experiment, "repro", root=tmp_path, out=tmp_path / "out").folder
    found = records.tables_in(out)
    assert set(found.archives) == {"point/sparse|left|descriptor", "point/sparse|left|descriptor|gpu"}
    assert found.shown().archives["point/sparse|left|descriptor"].tolist() == [[0.5, 0.5]] * 2


def test_older_tables_without_a_device_have_that_of_their_seeds(tmp_path):
    head = {"tier": "repro", "hash": "h", "date": "d", "unit": "steps"}
    tables_csv.write_csv(tmp_path / "summary.csv", [head | row for row in [*CPU[:5], *GPU[60:]]], records.HEAD)
    lines = [{"env": ENV, "label": label, "metric": "eval/return", "used": 1} for label in ("left", "right")]
    tables_csv.write_csv(tmp_path / "curves.csv", lines, records.CURVE_HEAD)
    assert [line["device"] for line in records.tables_in(tmp_path).curves] == ["cpu", "gpu"]
