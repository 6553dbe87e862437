"""Progress display of one run: a bar in a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PAUSE = 10.0
"""Seconds between lines if the output is not a terminal."""


def clock(seconds: float | None) -> str:
    """A human-readable duration, e.g. `1:02:05`."""
    if seconds is None:
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@contextmanager
def run_display(console: Console, title: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function for `train(progress=...)` that shows a bar with the last return, or prints lines."""
    if not console.is_interactive:
        yield _run_lines(console, title)
        return
    console.print(title)  # on a separate line: the bar and its numbers take 80 columns
    left = TimeRemainingColumn(compact=True, elapsed_when_finished=True)
    columns = (BarColumn(), _text("{task.fields[used]}"), left, _text("{task.fields[last]}"))
    with Progress(*columns, console=console) as shown:
        bar = shown.add_task("", total=None, used="compiling", last="")

        def update(now: dict[str, Any]) -> None:
            for notice in now["notices"]:
                console.print(f"note: {notice}")
            used = _used(now) if now["used"] else "compiling"
            shown.update(bar, total=now["budget"], completed=now["used"], used=used)
            if now["rows"]:
                shown.update(bar, last=figures(now["rows"][-1]))

        yield update
        if not shown.tasks[0].total:  # nothing was run: the run was already finished
            shown.remove_task(bar)


def _text(form: str) -> TextColumn:
    return TextColumn(form, markup=False)


def _used(now: dict[str, Any]) -> str:
    return f"{now['used']:,}/{now['budget']:,} {now['unit']}"


def _run_lines(console: Console, title: str) -> Callable[[dict[str, Any]], None]:
    said = time.monotonic()

    def update(now: dict[str, Any]) -> None:
        nonlocal said
        for notice in now["notices"]:
            console.print(f"note: {notice}")
        over = now["used"] >= now["budget"]
        if time.monotonic() - said >= PAUSE or over:
            said = time.monotonic()
            last = f", {figures(now['rows'][-1])}" if now["rows"] else ""
            console.print(f"{title}: {_used(now)}{last}")

    return update


def figures(row: dict[str, Any]) -> str:
    """Return and coverage of a metrics row, as text."""
    shown = {"return": row.get("eval/return"), "coverage": row.get("ledger/coverage")}
    return ", ".join(f"{name} {value:.3g}" for name, value in shown.items() if value is not None)
