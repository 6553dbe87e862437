"""A pseudo-terminal with a process in it: what it writes, keys pressed, the window's size, its exit code."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 300.0
"""Seconds until a process is taken to hang: a busy machine may need long to import JAX."""
LOOKS = {
    "colour": {"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "no colour": {"TERM": "xterm", "NO_COLOR": "1"},
    "dumb": {"TERM": "dumb"},
}  # fmt: skip
"""Kinds of terminals, by the variables that tell them."""
SIZES = {"small": (80, 24), "large": (200, 50)}
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
CTRL_C = b"\x03"
UNSET = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM", "CI")

OWN = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Makes the terminal that of its session, so that Ctrl-C comes as a signal, and goes on as another Python."""


class Terminal:
    """A Python process in a pseudo-terminal, a context manager. `text` is all that it has written."""

    def __init__(
        self, *words: str, look: str = "colour", size: tuple[int, int] = SIZES["small"], cwd: Path | None = None,
        **variables: str,
    ) -> None:  # fmt: skip
        self.text, self.code = "", -1
        self.master, slave = os.openpty()
        self.resize(size)
        environment = {name: value for name, value in os.environ.items() if name not in UNSET}
        own = {"PYTHONPATH": str(ROOT), "PROSPECT_CACHE": environment.get("JAX_COMPILATION_CACHE_DIR", "")}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", OWN, *words], cwd=cwd, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, env=environment | own | LOOKS[look] | variables,
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    def resize(self, size: tuple[int, int]) -> None:
        """Give the window `size` (columns, lines)."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self.master, keys)

    def pause(self, seconds: float) -> Terminal:
        """Read for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._read(left):
            pass
        return self

    def until(self, pattern: str) -> Terminal:
        """Read until what was written has the pattern in it. Fails where the process ends before."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.text):
            assert time.monotonic() < end and self._read(), f"no {pattern!r} in: {self.text}"
        return self

    def finish(self) -> Terminal:
        """Read to the end; sets `code`."""
        end = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < end, f"hangs: {self.text}"
        self.code = self.process.wait(PATIENCE)
        return self

    def _read(self, seconds: float = 1.0) -> bool:
        """Take what is written within so long; whether the process may still write."""
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            more = os.read(self.master, 65536)
        except OSError:  # nobody holds the other end any more
            return False
        self.text += more.decode(errors="replace")
        return bool(more)

    @property
    def plain(self) -> str:
        """What was written, without what moves the cursor and colours."""
        return plain(self.text)

    @property
    def widest(self) -> int:
        """Columns of the longest line; a line that was drawn again counts each time."""
        return max(map(len, re.split(r"[\r\n]+", self.plain)))

    @property
    def cursor_visible(self) -> bool:
        """Whether the cursor is shown in the end."""
        return self.text.rfind(HIDE) <= self.text.rfind(SHOW)


def plain(text: str) -> str:
    """A text without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def prospect(*words: str, **options: object) -> Terminal:
    """The command line in a pseudo-terminal."""
    return Terminal("-m", "prospect_rl.experiments", *words, **options)  # pyright: ignore[reportArgumentType]
