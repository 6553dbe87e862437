"""Worker pools: one worker process, or many under Ray, on this machine or on a cluster.

Every job runs in a `child.Child` with one XLA thread, so that all pools give the same files. This module does not
import JAX, and imports Ray only if needed: a process that forks after JAX has started may hang, so call `pool` before.
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
from prospect_rl.experiments.run import device as devices
from prospect_rl.experiments.sweeps.child import PATIENCE, Child, End, last_line

HERE = Path(prospect_rl.__file__).resolve().parents[1]
"""The folder from which workers import this package."""
Done = tuple[Any, str | None, bool]
"""(job, last line of its error or None, whether its process was killed)."""
PULSE, SILENCE = 3.0, 30.0
"""Seconds between two checks of a cluster's head node, and seconds without an answer after which it counts as lost."""


def worker_environment(device: str = "cpu", share: float = 1.0) -> dict[str, str]:
    """Environment variables of every worker; results depend on them bit for bit, so all pools use the same.

    device: the kind of device of its runs. share: their share of a GPU.
    """
    chosen = {
        "NPROC": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])),
        **devices.environment(device, share),
    }
    carried = ("PROSPECT_CACHE", "PROSPECT_RUNS", "JAX_COMPILATION_CACHE_DIR", "XLA_PYTHON_CLIENT_MEM_FRACTION")
    return {name: os.environ[name] for name in carried if name in os.environ} | chosen


class Pool(Protocol):
    """The interface of a worker pool that `sweep` uses."""

    @property
    def gpus(self) -> float:
        """The number of GPUs for runs."""
        ...

    def capacity(self, device: str = "cpu") -> int:
        """The number of jobs that can run at once on a kind of device."""
        ...

    def room(self, device: str = "cpu") -> bool:
        """Whether one more job can start now on a kind of device."""
        ...

    @property
    def running(self) -> list[Any]:
        """The jobs that are running."""
        ...

    def start(self, job: Any, message: dict[str, Any]) -> None:
        """Start a job."""
        ...

    def wait(self, seconds: float) -> list[Done]:
        """Wait at most this many seconds; returns the jobs that ended."""
        ...

    def interrupt(self) -> None:
        """Ask all running jobs to save and stop, and wait until they have."""
        ...


class Serial:
    """A pool that runs one job at a time in one worker process, which is replaced for another kind of device."""

    def __init__(self, limit: float | None = None) -> None:
        self._limit, self._device, self._job = limit, "cpu", None
        self._child = Child(worker_environment(), limit)

    @property
    def gpus(self) -> float:
        """The number of GPUs of this machine that can be used."""
        return devices.count()

    def capacity(self, device: str = "cpu") -> int:
        """One job runs at once."""
        return 1

    def room(self, device: str = "cpu") -> bool:
        """Whether no job is running."""
        return self._job is None

    @property
    def running(self) -> list[Any]:
        """The running job, if any."""
        return [] if self._job is None else [self._job]

    def start(self, job: Any, message: dict[str, Any]) -> None:
        """Start a job."""
        if (device := message.get("device", "cpu")) != self._device:
            self._child.close()
            self._child, self._device = Child(worker_environment(device), self._limit), device
        self._child.start(message)
        self._job = job

    def wait(self, seconds: float) -> list[Done]:
        """Wait at most this many seconds; returns the job if it ended."""
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
        """End the worker process."""
        self._child.close()


# --- Ray ---------------------------------------------------------------------------------------------


class Worker:
    """A Ray actor that supervises a child process. If the actor is killed, the child saves its run and ends."""

    def __init__(self, limit: float | None) -> None:
        self._child = Child({}, limit)

    def run(self, message: dict[str, Any]) -> End:
        """Run a job to its end."""
        self._child.start(message)
        while (end := self._child.wait(1.0)) is None:
            pass
        return end

    def interrupt(self) -> None:
        """Ask the child to save and stop."""
        self._child.interrupt()


