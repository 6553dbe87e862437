"""Command-line flags from the fields of a dataclass: their types, defaults and the docstring under each.

Only for fields of simple types; others (a spec, a table of levels) are no flags.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import shutil
import textwrap
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from prospect_rl.envs.names import unknown

STRANGE = "unrecognized arguments: "
"""How argparse begins its complaint about words that it does not know."""
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


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ValueErrors with one line, which name the nearest option for a wrong one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **kwargs)
        # `main` takes it out of any command line: here it is for the help.
        self.add_argument("--debug", action="store_true", help="show where an error comes from")

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        if message.startswith(STRANGE):
            strange = (word.partition("=")[0] for word in message.removeprefix(STRANGE).split())
            if flag := next((word for word in strange if word.startswith("--")), None):
                raise unknown("option", flag, self._option_string_actions)
        raise ValueError(message.replace("\n", " "))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise unknown("/".join(action.option_strings) or action.dest, str(value), map(str, action.choices))

    def format_help(self) -> str:
        """The help, with groups that have a name before the general options."""
        self._action_groups.sort(key=lambda group: group is self._optionals)
        return super().format_help()


class _Formatter(argparse.HelpFormatter):
    """Flags with their forms take a third of the width; what they mean begins beside them, not below."""

    def __init__(self, prog: str, **kwargs: Any) -> None:
        width = min(shutil.get_terminal_size().columns - 2, 120)
        super().__init__(prog, max_help_position=max(24, width // 3), width=width, **kwargs)


def add_options(parser: argparse.ArgumentParser, cls: type, *, title: str, prefix: str = "") -> None:
    """Add a flag `--<prefix><field>` for every simple field of a dataclass; one not given is absent."""
    group = parser.add_argument_group(title)
    for option in options_of(cls):
        flag = f"--{prefix}{option.name.replace('_', '-')}"
        text = f"{option.text} (default: {show(option.default)})".replace("%", "%%")
        group.add_argument(
            flag, dest=f"{title}:{option.name}", type=_named(option), metavar=option.shown, help=text,
            default=argparse.SUPPRESS,
        )  # fmt: skip


def given(args: argparse.Namespace, title: str) -> dict[str, Any]:
    """The fields of a group of `add_options` that the command line gave."""
    return {k.split(":", 1)[1]: v for k, v in vars(args).items() if k.startswith(f"{title}:")}


def show(value: Any) -> str:
    """A value as one would type it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) or value is None else f"{value}"


def _named(option: Option) -> Callable[[str], Any]:
    def parse(word: str) -> Any:
        return option.parse(word)

    parse.__name__ = option.shown  # argparse names it in its error: "invalid FLOAT value: 'x'"
    return parse
