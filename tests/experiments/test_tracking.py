"""Dashboards get what metrics.jsonl holds, each row once, however often the run was resumed."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from prospect_rl.experiments.cli import main as cli
from prospect_rl.experiments.run import tracking
from prospect_rl.experiments.run.tracking import TensorBoard, WandB
from tests import toy_runs


def crash(told):
    if told["iteration"] >= 25:
        raise ZeroDivisionError


def told_by(folder):
    """Tag -> [(step, value)] as TensorBoard itself reads a folder."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def expected(folder, tag):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(row["used"], pytest.approx(row[tag])) for row in rows]


def test_figures_of_a_row():
    row = {"seed": 3, "mark": 5, "unit": "steps", "iteration": 1, "used": 7, "eval/return": 1, "learn/loss": None}
    assert tracking.figures(row) == {"eval/return": 1.0}
    assert tracking.figures(row | {"learn/loss": float("inf")}, "seed-3/") == {"seed-3/eval/return": 1.0}


def test_tensorboard_shows_a_resumed_run_as_a_calm_one(fine, tmp_path):
    pytest.importorskip("tensorboardX")
    with pytest.raises(ZeroDivisionError):
        toy_runs.run("batches", tmp_path, callbacks=[TensorBoard()], progress=crash)
    toy_runs.run("batches", tmp_path, callbacks=[TensorBoard()])
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2, "a file a process"
    shown = told_by(tmp_path / "tensorboard")
    counts = {f"data/{name}" for name in ("rows", "episodes", "paid", "paid_last")}
    assert set(shown) == {"eval/return", "eval/length", "eval/success", "learn/loss"} | counts
    assert all(values == expected(tmp_path, tag) for tag, values in shown.items())


def test_several_seeds_are_told_apart(tmp_path):
    pytest.importorskip("tensorboardX")
    toy_runs.run("segments-seeds", None, budget=84, evals=2, callbacks=[TensorBoard(tmp_path)])
    shown = told_by(tmp_path)
    assert {tag.partition("/")[0] for tag in shown} == {"seed-3", "seed-5"}
    assert [step for step, _ in shown["seed-5/eval/return"]] == [42, 84]


def test_wandb_writes_a_folder_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb")

    def refuse(*args, **kwargs):
        raise AssertionError("it asks for the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    result = toy_runs.run("batches", tmp_path / "run", callbacks=[WandB("sparse")])
    (folder,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    (record,) = folder.glob("run-*.wandb")
    data = record.read_bytes()
    assert b"sparse" in data and b"eval/return" in data and b"Cloner test/point" in data
    assert not (tmp_path / "wandb").exists(), "nothing is left where the program was started"
    assert len(result.rows) == 4


class Recorded:
    """Stands for the package wandb."""

    def __init__(self):
        self.logged, self.options, self.finished = [], {}, 0

    def Settings(self, **options):  # noqa: N802 - its name there
        return options

    def init(self, **options):
        self.options = options
        return self

    def log(self, named, step):
        self.logged.append((step, named))

    def finish(self):
        self.finished += 1


def test_wandb_is_told_each_row_once_and_in_order(fine, tmp_path, monkeypatch):
    seen = [Recorded(), Recorded()]
    for package in seen:
        monkeypatch.setattr(tracking, "_package", lambda name, package=package: package)
        try:
            broken = crash if package is seen[0] else None
            result = toy_runs.run("batches", tmp_path, callbacks=[WandB()], progress=broken)
        except ZeroDivisionError:
            continue
    assert [step for step, _ in seen[0].logged] == [50, 100]
    assert [step for step, _ in seen[1].logged] == [50, 100, 150, 200] == [row["used"] for row in result.rows]
    assert seen[1].logged[-1][1] == tracking.figures(result.rows[-1])
    assert [package.finished for package in seen] == [1, 1], "also where the run has failed"
    options = seen[1].options
    assert options["mode"] == "offline" and options["config"]["budget"] == 200
    assert options["group"] == json.loads((tmp_path / "run.json").read_text())["hash"]


@pytest.mark.parametrize(("kind", "package"), [(TensorBoard, "tensorboardX"), (WandB, "wandb")])
def test_a_missing_package_is_one_line(kind, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError) as error:
        kind()
    assert str(error.value) == f'{package} is not installed; install it with: pip install "prospect-rl[track]"'


def test_bad_settings_are_one_line():
    with pytest.raises(ValueError, match="mode must be 'offline' or 'online', not 'dark'"):
        WandB(mode="dark")  # type: ignore[arg-type]


def test_nothing_of_the_extra_is_imported_by_itself():
    code = "import prospect_rl.experiments.run.tracking, prospect_rl.experiments.cli.run, sys; "
    code += "print([m for m in ('wandb', 'tensorboardX', 'tensorboard') if m in sys.modules])"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


# --- the command line --------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PROSPECT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(
        "prospect_rl.experiments.run.machine.enable_compilation_cache", lambda: tmp_path
    )  # the tests have their own
    monkeypatch.chdir(tmp_path)


def run(capsys, *words):
    code = cli.main(list(words))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_track_and_stop_at_on_the_command_line(elsewhere, capsys, tmp_path):
    pytest.importorskip("tensorboardX")
    words = "run random_search point/sparse --budget 200 --evals 4 --population 20 --out here".split()
    stop = ["--stop-at", "eval/length>=0"]
    code, _, err = run(capsys, *words, "--track", "tensorboard", *stop)
    assert code == 0 and "ended early: eval/length reached" in err
    assert len((tmp_path / "here" / "metrics.jsonl").read_text().splitlines()) == 1
    assert run(capsys, "watch", "here", "--gif", "seen.gif")[0] == 0, "what ended early can be looked at"
    code, _, err = run(capsys, *words)
    assert code == 0 and "ended early" not in err
    code, _, err = run(capsys, *words, "--track", "tensorboard")  # a finished run
    assert code == 0
    assert told_by(tmp_path / "here" / "tensorboard")["eval/return"] == expected(tmp_path / "here", "eval/return")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--track", "neptune"], "unknown --track 'neptune'"),
        (["--stop-at", "eval/return"], "must be METRIC>=VALUE or METRIC<=VALUE, not 'eval/return'"),
    ],
)
def test_bad_words_are_one_line(elsewhere, capsys, words, line):
    code, out, err = run(capsys, "run", "random_search", "point/sparse", *words)
    assert (code, out) == (2, "") and err.startswith("prospect: ") and line in err and err.count("\n") == 1
