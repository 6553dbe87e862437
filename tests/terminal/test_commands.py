"""Commands as people run them: in a terminal. Each draws, ends with its exit code and gives the cursor back."""

import builtins
import os
import re
import subprocess
import sys

import pytest

from tests import toy_runs
from tests.pseudo_terminal import CTRL_C, HIDE, LOOKS, ROOT, SIZES, Terminal, prospect

AGENT = ["random_search", "point/sparse", "--population", "20"]
TINY = [*AGENT, "--budget", "60", "--evals", "3"]
ENDLESS = [*AGENT, "--budget", "2000000000", "--evals", "1"]
INTERRUPTED = "prospect: interrupted; progress is saved, and the same command resumes"


def check(seen: Terminal, code=0):
    """What holds after every command in a terminal."""
    assert seen.code == code, seen.text
    assert "Traceback" not in seen.text and "Error" not in seen.text
    assert seen.cursor_visible


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("br[ack]et")


@pytest.fixture(scope="module")
def ran(folder):
    """A run of one seed that has ended, as it was shown."""
    with prospect("run", *TINY, "--out", "a[/b]c", PROSPECT_RUNS=str(folder), cwd=folder) as seen:
        return seen.finish()


def test_a_run(ran, folder):
    check(ran)
    assert "point/sparse random_search seed 0" in ran.plain and "60/60 evaluations" in ran.plain
    assert HIDE in ran.text and "━" in ran.text and ran.widest <= max(80, len(str(folder)) + 40)
    assert ran.plain.splitlines()[-2:] == [str(folder / "a[/b]c"), str(folder / "a[/b]c" / "archive.png")]
    table = ran.plain[ran.plain.index("┏") :]
    assert "seed 0" in table and "return of an evaluation" in table


def test_an_episode_is_watched(ran, folder):
    with prospect("watch", "a[/b]c", "--fps", "1000", PROSPECT_RUNS=str(folder), cwd=folder) as seen:
        check(seen.finish())
    assert "step 0" in seen.plain and "▀▀▀" in seen.plain and "return" in seen.plain.splitlines()[-1]


def test_control_c_saves_and_says_so_once(tmp_path):
    with prospect("run", *ENDLESS, PROSPECT_RUNS=str(tmp_path), cwd=tmp_path) as seen:
        seen.until(r"[1-9][\d,]*/2,000,000,000 evaluations").press(CTRL_C)
        check(seen.finish(), code=130)
    assert seen.plain.count("interrupted") == 1 and INTERRUPTED in seen.plain
    assert list(tmp_path.rglob("checkpoints/*"))


def test_a_second_control_c_does_not_wait(tmp_path):
    with prospect("run", *ENDLESS, PROSPECT_RUNS=str(tmp_path), cwd=tmp_path) as seen:
        seen.until(r"[1-9][\d,]*/2,000,000,000 evaluations").press(CTRL_C)
        for _ in range(3):
            seen.pause(0.05).press(CTRL_C)
        check(seen.finish(), code=130)
    assert seen.plain.count("interrupted") == 1 and INTERRUPTED in seen.plain


def test_a_notebook_gets_lines(monkeypatch, capsys):
    """Its shell is known to rich, its streams are no terminals."""
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setattr(builtins, "get_ipython", lambda: shell, raising=False)
    toy_runs.run("rollouts", None, progress=True)
    said = capsys.readouterr()
    assert said.out == "" and "\x1b" not in said.err
    assert re.search(r"^test/point Evolver seed 3: 400/400 evaluations, return \S+, coverage \S+\n$", said.err, re.M)


# --- the whole matrix --------------------------------------------------------------------------------

DEMO = re.search(r"^demo:.*\n\t@\$\(RUN\) (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1].split()
COMMANDS = {
    "demo": [word if word != "100000" else "1200" for word in DEMO] + ["--evals", "2"],
    "run": ["run", *TINY],
    "seeds": ["run", *TINY, "--seeds", "2"],
    "sweep": ["sweep", "mex_lock", "--seeds", "1", "--agents", "random"],
    "data": ["data", "make", "maze2d/umaze/waypoints", "--rows", "2000"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_in_each_terminal(command, look, size, tmp_path):
    options = {"look": look, "size": SIZES[size], "PROSPECT_RUNS": str(tmp_path), "PROSPECT_CACHE": str(tmp_path / "c")}
    with prospect(*COMMANDS[command], cwd=tmp_path, **options) as seen:
        check(seen.finish())
    assert (HIDE in seen.text) == (look != "dumb")
    if command == "seeds":
        assert "95 % interval" in seen.plain


@pytest.mark.slow
def test_a_window_is_resized_while_a_sweep_runs(tmp_path):
    with prospect("run", *ENDLESS, size=(120, 40), PROSPECT_RUNS=str(tmp_path), cwd=tmp_path) as seen:
        seen.until(r"[1-9][\d,]*/2,000,000,000 evaluations")
        for size in ((60, 20), (20, 5), (160, 50)):
            seen.resize(size)
            seen.pause(0.6)
        seen.press(CTRL_C)
        check(seen.finish(), code=130)


@pytest.mark.slow
@pytest.mark.parametrize("presses", [1, 3])
def test_control_c_in_a_sweep(tmp_path, presses):
    words = ["run", *ENDLESS, "--seeds", "2"]
    with prospect(*words, PROSPECT_RUNS=str(tmp_path), cwd=tmp_path) as seen:
        seen.until(r"1 running")
        for _ in range(presses):
            seen.pause(1.0).press(CTRL_C)
        check(seen.finish(), code=130)
    assert seen.plain.count("interrupted") == 1 and INTERRUPTED in seen.plain


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "seeds"])
def test_into_a_file(command, tmp_path):
    log = tmp_path / "log"
    env = os.environ | {"PYTHONPATH": str(ROOT), "PROSPECT_RUNS": str(tmp_path)}
    with log.open("w") as file:
        words = [sys.executable, "-m", "prospect_rl.experiments", *COMMANDS[command]]
        assert subprocess.run(words, cwd=tmp_path, env=env, stdout=file, stderr=file, check=False).returncode == 0
    said = log.read_text(encoding="utf-8")
    assert "\x1b" not in said and "\r" not in said
    assert ("60/60 evaluations" if command == "run" else "2/2 done, 0 running, 0:00 left\n") in said
