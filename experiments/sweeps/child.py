"""The parent's side of a worker process (the worker's side is `experiments.sweeps.work`).

The process executes one job after another with one XLA thread and imports JAX once. A failed job ends the process, and
the next job gets a new one. If the parent dies, the running job saves and stops.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

COMMAND = (sys.executable, "-m", "prospect_rl.experiments", "_work")
INTERRUPTED = 130
PATIENCE = 30.0
"""Seconds that interrupted runs have to save (a chunk lasts at most about 10 seconds)."""


class End(NamedTuple):
    """How a job ended."""

    error: str | None
    """The last line of its error; None if it succeeded."""
    crashed: bool
    """Whether its process was killed."""


class Child:
    """A worker process as its parent sees it; it executes one job at a time."""

    def __init__(self, environment: dict[str, str], limit: float | None = None) -> None:
        """`environment`: variables in addition to those of this process. `limit`: time limit of a job in seconds."""
        self._environment, self._limit = environment, limit
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: Any = None
        self._started = 0.0

    def start(self, message: dict[str, Any]) -> None:
        """Start a job. The child has its own session, so that Ctrl-C reaches it only through `interrupt`."""
        if self._process is None:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
            self._process = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self._errors, env=os.environ | self._environment, start_new_session=True,
            )  # fmt: skip
        self._started = time.monotonic()
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process died immediately: `wait` returns the error

    def wait(self, seconds: float) -> End | None:
        """How the job ended; None if it is still running after this many seconds."""
        child = self._process
        assert child and child.stdout
        if self._limit is not None:
            left = self._started + self._limit - time.monotonic()
            if left <= 0:
                self.interrupt()
                self.close()
                return End(f"stopped at its time limit of {self._limit:g} s; the same command resumes it", False)
            seconds = min(seconds, left)
        if not select.select([child.stdout], [], [], seconds)[0]:
            return None
        if said := child.stdout.readline():
            error = json.loads(said)["error"]
            if error is not None:
                self.close()
            return End(error, False)
        code = child.wait()
        self._errors.seek(0)
        words = last_line(self._errors.read().decode(errors="replace"))
        self.close()
        if code == -signal.SIGKILL:
            return End("killed by SIGKILL, probably because the system ran out of memory", True)
        return End(f"killed by {signal.Signals(-code).name}" if code < 0 else words or f"exit code {code}", code < 0)

    def interrupt(self) -> None:
        """Ask the job to save and stop; `wait` or `close` waits for its end."""
        if self._process:
            self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """End the process; it is killed if it has not ended after `PATIENCE` seconds."""
        child, self._process = self._process, None
        if child is None:
            return
        assert child.stdin and child.stdout
        try:
            child.stdin.close()
        except BrokenPipeError:
            pass
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
        self._errors.close()


def last_line(text: str) -> str:
    """The last line that is not blank."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
