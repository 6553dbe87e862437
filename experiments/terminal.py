"""What all commands share: consoles, tables, exit codes, kinds of arguments."""

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
WIDTH = 10_000
"""Columns where there is no terminal: no line is broken there."""


def out() -> Console:
    """Where results are printed."""
    return _console(stderr=False)


def err() -> Console:
    """Where progress is shown."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    """Prints texts as they are: `[...]` and `:...:` in them are no markup, and lines are not broken.

    It is interactive, so that it may move the cursor, in a terminal that can do so alone (in no notebook, and not
    because of FORCE_COLOR).
    """
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    able = terminal and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    return Console(
        stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True, force_jupyter=False,
        force_interactive=able, width=None if terminal else WIDTH,
    )  # fmt: skip


def table(*headers: str) -> Table:
    """A table that loses no letter: words too long for their column go on in the next line."""
    return Table(*(Column(header, overflow="fold") for header in headers))


def waiting(what: str) -> AbstractContextManager[Any]:
    """Shows what is being done while it lasts, in a terminal."""
    console = err()
    return console.status(Text(what)) if console.is_interactive else nullcontext()


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    out().print(json.dumps(value, indent=1, ensure_ascii=False))


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
