"""Printing the result of a sweep."""

from __future__ import annotations

from collections.abc import Iterable

from prospect_rl.experiments.sweeps.job import Job, Outcome, notices
from prospect_rl.experiments.terminal import FAILED, err, out


def print_outcome(outcome: Outcome) -> int:
    """Print a summary line, then a line per failure and notice; returns the exit code."""
    console = out()
    counts = {"done": outcome.finished, "finished before": outcome.skipped, "failed": outcome.failed}
    console.print(", ".join(f"{len(runs)} {what}" for what, runs in counts.items()))
    for job, error in outcome.failed:
        console.print(f"failed: {job.title}: {error}\n        {job.out}")
    print_notices([*outcome.skipped, *outcome.finished, *(job for job, _ in outcome.failed)])
    return FAILED if outcome.failed else 0


def print_notices(jobs: Iterable[Job]) -> None:
    """Print the notices of these runs, each text once, with the first run that has it and the number of others."""
    runs: dict[str, list[Job]] = {}
    for job in jobs:
        for text in notices(job.out):
            runs.setdefault(text, []).append(job)
    for text, (first, *others) in runs.items():
        err().print(f"note: {first.title}{f' and {len(others)} more' if others else ''}: {text}")
