"""Reports from run folders made by hand: golden figures, and the same bytes whatever is written first."""

import csv
import json
import math
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from prospect_rl.agents import NoveltySearch, RandomSearch
from prospect_rl.experiments.api import REAL, Claim, Experiment, Tier
from prospect_rl.experiments.reports import records, report, scores, tables_csv
from prospect_rl.experiments.sweeps.job import plan

ENV = "point/sparse"
COVERAGE = {"novelty": [0.5, 0.6, 0.7], "random": [0.1, 0.2, 0.3]}


def claim(name, metric, **fields):
    given = {"left": "novelty", "right": "random", "kind": "check", "scores": REAL}
    return Claim(name, f"statement {name}", "a figure", metric, ENV, **(given | fields))


@pytest.fixture
def experiment():
    tier = Tier({"novelty": NoveltySearch(), "random": RandomSearch()}, (ENV,), seeds=3, budget=1000, evals=2)
    claims = (
        claim("wider", "ledger/coverage", margin=0.1, paper_budget=5000),
        claim("far wider", "ledger/coverage", margin=0.7),
        claim("climb", "climb", better="lower"),
    )
    return Experiment(
        "synthetic", "A synthetic experiment", "Made by hand.", "nobody", tier, tier, tier, claims,
        derived={"climb": lambda row: (row["ledger/reached_0"] - row["ledger/first_0"]) * (row["env"] == ENV)},
    )  # fmt: skip


@pytest.fixture
def root(experiment, tmp_path):
    for job in plan(experiment, "repro", root=tmp_path / "runs"):
        write_run(job, COVERAGE[job.label][job.seeds[0]])
    return tmp_path / "runs"


