"""Terminal output shared by all commands: consoles, tables, exit codes, argument types."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentTypeError
from contextlib import AbstractContextManager, nullcontext
from io import TextIOWrapper
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

FAILED, BAD_INPUT = 1, 2
"""Exit codes of the commands."""
WORKERS_HELP = "Number of runs at the same time; 2 or more run under Ray (default: 1)"
DEVICE_HELP = "Kind of device; auto: a GPU for runs that are faster there, if there is one (default: auto)"
SHARE_HELP = "Share of a GPU for each run on one, with 2 or more workers (default: by their number, at least .25)"
SEED_HELP = "Seed to select in a run with several seeds (default: its first)"
WIDTH = 10_000
"""Width in columns when the output is not a terminal, so that no line is wrapped."""


def out() -> Console:
    """The console for results (standard output)."""
    return _console(stderr=False)


def err() -> Console:
    """The console for progress (standard error)."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    """A console that prints text literally: `[...]` and `:...:` are not markup, and lines are not wrapped.

    It is interactive (may move the cursor) only in a terminal that supports this, never in a notebook or because of
    FORCE_COLOR.
    """
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    able = terminal and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    return Console(
        stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True, force_jupyter=False,
        force_interactive=able, width=None if terminal else WIDTH,
    )  # fmt: skip


def table(*headers: str) -> Table:
    """A table that truncates nothing: words too long for their column continue on the next line."""
    return Table(*(Column(header, overflow="fold") for header in headers))


def waiting(what: str) -> AbstractContextManager[Any]:
    """Show a status message in an interactive terminal while the context is active."""
    console = err()
    return console.status(Text(what)) if console.is_interactive else nullcontext()


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    out().print(json.dumps(value, indent=1, ensure_ascii=False))


def replace_unencodable() -> None:
    """Print `?` for characters that the terminal's encoding lacks, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def share(word: str) -> float:
    """Parse a share of a GPU, above 0 and at most 1."""
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise ArgumentTypeError(f"must be above 0 and at most 1, not {word!r}")
    return value


def positive(word: str) -> int:
    """Parse an integer of at least 1."""
    return _whole(word, 1)


def natural(word: str) -> int:
    """Parse an integer of at least 0."""
    return _whole(word, 0)


def _whole(word: str, least: int) -> int:
    if not word.isdecimal() or int(word) < least:
        raise ArgumentTypeError(f"must be an integer of at least {least}, not {word!r}")
    return int(word)
