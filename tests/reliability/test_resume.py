"""A run that is stopped in any way and started again ends with the bits of one that was not."""

import errno
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prospect_rl.experiments.run import checkpoint
from prospect_rl.experiments.run.callbacks import SaveBest, best_folder
from prospect_rl.experiments.run.lock import EXPIRY, Busy, Lock, namespace, owner_alive, started, this_process
from tests import toy_runs
from tests.crashes import CrashError, crash_at, start, wait_for_checkpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    known = {}

    def result(case):
        if case not in known:
            folder = tmp_path_factory.mktemp(case)
            known[case] = toy_runs.run(case, folder).digest, (folder / "metrics.jsonl").read_bytes()
        return known[case]

    return result


def end(folder, digest):
    return digest, (folder / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("case", (*toy_runs.CASES, *toy_runs.MORE))
def test_resumed_equals_uninterrupted(case, calm, fine, tmp_path):
    # After 13 segments of seven steps episodes of ten are under way; after 29 generations the climbing phase is next.
    progress = crash_at([13, 29])
    for _ in range(2):
        with pytest.raises(CrashError):
            toy_runs.run(case, tmp_path, progress=progress)
    result = toy_runs.run(case, tmp_path, progress=progress)
    assert end(tmp_path, result.digest) == calm(case)
    assert not result.interrupted and [r["mark"] for r in result.rows] == sorted(r["mark"] for r in result.rows)


def test_rows_after_the_checkpoint_are_written_again_and_not_twice(calm, fine, tmp_path, monkeypatch):
    with pytest.raises(CrashError):
        toy_runs.run("batches", tmp_path, progress=crash_at([30]))
    with (tmp_path / "metrics.jsonl").open("a") as f:  # killed after the row and before the checkpoint, mid-line
        f.write('{"seed": 3, "mark": 200}\n{"seed"')
    result = toy_runs.run("batches", tmp_path)
    assert end(tmp_path, result.digest) == calm("batches")


def test_lost_rows_are_an_error(fine, tmp_path):
    with pytest.raises(CrashError):
        toy_runs.run("batches", tmp_path, progress=crash_at([30]))
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match="rows are lost"):
        toy_runs.run("batches", tmp_path)


def test_a_damaged_checkpoint_costs_time_and_no_bits(calm, fine, tmp_path):
    with pytest.raises(CrashError):
        toy_runs.run("segments", tmp_path, progress=crash_at([40]))
    last = checkpoint.steps(tmp_path / "checkpoints")[-1]
    os.truncate(last / checkpoint.STATE, 99)
    result = toy_runs.run("segments", tmp_path)
    assert end(tmp_path, result.digest) == calm("segments")
    assert len(result.notices) == 1 and f"skipped checkpoint {last}" in result.notices[0]


def test_all_checkpoints_damaged_is_no_fresh_start(fine, tmp_path):
    with pytest.raises(CrashError):
        toy_runs.run("batches", tmp_path, progress=crash_at([30]))
    for path in checkpoint.steps(tmp_path / "checkpoints"):
        (path / checkpoint.STATE).unlink()
    with pytest.raises(ValueError, match="checkpoints in .* are damaged"):
        toy_runs.run("batches", tmp_path)


def test_other_versions_are_said(calm, tmp_path):
    toy_runs.run("batches", tmp_path)
    facts = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(facts | {"threads": 64}))
    notices = toy_runs.run("batches", tmp_path).notices
    assert notices == ["the bits may differ from an uninterrupted run: threads: 64 -> 1"]


