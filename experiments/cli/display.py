"""Progress display of a sweep: bars in a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress

from prospect_rl.experiments.run.bar import PAUSE, _text, clock
from prospect_rl.experiments.sweeps import sweep


@contextmanager
def sweep_display(console: Console) -> Iterator[Callable[[sweep.Progress], None]]:
    """Yield a function for `sweep(display=...)` that shows an overall bar and one per running run, or prints lines."""
    if not console.is_interactive:
        yield _lines(console)
        return
    columns = (_text("{task.description}"), BarColumn(), _text("{task.percentage:>3.0f} %"))
    bars: dict[Any, Any] = {}
    with Progress(*columns, console=console, transient=True) as shown:
        overall = shown.add_task("", total=1.0)

        def update(now: sweep.Progress) -> None:
            shown.update(overall, completed=now.share, description=counts(now))
            running = {job.out: job for job in now.running}
            for out in [out for out in bars if out not in running]:
                shown.remove_task(bars.pop(out))
            for out, job in running.items():
                if out not in bars:
                    bars[out] = shown.add_task(job.title, total=1.0)
                shown.update(bars[out], completed=job.progress())

        yield update


def counts(now: sweep.Progress) -> str:
    """The progress of a sweep in one line."""
    done = len(now.outcome.skipped) + len(now.outcome.finished)
    failed = f", {len(now.outcome.failed)} failed" if now.outcome.failed else ""
    return f"{done}/{now.total} done, {len(now.running)} running{failed}, {clock(now.seconds_left())} left"


def _lines(console: Console) -> Callable[[sweep.Progress], None]:
    said = -PAUSE

    def update(now: sweep.Progress) -> None:
        nonlocal said
        if time.monotonic() - said >= PAUSE or not (now.running or now.waiting):
            said = time.monotonic()
            parts = [f"{job.title} {100 * job.progress():.0f} %" for job in now.running]
            console.print("; ".join([counts(now), *parts]))

    return update