def connect(workers: int | None, **options: Any) -> Any:
    """Connect to the cluster at RAY_ADDRESS, or start a local one; returns the module `ray`.

    workers: number of CPUs of a local cluster, None for all; it has the GPUs that runs can use. options: passed to
    `ray.init`. Call it before JAX is imported. Raises ValueError if no cluster answers, or if the temporary folder's
    path is too long for sockets.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # leave the devices to JAX_PLATFORMS
    import ray

    address = os.environ.get("RAY_ADDRESS")
    if not address:
        # "local": never join a cluster that another process has started on this machine
        options |= {"address": "local", "include_dashboard": False, "num_cpus": workers, "num_gpus": devices.count()}
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
            f"the path in {named} is too long for Ray's sockets ({os.environ.get(named)}): set RAY_TMPDIR to a shorter "
            "folder, for instance RAY_TMPDIR=/tmp"
        ) from None
    if address:
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        threading.Thread(target=watch_head, args=(host, int(port)), daemon=True).start()
    return ray


class Ray:
    """A pool of Ray actors with one CPU each, and a share of a GPU for runs on one.

    An actor runs one job after another as long as jobs for its kind of device are waiting.
    """

    def __init__(
        self, workers: int | None, limit: float | None = None, connected: Any = None, share: float | None = None
    ) -> None:
        """`connected`: what `connect` gave, where that was called before. `share`: of a GPU; None: from `workers`."""
        self._ray, self._workers = connected or connect(workers), workers
        from ray.exceptions import RayError

        self._lost, self._limit = RayError, limit
        self.share: float = share or devices.share_of(workers, self.gpus)
        self._idle: list[tuple[str, Any]] = []
        self._jobs: dict[Any, tuple[Any, str, Any]] = {}

    @property
    def gpus(self) -> float:
        """The current number of GPUs of the cluster."""
        return self._ray.cluster_resources().get("GPU", 0)

    def capacity(self, device: str = "cpu") -> int:
        """The current number of CPUs of the cluster, or of shares of its GPUs; at most the number of workers."""
        cpus = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        most = min(cpus, self._workers or cpus)
        return most if device != "gpu" else min(most, max(1, int(self.gpus / self.share + 1e-6)))

    def room(self, device: str = "cpu") -> bool:
        """Whether a CPU is free for one more job, and for one on a GPU a share of that."""
        mine = sum(kind == device for _, kind, _ in self._jobs.values())
        return len(self._jobs) < self.capacity() and mine < self.capacity(device)

    @property
    def running(self) -> list[Any]:
        """The jobs that have been started and have not ended."""
        return [job for job, _, _ in self._jobs.values()]

    def start(self, job: Any, message: dict[str, Any]) -> None:
        """Start a job in an idle or new actor."""
        device = message.get("device", "cpu")
        if (idle := next((one for one in self._idle if one[0] == device), None)) is not None:
            self._idle.remove(idle)
            actor = idle[1]
        else:
            actor = self._actor(device)
        self._jobs[actor.run.remote(message)] = (job, device, actor)

    def _actor(self, device: str) -> Any:
        """A new actor, once those that are idle have given their CPUs back."""
        self._end_idle()
        needs = {"num_cpus": 1, "num_gpus": self.share if device == "gpu" else 0, "max_restarts": 0}
        variables = worker_environment(device, self.share)
        options: dict[str, Any] = {"runtime_env": {"env_vars": variables}, "max_concurrency": 2, **needs}
        return self._ray.remote(**options)(Worker).remote(self._limit)

    def _end_idle(self) -> None:
        while self._idle:
            self._ray.kill(self._idle.pop()[1])

    def wait(self, seconds: float) -> list[Done]:
        """Wait at most this many seconds for a job to end; returns the jobs that ended."""
        self._end_idle()  # no job is waiting for them, and each holds a CPU
        if not self._jobs:
            return []
        ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=seconds)
        return [self._collect(reference) for reference in ready]

    def _collect(self, reference: Any) -> Done:
        job, device, actor = self._jobs.pop(reference)
        try:
            end = self._ray.get(reference)
        except self._lost as lost:
            return job, f"{type(lost).__name__}: {last_line(str(lost))}", True
        self._idle.append((device, actor))
        return job, end.error, end.crashed

    def interrupt(self) -> None:
        """Ask all children to save and stop."""
        for _, _, actor in self._jobs.values():
            actor.interrupt.remote()
        until = time.monotonic() + PATIENCE
        while self._jobs and time.monotonic() < until:
            self.wait(1.0)

    def close(self) -> None:
        """Disconnect from the cluster; a local one is shut down."""
        self._ray.shutdown()


def watch_head(host: str, port: int) -> None:
    """End this process if the cluster's head node is lost (Ray itself would hang); prints the command that resumes."""
    heard = time.monotonic()
    while time.monotonic() - heard < SILENCE:
        time.sleep(PULSE)
        try:
            socket.create_connection((host, port), timeout=PULSE).close()
            heard = time.monotonic()
        except OSError:
            pass
    command = shlex.join(["prospect", *sys.argv[1:]])
    sys.stderr.write(f"prospect: the cluster's head at {host}:{port} is lost; to resume on another: {command}\n")
    sys.stderr.flush()
    os._exit(1)


def on_cluster() -> bool:
    """Whether runs are on the cluster at RAY_ADDRESS, and not on this machine."""
    return bool(os.environ.get("RAY_ADDRESS"))


def of_pool(asked: str, pool: Pool) -> str:
    """The kind of device for a pool's runs, or "auto"; also keeps this process, which runs none, from taking a GPU.

    asked: what `device.asked` gave. Raises ValueError, in one line, if the pool has no GPU for it.
    """
    devices.keep_off()
    if asked == "gpu" and not pool.gpus:
        why = "the cluster has none" if on_cluster() else devices.missing(devices.probe())
        raise ValueError(f"no GPU can be used: {why}")
    return "cpu" if asked == "auto" and not pool.gpus else asked


@contextmanager
def pool(workers: int | None = 1, limit: float | None = None, share: float | None = None) -> Iterator[Pool]:
    """Open a worker pool: serial for one worker, otherwise Ray with this many workers (None: one per CPU).

    If RAY_ADDRESS is set, that cluster is used even for one worker. `limit`: time limit of a job in seconds. `share`:
    of a GPU for each job on one, under Ray; None derives it from `workers`. Call it before JAX is imported.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    here = workers == 1 and not on_cluster()
    made = Serial(limit) if here else Ray(workers, limit, share=share)
    try:
        yield made
    finally:
        made.close()
