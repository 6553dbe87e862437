"""Fields of a dataclass as options: the type, default and docstring of each.

Only fields of simple types; others (a spec, a table of levels) are no options.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

SIMPLE: dict[Any, Callable[[str], Any]] = {int: int, float: float, str: str}


@dataclass(frozen=True)
class Option:
    """One field as a flag."""

    name: str
    default: Any
    text: str
    """Its docstring, in one line."""
    parse: Callable[[str], Any]
    """From one command-line word; ValueError where it cannot."""
    shown: str
    """The form of its value, for the help."""


def docs_of(cls: type) -> dict[str, str]:
    """Field name -> the docstring under it, base classes included; read from the source."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except (OSError, TypeError, SyntaxError):
            continue
        statements = getattr(body, "body", [])
        for field, doc in zip(statements, statements[1:], strict=False):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant):
                found[field.target.id] = " ".join(str(doc.value.value).split())
    return found


def parser_of(hint: Any) -> tuple[Callable[[str], Any], str] | None:
    """(parse, form shown) for a type, or None where it is no flag."""
    if hint is bool:
        return parse_bool, "true|false"
    if hint in SIMPLE:
        return SIMPLE[hint], hint.__name__.upper()
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return lambda word: parse_choice(word, args), "|".join(map(str, args))
    if origin in (typing.Union, types.UnionType) and type(None) in args:
        inner = parser_of(next(a for a in args if a is not type(None))) if len(args) == 2 else None
        return inner and ((lambda word: None if word == "none" else inner[0](word)), f"{inner[1]}|none")
    if origin is tuple and args and args[0] in SIMPLE and set(args) <= {args[0], Ellipsis}:
        item = SIMPLE[args[0]]
        return (lambda word: tuple(item(part) for part in word.split(",") if part)), f"{args[0].__name__.upper()},..."
    return None


def parse_bool(word: str) -> bool:
    """`true` or `false`."""
    if word.lower() not in ("true", "false"):
        raise ValueError(f"neither true nor false: {word!r}")
    return word.lower() == "true"


def parse_choice(word: str, choices: tuple[Any, ...]) -> Any:
    """The choice that is written so."""
    for choice in choices:
        if str(choice) == word:
            return choice
    raise ValueError(f"not one of {', '.join(map(str, choices))}: {word!r}")


def options_of(cls: type) -> list[Option]:
    """The flags of a dataclass, in the order of its fields (the base's first)."""
    hints, docs, options = typing.get_type_hints(cls), docs_of(cls), []
    for field in dataclasses.fields(cls):
        made = parser_of(hints[field.name])
        if not field.init or made is None or field.default is dataclasses.MISSING:
            continue
        options.append(Option(field.name, field.default, docs.get(field.name, ""), *made))
    return options


def show(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) or value is None else f"{value}"
