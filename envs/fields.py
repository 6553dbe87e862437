"""Validation of the fields of agents and environments against their annotations and bounds."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import field, fields
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, TypeVar

T = TypeVar("T")
WORDS = {"above": "above", "least": "at least", "below": "below", "most": "at most"}
INT32 = range(-(2**31), 2**31)
"""The integers that a compiled program can represent."""


def bounds(
    *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf, most: float = math.inf
) -> dict[str, float]:
    """Return field metadata with the bounds of a number, or of each number of a tuple.

    Args:
        above: The value must be greater than this.
        least: The value must be at least this.
        below: The value must be less than this.
        most: The value must be at most this.

    Returns:
        Metadata for `dataclasses.field`.
    """
    return {"above": above, "least": least, "below": below, "most": most}


def bounded(
    default: T, *, later: bool = False, alias: str | None = None, traced: bool = False, **limits: float
) -> T:  # fmt: skip
    """Declare a dataclass field with a default and bounds, to be checked by `check`.

    Args:
        default: The default value.
        later: Whether the field was added after results were published. At its default it is then left out of a run's
            hash, so that existing hashes stay valid; its default must never change, nor change existing results.
        alias: Another name of an agent's field, used by other libraries; accepted as keyword and flag, never hashed.
        traced: Whether a program may take the number as an argument, because it only enters arithmetic (no Python
            branch, no shape, nothing computed on the host); see `agents.api.traced`.
        **limits: `above`, `least`, `below`, `most`; see `bounds`.

    Returns:
        The field.
    """
    return field(default=default, metadata={**bounds(**limits), "later": later, "alias": alias, "traced": traced})


@cache
def aliases(cls: type) -> dict[str, str]:
    """Return the alias -> field name of a dataclass; a subclass with another default for the field keeps its alias."""
    found = (f for base in cls.__mro__ for f in base.__dict__.get("__dataclass_fields__", {}).values())
    return {f.metadata["alias"]: f.name for f in found if f.metadata.get("alias")}


def without_aliases(cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Replace aliases in keyword arguments by field names; raise ValueError if a field is given by both names."""
    known, named = aliases(cls), {}
    for name, value in given.items():
        if (field_name := known.get(name, name)) in named:
            other = next(x for x in given if x != name and known.get(x, x) == field_name)
            raise ValueError(f"{other} and {name} are two names of one setting: give one of them")
        named[field_name] = value
    return named


def check(config: Any) -> None:
    """Check every field of a dataclass against its annotation and bounds.

    Pytree leaves of an environment are checked only if they are Python floats: JAX rebuilds the object with traced
    arrays and placeholders in their place.

    Args:
        config: An instance of a dataclass (an agent, an environment or a recipe).

    Raises:
        ValueError: In one line, for the first field with a wrong type or a value out of bounds.
    """
    hints, flax = _hints(type(config)), getattr(config, "_flax_dataclass", False)
    for f in fields(config):
        value = getattr(config, f.name)
        if f.metadata.get("pytree_node", flax) and not isinstance(value, float):
            continue
        if wanted := _type_error(value, hints.get(f.name)) or _bounds_error(value, f.metadata):
            raise ValueError(f"{f.name} must be {wanted}")


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Return the annotation of each field."""
    try:
        return typing.get_type_hints(cls)
    except NameError:  # the annotations of a class defined inside a function may refer to local names
        return {}


def _type_error(value: Any, hint: Any) -> str | None:
    """Describe what `value` must be instead; None if it fits its annotation or that is not a simple type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [arg for arg in args if arg is not types.NoneType]
        return None if value is None or len(inner) > 1 else _type_error(value, inner[0])
    if origin is Literal:
        if any(value == arg and type(value) is type(arg) for arg in args):
            return None
        near = get_close_matches(value.lower(), map(str, args), 1, 0.4) if isinstance(value, str) else []
        return f"{_either(args)}, not {value!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    if origin is tuple:
        parts = (args[0],) * len(value) if isinstance(value, tuple) and args[-1] is Ellipsis else args
        if not isinstance(value, tuple) or len(value) != len(parts):
            return f"a tuple{'' if args[-1] is Ellipsis else f' of {len(args)}'}, not {value!r}"
        return next(filter(None, map(_type_error, value, parts)), None)
    if hint in (bool, int, float, str):
        kinds = (int, float) if hint is float else (hint,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
            return f"{hint.__name__}, not {value!r}"
    return None


def _bounds_error(value: Any, metadata: typing.Mapping[str, Any]) -> str | None:
    """Describe the bounds that a number, or one of a tuple, violates; a number without bounds must be finite."""
    if isinstance(value, tuple):
        return next(filter(None, (_bounds_error(part, metadata) for part in value)), None)
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
    """Format alternatives as `'a', 'b' or 'c'`."""
    *others, last = map(repr, known)
    return f"{', '.join(others)} or {last}" if others else last
