"""What all commands share: consoles, exit codes, kinds of arguments."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from io import TextIOWrapper

from rich.console import Console
from rich.markup import escape

from experiments.sweep import Outcome

FAILED, BAD_INPUT = 1, 2
WIDTH = 160
"""Columns where there is no terminal."""


def out() -> Console:
    """Where results are printed."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)


def err() -> Console:
    """Where progress is shown."""
    return Console(stderr=True, highlight=False)


def print_what_can_be() -> None:
    """Print `?` for what the terminal's encoding lacks, rather than end the command there."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def positive(word: str) -> int:
    """A whole number from 1 up, as an argument."""
    return _whole(word, 1)


def natural(word: str) -> int:
    """A whole number from 0 up, as an argument."""
    return _whole(word, 0)


def _whole(word: str, least: int) -> int:
    if not word.isdecimal() or int(word) < least:
        raise ArgumentTypeError(f"must be a whole number from {least} up, not {word!r}")
    return int(word)


def print_outcome(outcome: Outcome) -> int:
    """One line on a sweep, and one a failure; the exit code."""
    console = out()
    counts = {"done": outcome.finished, "finished before": outcome.skipped, "failed": outcome.failed}
    console.print(", ".join(f"{len(runs)} {what}" for what, runs in counts.items()))
    for job, error in outcome.failed:
        console.print(f"failed: {job.title}: {escape(error)}\n        {job.out}", soft_wrap=True)
    return FAILED if outcome.failed else 0
