"""One clear line for a name that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

FEW = 12
"""Names that fit in one line."""


def unknown(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error to raise for an unknown `name`: it gives the nearest known one; all of them where they are few."""
    known = list(known)
    if near := nearest(name, known, 0.4):
        hint = f"did you mean {near!r}?"
    elif len(known) > FEW:
        hint = f"the nearest of {len(known)} is {nearest(name, known)!r}"
    else:
        hint = f"known: {', '.join(known) or 'none'}"
    return ValueError(f"unknown {kind} {name!r}; {hint}")


def nearest(name: str, known: Iterable[str], least: float = 0.0) -> str | None:
    """The known name most like `name`, whatever its case; None if all are less like it than `least` (0 to 1)."""
    lower = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), lower, 1, least)
    return lower[near[0]] if near else None
