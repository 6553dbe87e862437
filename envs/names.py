"""A one-line error for an unknown name, with the nearest known one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MOST_LISTED = 12
"""The error lists all known names if there are at most this many."""


def unknown(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """Return the error to raise for an unknown name.

    Args:
        kind: What is named, in one or two words, e.g. "environment".
        name: The unknown name.
        known: The known names.

    Returns:
        A ValueError whose message gives the nearest known name, or all of them if there are at most `MOST_LISTED`.
    """
    known = list(known)
    if near := nearest(name, known, 0.4):
        hint = f"did you mean {near!r}?"
    elif len(known) > MOST_LISTED:
        hint = f"the nearest of {len(known)} is {nearest(name, known)!r}"
    else:
        hint = f"known: {', '.join(known) or 'none'}"
    return ValueError(f"unknown {kind} {name!r}; {hint}")


def nearest(name: str, known: Iterable[str], least: float = 0.0) -> str | None:
    """Return the known name most similar to `name`, ignoring case.

    Args:
        name: The name to look for.
        known: The names to choose from.
        least: Smallest accepted similarity, from 0 to 1 (difflib's ratio).

    Returns:
        The most similar name, or None if none reaches `least`.
    """
    lower = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), lower, 1, least)
    return lower[near[0]] if near else None
