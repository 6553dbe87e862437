"""Command-line parser: errors in one line, and flags for the fields of a dataclass."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from typing import Any, NoReturn

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.options import Option, options_of, show
from prospect_rl.experiments.run.device import CHOICES
from prospect_rl.experiments.terminal import DEVICE_HELP, SHARE_HELP, share

STRANGE = "unrecognized arguments: "
"""Beginning of argparse's message about unknown arguments."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises ValueError with a one-line message and suggests the nearest known option."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **kwargs)
        # `main` removes it from every command line; it is declared here for the help text.
        self.add_argument("--debug", action="store_true", help="Show the traceback of an error.")

    def error(self, message: str) -> NoReturn:
        """Raise ValueError instead of printing the usage and exiting."""
        if message.startswith(STRANGE):
            strange = (word.partition("=")[0] for word in message.removeprefix(STRANGE).split())
            if flag := next((word for word in strange if word.startswith("--")), None):
                raise unknown("option", flag, self._option_string_actions)
        raise ValueError(message.replace("\n", " "))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise unknown("/".join(action.option_strings) or action.dest, str(value), map(str, action.choices))

    def format_help(self) -> str:
        """The help text, with named groups before the general options."""
        self._action_groups.sort(key=lambda group: group is self._optionals)
        return super().format_help()


class _Formatter(argparse.HelpFormatter):
    """Formatter that gives flags a third of the width, so that their help starts on the same line."""

    def __init__(self, prog: str, **kwargs: Any) -> None:
        width = min(shutil.get_terminal_size().columns - 2, 120)
        super().__init__(prog, max_help_position=max(24, width // 3), width=width, **kwargs)


def add_device(parser: argparse.ArgumentParser, *, shared: bool = False) -> None:
    """Add --device, and --gpu-share where several runs may share a GPU."""
    parser.add_argument("--device", default="auto", choices=CHOICES, help=DEVICE_HELP)
    if shared:
        parser.add_argument("--gpu-share", type=share, metavar="PART", help=SHARE_HELP)


def add_options(parser: argparse.ArgumentParser, cls: type, *, title: str, prefix: str = "") -> None:
    """Add a flag `--<prefix><field>` for every simple field of a dataclass; flags not given are absent."""
    group = parser.add_argument_group(title)
    for option in options_of(cls):
        names = [name for name in (option.name, option.alias) if name]
        flags = [f"--{prefix}{name.replace('_', '-')}" for name in names]
        text = f"{option.text} (default: {show(option.default)})".replace("%", "%%")
        group.add_argument(
            *flags, dest=f"{title}:{option.name}", type=_named(option), metavar=option.shown, help=text,
            default=argparse.SUPPRESS, action=_ByOneName,
        )  # fmt: skip


class _ByOneName(argparse.Action):
    """Store a value; raise where the flag was given by its other name before."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        by = vars(namespace).setdefault("_flags", {})
        if (other := by.setdefault(self.dest, option_string)) != option_string:
            parser.error(f"{other} and {option_string} are two names of one setting: give one of them")
        setattr(namespace, self.dest, values)


def given(args: argparse.Namespace, title: str) -> dict[str, Any]:
    """The fields of a group of `add_options` that were given on the command line."""
    return {k.split(":", 1)[1]: v for k, v in vars(args).items() if k.startswith(f"{title}:")}


def _named(option: Option) -> Callable[[str], Any]:
    def parse(word: str) -> Any:
        return option.parse(word)

    parse.__name__ = option.shown  # argparse uses it in its error: "invalid FLOAT value: 'x'"
    return parse
