"""Command-line options from the fields of a dataclass: type, default and docstring of each.

Only fields of simple types become options; others (a spec, a table of levels) do not.
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

from prospect_rl.envs.fields import aliases

SIMPLE: dict[Any, Callable[[str], Any]] = {int: int, float: float, str: str}


@dataclass(frozen=True)
class Option:
    """One field as a command-line flag."""

    name: str
    """The name of the field."""
    default: Any
    """The default value of the field."""
    text: str
    """The field's docstring in one line."""
    parse: Callable[[str], Any]
    """Parses one command-line word; raises ValueError for a malformed one."""
    shown: str
    """Placeholder of the value in the help, e.g. `INT`."""
    alias: str | None = None
    """Another name that is accepted for the field."""


def docs_of(cls: type) -> dict[str, str]:
    """Field name -> the docstring below it, including base classes; read from the source code."""
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
    """(parser, placeholder) of a type, or None if the type cannot be an option."""
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
    """Parse `true` or `false`."""
    if word.lower() not in ("true", "false"):
        raise ValueError(f"must be true or false, not {word!r}")
    return word.lower() == "true"


def parse_choice(word: str, choices: tuple[Any, ...]) -> Any:
    """Return the choice whose text equals `word`."""
    for choice in choices:
        if str(choice) == word:
            return choice
    raise ValueError(f"must be one of {', '.join(map(str, choices))}, not {word!r}")


def options_of(cls: type) -> list[Option]:
    """The options of a dataclass in the order of its fields (base class first)."""
    hints, docs, options = typing.get_type_hints(cls), docs_of(cls), []
    alias_of = {field: alias for alias, field in aliases(cls).items()}
    for field in dataclasses.fields(cls):
        made = parser_of(hints[field.name])
        if not field.init or made is None or field.default is dataclasses.MISSING:
            continue
        options.append(Option(field.name, field.default, docs.get(field.name, ""), *made, alias_of.get(field.name)))
    return options


def show(value: Any) -> str:
    """Format a value as it is typed on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) or value is None else f"{value}"
