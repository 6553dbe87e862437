"""`prospect data`: datasets that are made from a recipe and a seed (see `envs.datasets`)."""

from __future__ import annotations

import json
from typing import Any

from rich.markup import escape
from rich.table import Table

from envs import datasets
from experiments.console import err, out
from experiments.options import Parser, add_options, given
from experiments.runs import enable_compilation_cache

ACTIONS = ("list", "make", "show")


def data_command(words: list[str]) -> int:
    """List the datasets; make one; show the card of one, which makes it where it is not there."""
    parser = Parser(prog="prospect data", description="Datasets from a recipe and a seed; nothing is downloaded.")
    parser.add_argument("action", choices=ACTIONS, help="list: all names; make: one; show: its card")
    parser.add_argument("name", nargs="?", metavar="NAME")
    if name := next((word for word in words[1:] if not word.startswith("-")), None):
        add_options(parser, type(datasets.recipe(name)), title="recipe")
    args = parser.parse_args(words)
    if (args.action == "list") == bool(args.name):
        raise ValueError(
            "`data list` takes no name" if args.name else f"data {args.action} needs the name of a dataset"
        )
    if args.action == "list":
        table = Table("dataset", "recipe", "fields")
        for name, (place, fields) in datasets.DATASETS.items():
            table.add_row(name, place.partition(":")[2], ", ".join(f"{k}={v}" for k, v in fields.items()))
        out().print(table)
        return 0
    enable_compilation_cache()
    fields = given(args, "recipe")
    path, _ = datasets.paths(args.name, datasets.recipe(args.name, **fields))
    with err().status(f"{args.name} ..."):
        _, card = datasets.make_with_card(args.name, **fields)
    if args.action == "show":
        _print_card(card)
    out().print(escape(str(path)), soft_wrap=True)
    return 0


def _print_card(card: dict[str, Any]) -> None:
    table = Table("what", "value")
    for what, value in card.items():
        table.add_row(what, escape(value if isinstance(value, str) else json.dumps(value)))
    out().print(table)