# --- a larger budget ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["rollouts", "segments-seeds", "batches"])
def test_a_run_that_goes_on_to_a_larger_budget_is_the_run_to_it(case, calm, tmp_path):
    half = -(-toy_runs.CASES[case][1] // 2)
    toy_runs.run(case, tmp_path, budget=half, evals=2, callbacks=[SaveBest("eval/length")])
    result = toy_runs.run(case, tmp_path)
    assert result.notices == [f"continues a run to budget {half}"]
    assert end(tmp_path, result.digest) == calm(case)
    facts, ended = (json.loads((tmp_path / name).read_text()) for name in ("run.json", "result.json"))
    assert [(x["budget"], x["evals"]) for x in facts["extends"]] == [(half, 2)] and facts["hash"] == ended["hash"]
    for folder in (tmp_path / "checkpoints", best_folder(tmp_path, "eval/length")):
        assert checkpoint.last(folder, facts["hash"]), "what was kept is the new run's too"


def test_rows_at_other_marks_stay_and_the_agent_is_the_same(calm, tmp_path):
    toy_runs.run("batches", tmp_path, budget=80, evals=4)
    result = toy_runs.run("batches", tmp_path)
    assert result.notices == [
        "continues a run to budget 80, whose rows are kept: a single run to 200 has other marks (the agent is the same)"
    ]
    digest, rows = calm("batches")
    assert result.digest == digest and [row["mark"] for row in result.rows] == [20, 40, 60, 80, 100, 150, 200]
    assert (tmp_path / "metrics.jsonl").read_bytes().endswith(rows.split(b"\n", 1)[1]), "the rows after it are the same"


def test_a_larger_budget_that_is_used_already_has_its_last_row_too(tmp_path):
    toy_runs.run("segments", tmp_path, budget=22, evals=1)  # an iteration takes 21
    result = toy_runs.run("segments", tmp_path, budget=40, evals=2)
    assert [(row["mark"], row["used"]) for row in result.rows] == [(22, 42), (40, 42)]
    assert toy_runs.run("segments", tmp_path, budget=40, evals=2).rows == result.rows


def test_a_run_killed_while_it_goes_on_loses_nothing(calm, fine, tmp_path):
    toy_runs.run("batches", tmp_path, budget=100, evals=2)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(CrashError):

        def crash(*_):
            raise CrashError

        patch.setattr(checkpoint, "reassign", crash)  # run.json is written, the checkpoints still lag behind
        toy_runs.run("batches", tmp_path)
    with pytest.raises(CrashError):
        toy_runs.run("batches", tmp_path, progress=crash_at([30]))
    result = toy_runs.run("batches", tmp_path)
    assert end(tmp_path, result.digest) == calm("batches")


def test_what_is_no_larger_budget_is_refused_in_one_line(calm, tmp_path):
    toy_runs.run("batches", tmp_path)
    before = end(tmp_path, (tmp_path / "result.json").read_bytes())
    for options, said in [
        ({"budget": 100}, "contains a run to budget 200, which cannot be reduced to 100: choose another folder"),
        ({"evals": 8}, "another configuration: evals: 4 -> 8"),
        ({"budget": 400, "eval_episodes": 3}, "another configuration: budget: 200 -> 400, eval_episodes: 2 -> 3"),
    ]:
        with pytest.raises(ValueError, match=said):
            toy_runs.run("batches", tmp_path, **options)
    assert end(tmp_path, (tmp_path / "result.json").read_bytes()) == before


# --- processes ---------------------------------------------------------------------------------------


def kill_often(case, folder, kills, seed):
    chance, reached = random.Random(seed), 0
    for kill in range(kills):
        process = start(case, folder)
        reached = wait_for_checkpoint(process, folder, reached)
        if reached is None:
            assert kill >= 3, "the run was over before it was killed"
            break
        time.sleep(chance.uniform(0, 0.2))
        process.kill()
        process.communicate()
    process = start(case, folder, pause=0)
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    return end(folder, out)


def test_killed_three_times_and_none_the_worse(calm, tmp_path):
    assert kill_often("segments", tmp_path, 3, seed=1) == calm("segments")


@pytest.mark.slow
@pytest.mark.parametrize("case", toy_runs.CASES)
def test_killed_ten_times_and_none_the_worse(case, calm, tmp_path):
    assert kill_often(case, tmp_path, 10, seed=2) == calm(case)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_exits_with_130(number, calm, tmp_path):
    process = start("batches", tmp_path, pause=0.05)
    reached = wait_for_checkpoint(process, tmp_path, 3)
    asked = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert time.monotonic() - asked < 15
    assert int(checkpoint.steps(tmp_path / "checkpoints")[-1].name) >= reached
    assert not (tmp_path / "lock.json").exists() and not (tmp_path / "result.json").exists()
    result = toy_runs.run("batches", tmp_path)
    assert end(tmp_path, result.digest) == calm("batches")


def test_handlers_are_restored(tmp_path):
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    toy_runs.run("batches", tmp_path)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


# --- the lock ----------------------------------------------------------------------------------------


class Room:
    """A lock's clock and sleep, and what it tells; `then` happens while it sleeps for the first time."""

    def __init__(self, then=lambda: None):
        self.now, self.told, self.then = 0.0, [], then

    def sleep(self, seconds):
        self.now += seconds
        self.then()

    def lock(self, folder, **facts):
        return Lock(folder, me=this_process() | facts, clock=lambda: self.now, sleep=self.sleep, tell=self.told.append)


def write_lock(folder, **owner):
    (folder / "lock.json").write_text(json.dumps({"token": "theirs", "beat": "000000000001", **owner}))


def here(pid):
    return this_process() | {"pid": pid, "started": started(pid)}


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_second_process_is_refused_in_one_line(tmp_path):
    with Lock(tmp_path) as lock:
        assert lock.held
        with pytest.raises(ValueError) as error:
            toy_runs.run("batches", tmp_path)
        said = f"{tmp_path} is in use by process {os.getpid()} on {socket.gethostname()}"
        assert str(error.value) == said
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_process_that_is_certainly_dead_is_taken_over_at_once(tmp_path):
    for owner in (here(dead_pid()), here(os.getpid()) | {"started": "1"}):  # its number lives on in another process
        write_lock(tmp_path, **owner)
        room = Room()
        with room.lock(tmp_path) as lock:
            assert lock.held and room.now == 0 and not room.told
        assert not list(tmp_path.iterdir())


ELSEWHERE = {
    "another host": {"host": "elsewhere", "boot": "another", "pid": 1, "started": "1"},
    "an earlier boot of this one": {"boot": "another"},
    "another PID namespace of this host": {"namespace": "pid:[1]", "pid": 2**22 + 1, "started": "1"},
    "a system without /proc": {"boot": "", "namespace": "", "started": ""},
    "an older version": {"heartbeat": 4e9, "namespace": None},  # and its clock is far ahead
}


@pytest.mark.parametrize("owner", ELSEWHERE)
def test_a_heartbeat_that_stands_still_is_that_of_a_dead_owner(owner, tmp_path):
    theirs = this_process() | ELSEWHERE[owner]
    write_lock(tmp_path, **theirs)
    room = Room()
    with room.lock(tmp_path) as lock:
        assert lock.held and room.now == EXPIRY
    who = f"process {theirs['pid']} on {theirs['host']}"
    assert room.told == [f"{tmp_path}: waiting up to {EXPIRY:g} s to see whether {who} is alive"]


@pytest.mark.parametrize("owner", ELSEWHERE)
def test_an_owner_lives_as_long_as_its_heartbeat_changes(owner, tmp_path):
    theirs = this_process() | ELSEWHERE[owner]
    write_lock(tmp_path, **theirs)
    room = Room(lambda: write_lock(tmp_path, **theirs, beat=str(room.now)) if room.now > 4 else None)
    who = f"in use by process {theirs['pid']} on {theirs['host']}"
    with pytest.raises(ValueError, match=who), room.lock(tmp_path):
        pass
    assert 4 < room.now < 6 and json.loads((tmp_path / "lock.json").read_text())["token"] == "theirs"


def test_whose_lock_is_replaced_or_half_written_lives(tmp_path):
    (tmp_path / "lock.json").write_text("")  # it is being written
    for then in (lambda: write_lock(tmp_path), lambda: write_lock(tmp_path, token="of a third")):
        with pytest.raises(ValueError, match="in use by"), Room(then).lock(tmp_path):
            pass


def test_a_process_table_that_is_not_the_owners_is_not_asked(tmp_path, monkeypatch):
    owner, me = here(os.getpid()), this_process()
    assert owner_alive(owner, me) is True and owner_alive(here(dead_pid()), me) is False
    for name in ("boot", "namespace"):
        assert owner_alive(owner | {name: "another"}, me) is None and owner_alive(owner, me | {name: ""}) is None
    assert owner_alive(owner | {"pid": "x"}, me) is owner_alive(owner | {"pid": -1}, me) is owner_alive({}, me) is None
    monkeypatch.setattr(
        "prospect_rl.experiments.run.lock.started", lambda pid: ""
    )  # /proc hides the processes of other users
    assert owner_alive(owner, me) is None
    monkeypatch.setattr(os, "readlink", lambda path: "7")  # /proc was mounted in another namespace
    assert namespace() == ""


def test_a_lock_needs_no_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    write_lock(tmp_path, **here(dead_pid()))
    with Lock(tmp_path) as lock:
        assert lock.held
        with pytest.raises(ValueError, match="in use by"), Lock(tmp_path):
            pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("third", [False, True])
def test_only_the_lock_that_was_looked_at_is_taken_away(tmp_path, monkeypatch, third):
    """Another owner comes before the rename, or between the last look and it, and then a third."""
    rename, path = os.rename, tmp_path / "lock.json"

    def late(a, b):
        monkeypatch.setattr(os, "rename", rename)
        write_lock(tmp_path, pid=7)
        rename(a, b)
        if third:
            write_lock(tmp_path, pid=8)

    write_lock(tmp_path, pid=7)
    before = path.read_bytes()
    monkeypatch.setattr(os, "rename", None)
    with pytest.raises(Busy, match="process 7"):
        Lock(tmp_path)._remove(b"the dead one's")
    assert path.read_bytes() == before
    path.write_bytes(b"the dead one's")
    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(Busy, match="process 7"):
        Lock(tmp_path)._remove(b"the dead one's")
    assert json.loads(path.read_bytes())["pid"] == (8 if third else 7) and list(tmp_path.iterdir()) == [path]


def test_a_lock_that_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "lock.json").mkdir()
    with pytest.raises(ValueError, match=r"lock\.json cannot be read: Is a directory"), Lock(tmp_path):
        pass


