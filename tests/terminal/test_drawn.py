"""Whatever is drawn, in every kind of terminal: it fits the window, ends, and leaves the cursor as it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pseudo_terminal import HIDE, LOOKS, ROOT, SIZES, Terminal, plain

SCRIPT = str(Path(__file__).parent / "drawn.py")
ESCAPE = "\x1b"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", LOOKS)
def test_everything_is_drawn(look, size):
    with Terminal(SCRIPT, look=look, size=SIZES[size]) as seen:
        seen.finish()
    said = seen.plain
    assert seen.code == 0 and "Traceback" not in said
    assert "minigrid/KeyCorridorS3R3-v0 noveld[/b] seed 0" in said and "note: [red]bits may differ[/b]" in said
    assert "1,000,000/1,000,000 evaluations" in said and "return 0.123, coverage 0.123" in said
    assert "2/3 done, 0 running, 1 failed" in said
    assert said.count("w") >= 60 and "…" not in said
    assert seen.cursor_visible
    if look == "dumb":
        assert ESCAPE not in seen.text
    else:
        assert HIDE in seen.text and "━" in said and seen.widest <= SIZES[size][0]
        assert ("[38;" in seen.text) == (look == "colour")


def test_a_window_that_is_resized():
    with Terminal(SCRIPT, "0.4", size=(120, 40)) as seen:
        seen.until("250,000/").resize((60, 20))
        seen.until("750,000/").resize((160, 50))
        seen.finish()
    assert seen.code == 0 and "1,000,000/1,000,000 evaluations" in seen.plain and seen.cursor_visible


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1", "TERM": "xterm"}])
def test_through_a_pipe_all_lines_are_whole_and_nothing_moves_a_cursor(variables):
    env = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "NO_COLOR")} | variables
    env["PYTHONPATH"] = str(ROOT)
    done = subprocess.run([sys.executable, SCRIPT], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "\x1b[?" not in done.stdout + done.stderr and "\r" not in done.stderr
    lines = plain(done.stderr).splitlines()
    assert lines == [
        "note: [red]bits may differ[/b]",
        "minigrid/KeyCorridorS3R3-v0 noveld[/b] seed 0: 1,000,000/1,000,000 evaluations, return 0.123, coverage 0.123",
        "0/3 done, 2 running, ? left; maze/hard serene[0] seed 0 0 %; maze/hard serene[1] seed 1 0 %",
        "2/3 done, 0 running, 1 failed, 0:00 left",
    ]
    assert "word" * 30 in done.stdout and "[red]words[/b] " * 29 in done.stdout
