"""Disks that lose, alter or refuse bytes: a run goes on to the same bits or says in one line which file is at fault."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from prospect_rl.experiments.cli import main as cli
from prospect_rl.experiments.reports import records
from prospect_rl.experiments.run import checkpoint, durable, machine
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.sweeps.job import Job
from tests import toy_runs
from tests.crashes import CrashError, crash_at, save_always

ENDED = ("run.json", "metrics.jsonl", "report.npz", "result.json")


@pytest.fixture
def fine(fine, monkeypatch):
    """A checkpoint after every iteration, and nothing else that writes."""
    monkeypatch.setattr("prospect_rl.experiments.run.lock.BEAT", 600.0)  # the lock's own thread writes too


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calm")
    toy_runs.run("batches", folder)
    return folder


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was killed at iteration 30 of 40, after three of its four rows."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        save_always(patch)
        with pytest.raises(CrashError):
            toy_runs.run("batches", folder, progress=crash_at([30]))
    return folder


def ended(folder):
    return {name: (folder / name).read_bytes() for name in ENDED}


# --- how a file can be hurt --------------------------------------------------------------------------


def empty(path):
    path.write_bytes(b"")


def half(path):
    os.truncate(path, path.stat().st_size // 2)


def garble(path):
    """Some bytes near the beginning become such as no text has."""
    with path.open("rb+") as f:
        f.seek(5)
        f.write(b"\xff\x00\xfe")


def listed(path):
    path.write_text("[]")


def lose(path):
    path.unlink()


def a_list_for_a_row(path):
    first, rest = path.read_text().split("\n", 1)
    path.write_text("[" + "1," * ((len(first) - 3) // 2) + "1".ljust(2 - len(first) % 2, " ") + "]\n" + rest)


def newest(name):
    return lambda folder: checkpoint.steps(folder / "checkpoints")[-1] / name


def at(name):
    return lambda folder: folder / name


STATE, MANIFEST = newest(checkpoint.STATE), newest(checkpoint.MANIFEST)
GOES_ON = {
    "a row of times is cut": (at("timing.jsonl"), half, 0),
    "times are no text": (at("timing.jsonl"), garble, 0),
    "times are lost": (at("timing.jsonl"), lose, 0),
    "run.json is lost": (at("run.json"), lose, 0),
    "a lock is no text": (at("lock.json"), lambda path: path.write_bytes(b"\xff"), 0),
    "a lock is a list": (at("lock.json"), listed, 0),
    "the newest state is empty": (STATE, empty, 1),
    "the newest state has another head": (STATE, garble, 1),
    "the newest manifest is empty": (MANIFEST, empty, 1),
    "the newest manifest is no text": (MANIFEST, garble, 1),
    "the newest manifest is a list": (MANIFEST, listed, 1),
}


@pytest.mark.parametrize("case", GOES_ON)
def test_what_can_be_spared_costs_no_bits(case, calm, stopped, tmp_path, monkeypatch):
    monkeypatch.setattr("prospect_rl.experiments.run.lock.EXPIRY", 0.0)
    where, harm, notices = GOES_ON[case]
    folder = shutil.copytree(stopped, tmp_path / "run")
    harm(where(folder))
    result = toy_runs.run("batches", folder)
    assert ended(folder) == ended(calm) and len(result.notices) == notices
    for line in (folder / "timing.jsonl").read_bytes().splitlines()[1:]:
        assert "seconds" in json.loads(line), "rows written after the harm are whole"


REFUSED = {
    "run.json is empty": ("run.json", empty, "run.json is not readable"),
    "run.json is cut": ("run.json", half, "run.json is not readable"),
    "run.json is no text": ("run.json", garble, "run.json is not readable"),
    "run.json is a list": ("run.json", listed, "run.json is not readable"),
    "a row is no text": ("metrics.jsonl", garble, "metrics.jsonl is not readable in line 1"),
    "a row is a list": ("metrics.jsonl", a_list_for_a_row, "metrics.jsonl is not readable in line 1"),
    "rows are cut": ("metrics.jsonl", half, "rows are lost"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_spared_is_named(case, stopped, tmp_path):
    name, harm, said = REFUSED[case]
    folder = shutil.copytree(stopped, tmp_path / "run")
    harm(folder / name)
    before = (folder / name).read_bytes()
    with pytest.raises(ValueError) as error:
        toy_runs.run("batches", folder)
    assert said in str(error.value) and str(folder) in str(error.value) and "\n" not in str(error.value)
    assert (folder / name).read_bytes() == before, "nothing is made worse"


@pytest.mark.parametrize("harm", [empty, half, garble, listed, lambda path: path.write_text("{}")])
def test_a_damaged_result_is_written_anew_once_it_is_removed(harm, calm, tmp_path):
    folder = shutil.copytree(calm, tmp_path / "run")
    harm(folder / "result.json")
    with pytest.raises(ValueError, match=r"result\.json is not readable; delete it, and the same run rewrites it"):
        toy_runs.run("batches", folder)
    lose(folder / "result.json")
    toy_runs.run("batches", folder)
    assert ended(folder) == ended(calm)


def last_line(path):
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def half_a_line(path):
    os.truncate(path, path.stat().st_size - 20)


@pytest.mark.parametrize("harm", [last_line, half_a_line])
def test_the_last_row_of_a_finished_run_is_written_anew(harm, calm, tmp_path):
    folder = shutil.copytree(calm, tmp_path / "run")
    harm(folder / "metrics.jsonl")
    result = toy_runs.run("batches", folder)
    said = f"the last rows of {folder / 'metrics.jsonl'} were lost and have been restored from result.json"
    assert result.notices == [said] and ended(folder) == ended(calm)


def test_more_rows_of_a_finished_run_are_lost_and_the_way_out_is_said(calm, tmp_path):
    folder = shutil.copytree(calm, tmp_path / "run")
    for _ in range(2):
        last_line(folder / "metrics.jsonl")
    with pytest.raises(ValueError, match=f"rows are lost; move {folder} away to start the run again"):
        toy_runs.run("batches", folder)
    folder.rename(tmp_path / "away")
    toy_runs.run("batches", folder)
    assert ended(folder) == ended(calm)


# --- what a report reads -----------------------------------------------------------------------------


def job_of(folder):
    return Job({}, folder, "test/point", "bc", (3,), 200, json.loads((folder / "run.json").read_text())["hash"])


def another_number(path):
    *rows, last = path.read_text().splitlines()
    path.write_text("\n".join([*rows, json.dumps(json.loads(last) | {"eval/return": 7.0})]) + "\n")


LOST = r"metrics\.jsonl has lost the last row of seed 3; result\.json has it"


@pytest.mark.parametrize(
    ("harm", "said"),
    [(last_line, LOST), (half_a_line, LOST), (another_number, r"metrics\.jsonl contradicts result\.json in line 4")],
)
def test_what_the_result_holds_wins_and_a_contradiction_is_told(harm, said, calm, tmp_path):
    (before,) = records.read([job_of(calm)], "smoke")
    folder = shutil.copytree(calm, tmp_path / "run")
    harm(folder / "metrics.jsonl")
    with pytest.warns(UserWarning, match=said):
        (record,) = records.read([job_of(folder)], "smoke")
    assert record.rows == before.rows and record.head == before.head


def test_a_finished_run_without_rows_is_named_with_the_way_out(calm, tmp_path):
    folder = shutil.copytree(calm, tmp_path / "run")
    empty(folder / "metrics.jsonl")
    with pytest.raises(
        ValueError, match=rf"metrics\.jsonl has no row of seed 3, .*; move {folder} away and run it again"
    ):
        records.read([job_of(folder)], "smoke")


def test_a_copied_run_keeps_its_date(calm, tmp_path):
    folder = shutil.copytree(calm, tmp_path / "run")
    os.utime(folder / "result.json", (0, 0))
    (record,) = records.read([job_of(folder)], "smoke")
    rows = (folder / "timing.jsonl").read_text().splitlines()
    assert record.head["date"] == json.loads(rows[-1])["date"] > "2020"
    (folder / "timing.jsonl").write_text(
        "".join(line.replace("date", "day") + "\n" for line in rows)
    )  # an older version
    assert records.read([job_of(folder)], "smoke")[0].head["date"] == "1970-01-01"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no row in line 2"),
        ("tier,env,used\n", "has no row in line 2"),
        ("tier,env,used\nrepro,a,1\nrepro,b,many\n", "has no number under used in line 3: 'many'"),
        ("tier,env,used\nrepro,a\n", "has a different number of cells in line 2 than in its header"),
        ("tier,env,used\nrepro,a,1,2\n", "has a different number of cells in line 2 than in its header"),
        ('tier,env,used\nrepro,"a,1\n', "is not readable: unexpected end of data"),
        ("tier,env,used\nrepro,\xff,1\n", "is not readable: 'utf-8' codec can't decode"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(text, said, tmp_path):
    (tmp_path / "summary.csv").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError) as error:
        records.tables_in(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'summary.csv'} {said}")


@pytest.mark.parametrize("name", ["run.json", "result.json", "metrics.jsonl", "timing.jsonl"])
def test_a_report_names_the_file_that_it_cannot_read(name, calm, tmp_path):
    folder = shutil.copytree(calm, tmp_path / "run")
    job = job_of(folder)
    garble(folder / name)
    if name == "result.json":
        assert records.read([job], "smoke") == [], "it has not finished"
        return
    with pytest.raises(ValueError) as error:
        records.read([job], "smoke")
    assert f"{folder / name} is not readable" in str(error.value)


def flip(path):
    data = bytearray(path.read_bytes())
    data[data.index(b"\x93NUMPY") + 200] ^= 1  # in the numbers, behind the head
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [empty, half, flip, lambda path: path.write_bytes(b"PK\x03\x04 no archive")])
def test_a_damaged_archive_is_named(harm, tmp_path):
    folder = Folder(tmp_path)
    folder.finish({"genome": np.arange(100.0)}, {"finished": True, "hash": "abc"})
    np.testing.assert_array_equal(records.load_report(tmp_path)["genome"], np.arange(100.0))
    harm(tmp_path / "report.npz")
    with pytest.raises(ValueError, match=r"report\.npz is not readable"):
        records.load_report(tmp_path)


# --- a disk that is full -----------------------------------------------------------------------------


class Disk:
    """After so many operations there is no space left: what is written then is half there."""

    def __init__(self, patch, room):
        self.room, self.used = room, 0
        fsync, write_bytes, write_text, save = os.fsync, Path.write_bytes, Path.write_text, checkpoint.save_file
        patch.setattr(os, "fsync", lambda file: self.take() or fsync(file))
        patch.setattr(Path, "write_bytes", lambda path, data: self.take(path, data) or write_bytes(path, data))
        patch.setattr(Path, "write_text", lambda path, text: self.take(path, text.encode()) or write_text(path, text))
        patch.setattr(checkpoint, "save_file", lambda named, path: self.take(path, b"half") or save(named, path))

    def take(self, path=None, data=b""):
        self.used += 1
        if self.used > self.room:
            if path:
                with path.open("wb") as f:
                    f.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder):
    """Files but for checkpoints, whose number depends on how often a run was stopped."""
    return sorted(path.name for path in folder.iterdir())


def test_a_full_disk_stops_the_run_and_space_lets_it_go_on(fine, tmp_path):
    short = {"budget": 40, "evals": 2}
    with pytest.MonkeyPatch.context() as patch:
        whole = Disk(patch, 10**9)
        toy_runs.run("batches", tmp_path / "calm", **short)
    assert whole.used > 40
    for room in (1, 3, 12, whole.used // 2, whole.used - 1):
        folder = tmp_path / str(room)
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, room)
            with pytest.raises(OSError, match="No space left on device"):
                toy_runs.run("batches", folder, **short)
        assert not (folder / "lock.json").exists(), "the next start finds nobody in the way"
        result = toy_runs.run("batches", folder, **short)
        assert not result.notices, "a checkpoint is whole or absent"
        assert ended(folder) == ended(tmp_path / "calm")
        assert names(folder) == names(tmp_path / "calm"), "nothing half written is left"


def test_a_file_that_did_not_fit_leaves_the_old_one(tmp_path):
    durable.write(tmp_path / "a", b"old")
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, 0)
        with pytest.raises(OSError, match="No space left"):
            durable.write(tmp_path / "a", b"new contents")
    assert (tmp_path / "a").read_bytes() == b"old" and names(tmp_path) == ["a"]


# --- a folder that cannot be written to --------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PROSPECT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")


@pytest.mark.parametrize("place", ["/sys/prospect", "file", "file/below"])
@pytest.mark.parametrize("what", ["--out", "PROSPECT_RUNS", "PROSPECT_CACHE"])
def test_a_place_that_cannot_be_written_to_is_one_line(what, place, elsewhere, capsys, monkeypatch, tmp_path):
    if place.startswith("/sys") and not Path("/sys").is_dir():
        pytest.skip("this system has no /sys, which nobody may write to")
    place = str(tmp_path / place)  # "/sys/..." stays as it is
    words = ["run", "random_search", "point/sparse", "--budget", "200"]
    if what != "PROSPECT_CACHE":
        monkeypatch.setattr(machine, "enable_compilation_cache", lambda: None)  # the tests have their own
    if what == "--out":
        words += ["--out", place]
    else:
        monkeypatch.setenv(what, place)
    code = cli.main(words)
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.startswith(f"prospect: {place}") and "cannot be written to: " in said.err
    assert said.err.count("\n") == 1