def test_a_lock_may_be_gone_at_the_end(tmp_path, monkeypatch):
    with Lock(tmp_path) as lock:
        monkeypatch.setattr(Lock, "held", True)
        lock.path.unlink()


def test_the_heartbeat_beats_on_a_full_disk_too(tmp_path, monkeypatch):
    monkeypatch.setattr("prospect_rl.experiments.run.lock.BEAT", 0.01)
    fsync, refusals = os.fsync, []

    def full(file):
        if len(refusals) < 2:
            refusals.append(file)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    with Lock(tmp_path) as lock:
        monkeypatch.setattr(os, "fsync", full)
        first, deadline = lock.path.read_bytes(), time.monotonic() + 10
        while len(refusals) < 2 or lock.path.read_bytes() == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert lock.held and len(lock.path.read_bytes()) == len(first)


def test_a_late_heartbeat_does_not_overwrite_another_owners_lock(fine, tmp_path):
    with Lock(tmp_path) as lock:
        lock.path.unlink()
        write_lock(tmp_path, host="elsewhere", pid=1)
        before = lock.path.read_bytes()
        lock.beat()
        assert lock.path.read_bytes() == before and not lock.held
    assert lock.path.read_bytes() == before


def test_a_lost_lock_stops_the_run(fine, tmp_path):
    def steal(told):
        if told["iteration"] == 10:
            (tmp_path / "lock.json").unlink()
            write_lock(tmp_path, host="elsewhere", pid=1)

    with pytest.raises(ValueError, match="has been taken over by another process"):
        toy_runs.run("batches", tmp_path, progress=steal)
    assert json.loads((tmp_path / "lock.json").read_text())["token"] == "theirs"
