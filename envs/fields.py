"""What a field of an agent or an environment may hold: annotation and bounds, checked when the object is made."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import field, fields
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, TypeVar

T = TypeVar("T")
WORDS = {"above": "above", "least": "at least", "below": "below", "most": "at most"}
INT32 = range(-(2**31), 2**31)
"""What a compiled program can count with."""


def bounds(
    *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf, most: float = math.inf
) -> dict[str, float]:
    """Metadata of a field: the bounds of a number, or of each number of a tuple; `above`, `below` exclude the bound."""
    return {"above": above, "least": least, "below": below, "most": most}


def bounded(default: T, *, later: bool = False, **limits: float) -> T:
    """A field of a dataclass with a default and `bounds`, for `check`.

    later: it came after results were published. At its default it is no part of a run's identity, so that theirs
    stays; the default must never change, nor alter what they were.
    """
    return field(default=default, metadata={**bounds(**limits), "later": later})


def check(config: Any) -> None:
    """Raise ValueError, in one line, for the first field of a dataclass with a wrong type or a value out of bounds.

    Array fields of an environment (its pytree leaves) are judged only where they are Python floats: JAX rebuilds the
    object with traced arrays and placeholders in their place.
    """
    hints, flax = _hints(type(config)), getattr(config, "_flax_dataclass", False)
    for f in fields(config):
        value = getattr(config, f.name)
        if f.metadata.get("pytree_node", flax) and not isinstance(value, float):
            continue
        if must := _misfit(value, hints.get(f.name)) or _outside(value, f.metadata):
            raise ValueError(f"{f.name} must be {must}")


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Field -> annotation."""
    try:
        return typing.get_type_hints(cls)
    except NameError:  # a class made inside a function may name types that are known only there
        return {}


def _misfit(value: Any, hint: Any) -> str | None:
    """What `value` must be and is not, in words; None where it fits its annotation, or where that is no simple type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [arg for arg in args if arg is not types.NoneType]
        return None if value is None or len(inner) > 1 else _misfit(value, inner[0])
    if origin is Literal:
        if any(value == arg and type(value) is type(arg) for arg in args):
            return None
        near = get_close_matches(value.lower(), map(str, args), 1, 0.4) if isinstance(value, str) else []
        return f"{_either(args)}, not {value!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    if origin is tuple:
        parts = (args[0],) * len(value) if isinstance(value, tuple) and args[-1] is Ellipsis else args
        if not isinstance(value, tuple) or len(value) != len(parts):
            return f"a tuple{'' if args[-1] is Ellipsis else f' of {len(args)}'}, not {value!r}"
        return next(filter(None, map(_misfit, value, parts)), None)
    if hint in (bool, int, float, str):
        kinds = (int, float) if hint is float else (hint,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
            return f"{hint.__name__}, not {value!r}"
    return None


def _outside(value: Any, metadata: typing.Mapping[str, Any]) -> str | None:
    """The bounds that a number, or one of a tuple's, does not keep, in words; a number without bounds is finite."""
    if isinstance(value, tuple):
        return next(filter(None, (_outside(part, metadata) for part in value)), None)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if isinstance(value, int) and value not in INT32:
        return f"between -2**31 and 2**31 - 1, not {value}"
    limits = bounds() | {name: metadata[name] for name in WORDS if name in metadata}
    if limits["above"] < value < limits["below"] and limits["least"] <= value <= limits["most"]:
        return None
    said = [f"{word} {limits[name]:,.10g}" for name, word in WORDS.items() if math.isfinite(limits[name])]
    return f"{' and '.join(said) or 'a finite number'}, not {value!r}"


def _either(known: tuple[Any, ...]) -> str:
    """`'a', 'b' or 'c'`."""
    *others, last = map(repr, known)
    return f"{', '.join(others)} or {last}" if others else last
