"""Where jobs run: in one process after another, or as Ray tasks on this machine or a cluster.

Both start a fresh Python process for every run, with one XLA thread, and hand it the job as JSON values. This
module imports no JAX, and Ray only when it is asked for: a process that forks after JAX has started may hang, so
`pool` comes first.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

INTERRUPTED = 130
PATIENCE = 30.0
"""Seconds that interrupted runs get to save (a chunk lasts at most about 10)."""
Done = tuple[Any, str | None, bool]
"""(job, last line of its error or None, whether its process died)."""


def worker_environment() -> dict[str, str]:
    """Variables that every worker gets; they decide a run's bits, so all ways of running share them."""
    chosen = {
        "NPROC": "1",
        "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])),
    }
    carried = ("PROSPECT_CACHE", "PROSPECT_RUNS", "JAX_COMPILATION_CACHE_DIR")
    return chosen | {name: os.environ[name] for name in carried if name in os.environ}


class Pool(Protocol):
    """What `sweep` needs of a place where jobs run."""

    capacity: int

    @property
    def running(self) -> list[Any]:
        """Jobs under way."""
        ...

    def start(self, job: Any, message: dict[str, Any]) -> None:
        """Begin a job."""
        ...

    def wait(self, seconds: float) -> list[Done]:
        """The jobs that ended, after at most so many seconds."""
        ...

    def interrupt(self) -> None:
        """Ask all running jobs to save and stop, and wait until they have."""
        ...


# --- one process after another -----------------------------------------------------------------------


class Serial:
    """One job at a time, in a child process. Its standard input stays open: when this process dies, it stops too."""

    capacity = 1

    def __init__(self) -> None:
        self._child: tuple[Any, subprocess.Popen[bytes], Any] | None = None

    @property
    def running(self) -> list[Any]:
        """The job under way, if any."""
        return [self._child[0]] if self._child else []

    def start(self, job: Any, message: dict[str, Any]) -> None:
        """Begin a job. It has a session of its own, so that Ctrl-C reaches it once, from `interrupt`."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child has ended
        child = subprocess.Popen(
            [sys.executable, "-m", "experiments", "_work"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=errors, env=os.environ | worker_environment(), start_new_session=True,
        )  # fmt: skip
        assert child.stdin
        try:
            child.stdin.write(json.dumps(message).encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            pass  # it died at once: `wait` reports how
        self._child = (job, child, errors)

    def wait(self, seconds: float) -> list[Done]:
        """The job, if it ended within so many seconds."""
        if not self._child:
            return []
        job, child, errors = self._child
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            return []
        errors.seek(0)
        said = errors.read().decode(errors="replace")
        self._close()
        if code == 0:
            return [(job, None, False)]
        if code < 0:
            return [(job, f"killed by {signal.Signals(-code).name}", True)]
        return [(job, last_line(said) or f"exit code {code}", False)]

    def interrupt(self) -> None:
        """Ask the child to save and stop."""
        if not self._child:
            return
        _, child, _ = self._child
        child.send_signal(signal.SIGINT)
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self._close()

    def _close(self) -> None:
        assert self._child
        _, child, errors = self._child
        if child.stdin:
            child.stdin.close()
        errors.close()
        self._child = None


def serve() -> int:
    """The child's side of `Serial`: one job from standard input. The exit code is its outcome."""
    from experiments.sweep import work

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit it as ignored
    message = json.loads(sys.stdin.readline())

    def orphaned() -> None:
        while os.read(0, 4096):  # not sys.stdin: a thread inside its lock would break the interpreter's exit
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=orphaned, daemon=True).start()
    try:
        work(message)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


# --- Ray ---------------------------------------------------------------------------------------------


class Ray:
    """Jobs as Ray tasks, each in a fresh worker process (a reused one would keep JAX's state)."""

    def __init__(self, workers: int | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # leave the devices to JAX_PLATFORMS
        import ray
        from ray.exceptions import RayError

        quiet: dict[str, Any] = {"include_dashboard": False} if not os.environ.get("RAY_ADDRESS") else {}
        if not os.environ.get("RAY_ADDRESS"):
            quiet |= {"num_cpus": workers, "object_store_memory": 80 << 20}
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **quiet)
        self._ray, self._lost = ray, RayError
        self.capacity = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        options = {"num_cpus": 1, "max_retries": 0, "max_calls": 1, "runtime_env": {"env_vars": worker_environment()}}
        self._task = ray.remote(**options)(_ray_work)
        self._jobs: dict[Any, Any] = {}

    @property
    def running(self) -> list[Any]:
        """Jobs submitted and not ended."""
        return list(self._jobs.values())

    def start(self, job: Any, message: dict[str, Any]) -> None:
        """Submit a job."""
        self._jobs[self._task.remote(message)] = job

    def wait(self, seconds: float) -> list[Done]:
        """The jobs that ended within so many seconds (at least one ends the wait)."""
        if not self._jobs:
            return []
        ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=seconds)
        return [self._collect(reference) for reference in ready]

    def _collect(self, reference: Any) -> Done:
        job = self._jobs.pop(reference)
        try:
            error: Any = self._ray.get(reference)
        except self._lost as lost:
            return job, f"{type(lost).__name__}: {last_line(str(lost))}", True
        return job, error, False

    def interrupt(self) -> None:
        """Cancel all tasks (each gets KeyboardInterrupt, saves and stops)."""
        for reference in self._jobs:
            self._ray.cancel(reference)
        until = time.monotonic() + PATIENCE
        while self._jobs and time.monotonic() < until:
            self.wait(1.0)

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        self._ray.shutdown()


def _ray_work(message: dict[str, Any]) -> str | None:
    """A job in a Ray worker; its error comes back as a line, so that a raised one means a lost process."""
    from experiments.sweep import work

    try:
        work(message)
    except Exception as error:
        return last_line(f"{type(error).__name__}: {error}")
    return None


@contextmanager
def pool(workers: int | None = 1) -> Iterator[Pool]:
    """A place to run jobs: serial for one worker, else Ray with so many at once (None: as many as there are CPUs).

    With RAY_ADDRESS set it is that cluster, whatever `workers` says. Call it before JAX is imported.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if workers == 1 and not os.environ.get("RAY_ADDRESS"):
        serial = Serial()
        yield serial
        return
    cluster = Ray(workers)
    try:
        yield cluster
    finally:
        cluster.close()
