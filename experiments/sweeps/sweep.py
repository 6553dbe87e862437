"""Many runs: a sorted list of jobs, each done by a process of its own with one XLA thread.

    with pool(workers) as workers:            # one process after another, or Ray tasks; BEFORE JAX is imported
        jobs = plan(load("serene_maze"), "repro")
        outcome = sweep(jobs, workers)

A job is a few plain values; the worker rebuilds the run from them. A run finds its own newest checkpoint, so a
retry, a lost node and a second call of the sweep are one code path. XLA's bits depend on its number of threads,
so every way of running sets it to one, and all ways give the same files.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from prospect_rl.experiments.sweeps.job import Job, Outcome
from prospect_rl.experiments.sweeps.workers import Pool

CRASHES = 2
"""A run whose process died (memory, a lost node) is tried again this many times; one that raised is not."""


# --- jobs --------------------------------------------------------------------------------------------


# --- the loop ----------------------------------------------------------------------------------------


@dataclass
class Progress:
    """Where a sweep stands; handed to the display about once a second."""

    total: int
    outcome: Outcome
    running: tuple[Job, ...] = ()
    waiting: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def share(self) -> float:
        """Part of all budgets that is used, 0 to 1."""
        over = self.total - len(self.running) - self.waiting
        return (over + sum(job.progress() for job in self.running)) / max(1, self.total)

    def seconds_left(self) -> float | None:
        """An estimate from the runs of this call alone; None before there is any."""
        skipped = len(self.outcome.skipped) / max(1, self.total)
        gained = self.share - skipped
        return (time.monotonic() - self.started) * (1 - self.share) / gained if gained > 0.01 else None


def sweep(
    jobs: Iterable[Job], pool: Pool, *, nice: bool = False, display: Callable[[Progress], None] | None = None
) -> Outcome:
    """Run all jobs that have not finished; failures are collected, never hidden.

    Jobs of one configuration and seed are one run: it is done once, and its folder copied for the others. On
    KeyboardInterrupt the running ones are asked to save and to stop, and the interrupt goes on upwards.
    """
    jobs, outcome, crashes = list(jobs), Outcome(), dict[Path, int]()
    todo = list[Job]()
    for job in jobs:  # each result is read once: there may be ten thousand
        (outcome.skipped if job.finished() else todo).append(job)
    done = {job.hash: job for job in outcome.skipped}
    outcome.finished = [_copied(done[job.hash], job) for job in todo if job.hash in done and not job.out.exists()]
    copied = {job.out for job in outcome.finished}
    waiting, twins = _without_twins(job for job in todo if job.out not in copied)
    progress = Progress(len(jobs), outcome)
    try:
        while waiting or pool.running:
            while waiting and len(pool.running) < pool.capacity:
                job = waiting.popleft()
                pool.start(job, {**job.message, "nice": nice})
            for job, error, crashed in pool.wait(1.0):
                if error is None:
                    outcome.finished += [job, *(_copied(job, twin) for twin in twins.pop(job.hash, ()))]
                elif crashed and crashes.get(job.out, 0) < CRASHES:
                    crashes[job.out] = crashes.get(job.out, 0) + 1
                    waiting.append(job)
                else:
                    outcome.failed += [(failed, error) for failed in (job, *twins.pop(job.hash, ()))]
            progress.running = tuple(pool.running)
            progress.waiting = len(waiting) + sum(map(len, twins.values()))
            if display:
                display(progress)
    except KeyboardInterrupt:
        pool.interrupt()
        raise
    place = {job.out: i for i, job in enumerate(jobs)}
    outcome.finished.sort(key=lambda job: place[job.out])
    outcome.failed.sort(key=lambda pair: place[pair[0].out])
    return outcome


def _without_twins(jobs: Iterable[Job]) -> tuple[deque[Job], dict[str, list[Job]]]:
    """(jobs to do, hash -> those that are the same run as one of them and have not begun)."""
    waiting, twins, hashes = deque[Job](), dict[str, list[Job]](), set[str]()
    for job in jobs:
        if job.hash in hashes and not job.out.exists():
            twins.setdefault(job.hash, []).append(job)
        else:
            waiting.append(job)
            hashes.add(job.hash)
    return waiting, twins


def _copied(job: Job, twin: Job) -> Job:
    """The twin, whose folder is now that of a finished job: copied aside, then renamed."""
    aside = twin.out.with_name(f".{twin.out.name}.copy")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(job.out, aside, ignore=shutil.ignore_patterns("lock*", ".lock*"))
    aside.rename(twin.out)
    return twin