def write_run(job, coverage, device=None):
    """A finished run of two marks; area 0 first paid at 100, and at .9 at 400 (seed 0: never)."""
    job.out.mkdir(parents=True)
    seed = job.seeds[0]
    rows = [
        {
            "seed": seed, "mark": mark, "unit": "evaluations", "iteration": i, "used": mark + 7, "eval/return": 0.5 * i,
            "ledger/coverage": coverage * i / 2, "ledger/best_0": 0.95 if seed else None, "ledger/first_0": 100,
            "ledger/reached_0": 400 if seed else -1,
        }
        for i, mark in ((1, 500), (2, 1000))
    ]  # fmt: skip
    (job.out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    versions = {"jax": "1.2", "numpy": "3.4"} | ({"device": device} if device else {})
    (job.out / "run.json").write_text(json.dumps({"hash": job.hash, "versions": versions}))
    timing = {"iteration": 9, "seconds": 80.0, "save_seconds": 10.0, "used": 1000}
    (job.out / "timing.jsonl").write_text(json.dumps(timing) + "\n")
    points = np.linspace(-0.9, 0.9, 8, dtype=np.float32).reshape(4, 2)
    points[3] = np.inf
    arrays = {"descriptor": points, "fitness": np.arange(4.0, dtype=np.float32) / 4, "area": np.array([-1, 0, 1, -1])}
    explored = np.zeros((50, 50), np.int32)
    explored[3, 4] = 70_000
    np.savez(job.out / "report.npz", **arrays, **{"ledger/explored": explored})
    result = {"finished": True, "hash": job.hash, "digest": f"d{seed}", "rows": rows[-1:]}
    (job.out / "result.json").write_text(json.dumps(result))
    os.utime(job.out / "result.json", (1_700_000_000 + seed,) * 2)  # 14 November 2023


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_golden_summary_and_verdicts(experiment, root, tmp_path):
    made = report.report(experiment, "repro", root=root, out=tmp_path / "out")
    rows = list(csv.DictReader((made.folder / "summary.csv").read_text().splitlines()))
    assert len(rows) == 6
    first = next(row for row in rows if (row["label"], row["seed"]) == ("novelty", "0"))
    assert (first["used"], first["wall_minutes"], first["date"]) == ("1007", "1.5", "2023-11-14")
    assert (first["ledger/coverage"], first["ledger/best_0"]) == ("0.5", "0")  # an area that never paid: best 0
    assert (first["ledger/reached_0"], first["climb"]) == ("", "")  # never reached: missing, no -1 in any mean
    assert [v.outcome for v in made.verdicts] == ["PASS", "FAIL", "INCONCLUSIVE"]
    wider, _, climb = made.verdicts
    assert wider.difference == pytest.approx(0.4) and wider.reduced
    assert wider.p == pytest.approx(1 / 20)
    assert (climb.left.missing, climb.left.mean) == (1, 300.0)


def test_readme_says_what_it_must(experiment, root, tmp_path):
    text = (report.report(experiment, "repro", root=root, out=tmp_path / "out").folder / "README.md").read_text()
    for words in (
        "# A synthetic experiment", "Made by hand.", "1,000 evaluations (point/sparse); 6 of 6 seeds finished",
        "`make synthetic TIER=repro`", "2023-11-14; 9 wall minutes", "jax 1.2; numpy 3.4", "**PASS** (reduced)",
        "**FAIL**", "novelty: 0.6 (3 of 3); random: 0.2 (3 of 3)",
        "**FAIL**, better than random, but not by the margin of 0.7", "Welch's t",
        "| check |", "0.4 [0.173, 0.627]", "300 [–, –], 300 (n=2)", "0.6 [0.352, 0.848], 0.6", "curves.png",
        "archive.png",
    ):  # fmt: skip
        assert words in text, words


def test_curves_hold_the_marks(experiment, root, tmp_path):
    folder = report.report(experiment, "repro", root=root, out=tmp_path / "out").folder
    rows = tables_csv.read_csv(folder / "curves.csv")
    mine = [row for row in rows if (row["label"], row["metric"]) == ("novelty", "ledger/coverage")]
    assert [row["used"] for row in mine] == [500, 1000]
    assert [row["mean"] for row in mine] == pytest.approx([0.3, 0.6])
    assert [row["iqm"] for row in mine] == pytest.approx([0.3, 0.6])
    assert mine[1]["low"] == pytest.approx(0.5) and mine[1]["high"] == pytest.approx(0.7)


def test_archive_snapshot_holds_occupied_rows_only(experiment, root, tmp_path):
    folder = report.report(experiment, "repro", root=root, out=tmp_path / "out").folder
    with np.load(folder / "archive.npz") as file:
        assert file[f"{ENV}|random|descriptor"].shape == (3, 2)
        assert file[f"{ENV}|random|explored"][3, 4] == 65535
    assert (folder / "archive.npz").stat().st_size < 300_000


def test_the_same_runs_give_the_same_bytes(experiment, root, tmp_path):
    first = contents(report.report(experiment, "repro", root=root, out=tmp_path / "a").folder)
    assert set(first) == {
        "README.md", "summary.csv", "curves.csv", "claims.csv", "archive.npz", "curves.png", "archive.png",
    }  # fmt: skip
    assert contents(report.report(experiment, "repro", root=root, out=tmp_path / "b").folder) == first
    shutil.rmtree(root)
    for name in ("README.md", "claims.csv", "curves.png", "archive.png"):
        (tmp_path / "b" / name).unlink()
    report.report(experiment, "repro", out=tmp_path / "b", from_summary=True)
    assert contents(tmp_path / "b") == first


def test_partly_run_tiers_are_reported(experiment, root, tmp_path):
    jobs = plan(experiment, "repro", root=root)
    (next(j for j in jobs if j.label == "random").out / "result.json").unlink()
    made = report.report(experiment, "repro", root=root, out=tmp_path / "out")
    assert {v.outcome for v in made.verdicts} == {"NOT RUN"}
    assert "5 of 6 seeds finished" in (made.folder / "README.md").read_text()


def test_runs_of_another_configuration_do_not_count(experiment, root, tmp_path):
    from dataclasses import replace

    longer = replace(experiment, repro=replace(experiment.repro, budget=2000))
    with pytest.raises(ValueError, match="no finished run of synthetic"):
        report.report(longer, "repro", root=root, out=tmp_path / "out")


def test_tables_of_another_tier_are_refused(experiment, root, tmp_path):
    report.report(experiment, "repro", root=root, out=tmp_path / "out")
    with pytest.raises(ValueError, match="contains tier 'repro', not 'paper'"):
        report.report(experiment, "paper", out=tmp_path / "out", from_summary=True)


def test_smoke_reports_stay_with_the_runs(experiment, tmp_path):
    for job in plan(experiment, "smoke", root=tmp_path):
        write_run(job, 0.5)
    assert report.report(experiment, "smoke", root=tmp_path).folder == tmp_path / "synthetic" / "smoke" / "report"


def test_changed_verdicts_are_listed(experiment, root, tmp_path):
    before = [("wider", "PASS"), ("far wider", "PASS"), ("climb", "INCONCLUSIVE")]
    lines = "".join(f"synthetic,{claim},{outcome}\n" for claim, outcome in before) + "other,wider,FAIL\n"
    (tmp_path / report.BEFORE).write_text("experiment,claim,outcome\n" + lines)
    made = report.report(experiment, "repro", root=root, out=tmp_path / "synthetic")
    text = (made.folder / "README.md").read_text().partition("## How verdicts changed")[2].partition("\n## ")[0]
    why = "The 95 % interval (Welch's t; 3 and 3 seeds) is 0.173 to 0.627: it lies below 0.7."
    assert f"| far wider | PASS | FAIL | {why} |" in text
    assert "| wider |" not in text and "| climb |" not in text
    rows = list(csv.DictReader((made.folder / "claims.csv").read_text().splitlines()))
    assert rows[1]["words"] == "better than random, but not by the margin of 0.7" and rows[1]["left_planned"] == "3"


def test_csv_keeps_float32_and_missing_values(tmp_path):
    value = float(np.float32(0.1))
    tables_csv.write_csv(tmp_path / "t.csv", [{"env": "e", "x": value, "y": math.nan}], ("env",))
    (row,) = tables_csv.read_csv(tmp_path / "t.csv")
    assert np.float32(row["x"]) == np.float32(0.1) and math.isnan(row["y"])


def test_a_seed_of_a_run_over_several(tmp_path):
    np.savez(tmp_path / "report.npz", fitness=np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert records.load_report(tmp_path, 1, 2)["fitness"].tolist() == [3.0, 4.0]


def test_cells_that_were_run_elsewhere_are_kept(experiment, root, tmp_path):
    """A half of the runs on one machine, a half on another: the tables are those of all runs on one."""
    whole, out = report.report(experiment, "repro", root=root, out=tmp_path / "whole"), tmp_path / "out"
    jobs = plan(experiment, "repro", root=root)
    for label in ("novelty", "random"):
        half = tmp_path / label
        for job in jobs:
            if job.label == label:
                shutil.copytree(job.out, half / job.out.relative_to(root))
        report.report(experiment, "repro", root=half, out=out)
    assert contents(out) == contents(whole.folder)


def test_cells_of_another_configuration_are_not_kept(experiment, root, tmp_path):
    out = tmp_path / "out"
    report.report(experiment, "repro", root=root, out=out)
    for job in plan(experiment, "repro", root=root):
        if job.label == "random":
            shutil.rmtree(job.out)
    summary = (out / "summary.csv").read_text()
    (out / "summary.csv").write_text(summary.replace(plan(experiment, "repro", root=root)[1].hash, "f" * 12))
    report.report(experiment, "repro", root=root, out=out)
    assert {row["label"] for row in tables_csv.read_csv(out / "summary.csv")} == {"novelty"}


def test_sums_over_tasks(experiment):
    """By hand: (1 + 3) / 2 + (10 + 20) / 2 = 17, t = 12.7 (1 degree), 12.7 * sqrt(1 + 25) = 64.8."""
    hopper = "mujoco/hopper"
    tier = replace(experiment.repro, envs=(hopper, "mujoco/walker2d"), budget=1000)
    summed = replace(experiment, repro=tier, claims=(), sums=("eval/return",))
    returns = {(hopper, "novelty"): (1, 3), ("mujoco/walker2d", "novelty"): (10, 20), (hopper, "random"): (5, 5)}
    rows = [{"env": env, "label": label, "eval/return": float(x)} for (env, label), xs in returns.items() for x in xs]
    table, note = scores.sums_table(summed, "repro", rows)
    assert table.splitlines()[-1] == "| return of an evaluation | 17 [-47.8, 81.8] | – (1 of 2) |"
    assert f"{hopper}, mujoco/walker2d" in note


# --- devices -----------------------------------------------------------------------------------------


def on_gpus(experiment, root, label, models):
    """Finished runs of an agent on GPUs of these models, one per seed."""
    jobs = [job for job in plan(experiment, "repro", root=root, device="gpu") if job.label == label]
    for job, model in zip(jobs, models, strict=False):
        write_run(job, COVERAGE[label][job.seeds[0]], model)


def page_of(experiment, root, tmp_path):
    return (report.report(experiment, "repro", root=root, out=tmp_path / "out").folder / "README.md").read_text()


def test_a_page_of_runs_on_cores_says_nothing_of_devices(experiment, root, tmp_path):
    text = page_of(experiment, root, tmp_path)
    assert "Devices" not in text and "| finished seeds | 3 | 3 |" in text


@pytest.fixture
def apart(monkeypatch):
    """Each seed is a run of its own on a GPU too, so that they may have run on several."""
    monkeypatch.setattr("prospect_rl.experiments.run.seeds.seeds_together", lambda agent, device: False)


def test_a_page_says_which_seeds_ran_where(experiment, root, tmp_path, apart):
    for job in plan(experiment, "repro", root=root):
        if job.label == "novelty":
            shutil.rmtree(job.out)
    on_gpus(experiment, root, "novelty", ["A100", "H200", "H200"])
    for job in plan(experiment, "repro", root=root):
        if job.label == "random":
            shutil.rmtree(job.out)
    on_gpus(experiment, root, "random", ["H200"] * 3)
    text = page_of(experiment, root, tmp_path)
    assert "| finished seeds | 3 (A100: seed 0; H200: seeds 1, 2) | 3 (H200) |" in text
    assert "novelty: 0.6 (3 of 3, on A100: seed 0; H200: seeds 1, 2); random: 0.2 (3 of 3, on H200" in text
    assert "- Devices: " in text
