"""Where jobs run: one after another in a child process, or many at once under Ray, here or on a cluster.

Either way a job runs in a `child.Child` with one XLA thread, so that all ways give the same files. This module imports
no JAX, and Ray only when it is asked for: a process that forks after JAX has started may hang, so `pool` comes first.
"""

from __future__ import annotations

import logging
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import prospect_rl
from prospect_rl.experiments.sweeps.child import PATIENCE, Child, End, last_line

HERE = Path(prospect_rl.__file__).resolve().parents[1]
"""The folder from which workers import this package."""
Done = tuple[Any, str | None, bool]
"""(job, last line of its error or None, whether its process died)."""
PULSE, SILENCE = 3.0, 30.0
"""Seconds between looks at a cluster's head, and after how many without an answer it is given up."""


def worker_environment() -> dict[str, str]:
    """Variables that every worker gets; they decide a run's bits, so all ways of running share them."""
    chosen = {
        "NPROC": "1",
        "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
    }
    carried = ("PROSPECT_CACHE", "PROSPECT_RUNS", "JAX_COMPILATION_CACHE_DIR", "XLA_PYTHON_CLIENT_MEM_FRACTION")
    return chosen | {name: os.environ[name] for name in carried if name in os.environ}


class Pool(Protocol):
    """What `sweep` needs of a place where jobs run."""

    @property
    def capacity(self) -> int:
        """How many jobs run at once."""
        ...

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


class Serial:
    """One job at a time."""

    capacity = 1

    def __init__(self, limit: float | None = None) -> None:
        self._child, self._job = Child(worker_environment(), limit), None

    @property
    def running(self) -> list[Any]:
        """The job under way, if any."""
        return [] if self._job is None else [self._job]

    def start(self, job: Any, message: dict[str, Any]) -> None:
        """Begin a job."""
        self._child.start(message)
        self._job = job

    def wait(self, seconds: float) -> list[Done]:
        """The job, if it ended within so many seconds."""
        if self._job is None or (end := self._child.wait(seconds)) is None:
            return []
        job, self._job = self._job, None
        return [(job, end.error, end.crashed)]

    def interrupt(self) -> None:
        """Ask the child to save and stop, and wait until it has."""
        self._child.interrupt()
        self._child.close()
        self._job = None

    def close(self) -> None:
        """End the child."""
        self._child.close()


# --- Ray ---------------------------------------------------------------------------------------------


class Worker:
    """A Ray actor: it minds a child, and answers while the child works. When it is killed, the child saves and ends."""

    def __init__(self, limit: float | None) -> None:
        self._child = Child({}, limit)

    def run(self, message: dict[str, Any]) -> End:
        """Do a job."""
        self._child.start(message)
        while (end := self._child.wait(1.0)) is None:
            pass
        return end

    def interrupt(self) -> None:
        """Ask the child to save and stop."""
        self._child.interrupt()


def connect(workers: int | None, **options: Any) -> Any:
    """Join the cluster at RAY_ADDRESS, or start one here with so many CPUs (None: all); gives the module `ray`.

    `options` are `ray.init`'s. Call it before JAX is imported. Raises ValueError where no cluster answers, and where
    the temporary folder's path is too long for sockets.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # leave the devices to JAX_PLATFORMS
    import ray

    address = os.environ.get("RAY_ADDRESS")
    if not address:
        # "local": a cluster that somebody else has started on this machine is not ours
        options |= {"address": "local", "include_dashboard": False, "num_cpus": workers}
        options["object_store_memory"] = 80 << 20
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    except ConnectionError as error:
        raise ValueError(f"no Ray cluster answers at RAY_ADDRESS={address}: {last_line(str(error))}") from None
    except OSError as error:
        if "AF_UNIX" not in str(error):
            raise
        named = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
        raise ValueError(
            f"{named} is too long a path for Ray's sockets ({os.environ.get(named)}): set RAY_TMPDIR to a shorter "
            "folder, for instance RAY_TMPDIR=/tmp"
        ) from None
    if address:
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        threading.Thread(target=watch_head, args=(host, int(port)), daemon=True).start()
    return ray


class Ray:
    """Jobs in Ray actors, one CPU each; an actor does one job after another as long as there are any."""

    def __init__(self, workers: int | None, limit: float | None = None) -> None:
        self._ray, self._workers = connect(workers), workers
        from ray.exceptions import RayError

        self._lost = RayError
        actor: dict[str, Any] = {"runtime_env": {"env_vars": worker_environment()}, "max_concurrency": 2}
        self._actor = self._ray.remote(num_cpus=1, max_restarts=0, **actor)(Worker)
        self._limit, self._idle = limit, list[Any]()
        self._jobs: dict[Any, tuple[Any, Any]] = {}

    @property
    def capacity(self) -> int:
        """The CPUs of the cluster as it stands, at most as many as were asked for."""
        cpus = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return min(cpus, self._workers or cpus)

    @property
    def running(self) -> list[Any]:
        """Jobs handed out and not ended."""
        return [job for job, _ in self._jobs.values()]

    def start(self, job: Any, message: dict[str, Any]) -> None:
        """Hand a job to an actor."""
        actor = self._idle.pop() if self._idle else self._actor.remote(self._limit)
        self._jobs[actor.run.remote(message)] = (job, actor)

    def wait(self, seconds: float) -> list[Done]:
        """The jobs that ended within so many seconds (at least one ends the wait)."""
        while self._idle:  # no job waits for them, and they keep a CPU each from others
            self._ray.kill(self._idle.pop())
        if not self._jobs:
            return []
        ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=seconds)
        return [self._collect(reference) for reference in ready]

    def _collect(self, reference: Any) -> Done:
        job, actor = self._jobs.pop(reference)
        try:
            end = self._ray.get(reference)
        except self._lost as lost:
            return job, f"{type(lost).__name__}: {last_line(str(lost))}", True
        self._idle.append(actor)
        return job, end.error, end.crashed

    def interrupt(self) -> None:
        """Ask all children to save and stop."""
        for _, actor in self._jobs.values():
            actor.interrupt.remote()
        until = time.monotonic() + PATIENCE
        while self._jobs and time.monotonic() < until:
            self.wait(1.0)

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        self._ray.shutdown()


def watch_head(host: str, port: int) -> None:
    """End this process, with the command that goes on, where the cluster's head has gone: Ray itself would hang."""
    heard = time.monotonic()
    while time.monotonic() - heard < SILENCE:
        time.sleep(PULSE)
        try:
            socket.create_connection((host, port), timeout=PULSE).close()
            heard = time.monotonic()
        except OSError:
            pass
    command = shlex.join(["prospect", *sys.argv[1:]])
    sys.stderr.write(f"prospect: the cluster's head at {host}:{port} is gone; to go on, on another: {command}\n")
    sys.stderr.flush()
    os._exit(1)


@contextmanager
def pool(workers: int | None = 1, limit: float | None = None) -> Iterator[Pool]:
    """A place to run jobs: serial for one worker, else Ray with so many at once (None: as many as there are CPUs).

    With RAY_ADDRESS set it is that cluster, whatever `workers` says. `limit`: seconds that a job may take. Call it
    before JAX is imported.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    here = workers == 1 and not os.environ.get("RAY_ADDRESS")
    made = Serial(limit) if here else Ray(workers, limit)
    try:
        yield made
    finally:
        made.close()
