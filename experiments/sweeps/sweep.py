"""Sweeps: a sorted list of jobs, each executed in a worker process with one XLA thread.

    with pool(workers) as workers:            # one worker process, or Ray tasks; BEFORE JAX is imported
        jobs = plan(load("serene_maze"), "repro")
        outcome = sweep(jobs, workers)

A job consists of JSON values, from which the worker rebuilds the run. A run resumes from its newest checkpoint, so that
a retry, a lost node and a second call of the sweep take the same code path. Results depend bit for bit on the number of
XLA threads; every kind of pool uses one thread, and so gives the same files.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from prospect_rl.experiments.sweeps.job import Job, Outcome
from prospect_rl.experiments.sweeps.workers import Pool

CRASHES = 2
"""Number of retries of a run whose process died (out of memory, lost node); a run that raised is not retried."""


@dataclass
class Progress:
    """Progress of a sweep; passed to the display about once a second."""

    total: int
    """Number of all jobs."""
    outcome: Outcome
    """Jobs that were skipped, have finished or have failed."""
    running: tuple[Job, ...] = ()
    """Jobs that are running now."""
    waiting: int = 0
    """Number of jobs that have not started."""
    started: float = field(default_factory=time.monotonic)
    """Start of the sweep in seconds of the monotonic clock."""

    @property
    def share(self) -> float:
        """Completed fraction of the sweep, 0 to 1."""
        over = self.total - len(self.running) - self.waiting
        return (over + sum(job.progress() for job in self.running)) / max(1, self.total)

    def seconds_left(self) -> float | None:
        """Estimated seconds to the end, from the runs of this call; None until there is an estimate."""
        skipped = len(self.outcome.skipped) / max(1, self.total)
        gained = self.share - skipped
        return (time.monotonic() - self.started) * (1 - self.share) / gained if gained > 0.01 else None


def sweep(
    jobs: Iterable[Job], pool: Pool, *, nice: bool = False, display: Callable[[Progress], None] | None = None
) -> Outcome:
    """Run all jobs that have not finished; failures are collected in the outcome.

    Jobs with equal configuration and seeds are executed once, and the folder of the run is copied for the others.

    Args:
        jobs: Jobs, e.g. from `plan`.
        pool: Where they run, from `experiments.sweeps.workers.pool`.
        nice: Whether workers run at low priority (nice 10).
        display: Function that is called with the progress about once a second.

    Returns:
        The jobs that were skipped, have finished or have failed.

    Raises:
        KeyboardInterrupt: The sweep was interrupted; running jobs have been asked to save and stop.

    Example:
        >>> with pool(workers=2) as workers:
        ...     outcome = sweep(plan(load("serene_maze"), "smoke"), workers)
    """
    jobs, outcome, crashes = list(jobs), Outcome(), dict[Path, int]()
    todo = list[Job]()
    for job in jobs:  # reads each result once: there may be ten thousand
        (outcome.skipped if job.finished() else todo).append(job)
    done = {job.hash: job for job in outcome.skipped}
    outcome.finished = [_copy_run(done[job.hash], job) for job in todo if job.hash in done and not job.out.exists()]
    copied = {job.out for job in outcome.finished}
    waiting, duplicates = _split_duplicates(job for job in todo if job.out not in copied)
    progress = Progress(len(jobs), outcome)
    try:
        while waiting or pool.running:
            while (job := _next(waiting, pool)) is not None:
                waiting.remove(job)
                pool.start(job, {**job.message, "nice": nice})
            for job, error, crashed in pool.wait(1.0):
                if error is None:
                    outcome.finished += [job, *(_copy_run(job, other) for other in duplicates.pop(job.hash, ()))]
                elif crashed and crashes.get(job.out, 0) < CRASHES:
                    crashes[job.out] = crashes.get(job.out, 0) + 1
                    waiting.append(job)
                else:
                    outcome.failed += [(failed, error) for failed in (job, *duplicates.pop(job.hash, ()))]
            progress.running = tuple(pool.running)
            progress.waiting = len(waiting) + sum(map(len, duplicates.values()))
            if display:
                display(progress)
    except KeyboardInterrupt:
        pool.interrupt()
        raise
    place = {job.out: i for i, job in enumerate(jobs)}
    outcome.finished.sort(key=lambda job: place[job.out])
    outcome.failed.sort(key=lambda pair: place[pair[0].out])
    return outcome


def _next(waiting: Iterable[Job], pool: Pool) -> Job | None:
    """The first waiting job whose kind of device has room; None if there is none."""
    room = cache(pool.room)
    return next((job for job in waiting if room(job.device)), None)


def _split_duplicates(jobs: Iterable[Job]) -> tuple[deque[Job], dict[str, list[Job]]]:
    """(jobs to execute, hash -> jobs with the same run that have no folder yet)."""
    waiting, duplicates, hashes = deque[Job](), dict[str, list[Job]](), set[str]()
    for job in jobs:
        if job.hash in hashes and not job.out.exists():
            duplicates.setdefault(job.hash, []).append(job)
        else:
            waiting.append(job)
            hashes.add(job.hash)
    return waiting, duplicates


def _copy_run(finished: Job, duplicate: Job) -> Job:
    """Copy a finished run's folder for a job with the same run (temporary copy, then rename); returns that job."""
    temporary = duplicate.out.with_name(f".{duplicate.out.name}.copy")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(finished.out, temporary, ignore=shutil.ignore_patterns("lock*", ".lock*"))
    temporary.rename(duplicate.out)
    return duplicate
