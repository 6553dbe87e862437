"""What parses the command line: one-line errors, and flags for the fields of a dataclass."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from typing import Any, NoReturn

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.options import Option, options_of, show

STRANGE = "unrecognized arguments: "
"""How argparse begins its complaint about words that it does not know."""


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


def _named(option: Option) -> Callable[[str], Any]:
    def parse(word: str) -> Any:
        return option.parse(word)

    parse.__name__ = option.shown  # argparse names it in its error: "invalid FLOAT value: 'x'"
    return parse
