"""`prospect data`: lists, builds, shows and exports datasets (see `envs.data.datasets`)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from prospect_rl import envs
from prospect_rl.envs.data import datasets
from prospect_rl.envs.names import unknown
from prospect_rl.experiments.cli.parser import Parser, add_options, given
from prospect_rl.experiments.run import machine
from prospect_rl.experiments.terminal import out, table, waiting

ACTIONS = ("list", "make", "show", "export")
ABOUT = """List, build, show and export datasets. They are built from a recipe and a seed; nothing is downloaded. NAME
may also be `minari/` and the id of a Minari dataset on this machine, or the path of a file (.npz, .safetensors, .hdf5)
with arrays under our names or D4RL's."""


def data_command(words: list[str]) -> int:
    """List the datasets, build one, show its card (building it if necessary), or export it to Minari."""
    parser = Parser(prog="prospect data", description=ABOUT)
    parser.add_argument(
        "action", choices=ACTIONS,
        help="List all names, make a dataset, show a dataset's card, or export a dataset to Minari.",
    )  # fmt: skip
    parser.add_argument("name", nargs="?", metavar="NAME", help="The name or file of the dataset.")
    parser.add_argument(
        "id", nargs="?", metavar="MINARI_ID", help="For export: id of the new Minari dataset, e.g. mine/hopper-v0."
    )
    parser.add_argument(
        "--env", metavar="ENV", help="For export: id of the environment of the data (default: that of the recipe)"
    )
    parser.add_argument("--author", metavar="WHO", help="For export: author named in the Minari dataset.")
    if name := next((word for word in words[1:] if not word.startswith("-")), None):
        add_options(parser, type(datasets.recipe(name)), title="recipe")
    args = parser.parse_args(words)
    if (args.action == "list") == bool(args.name):
        raise ValueError(
            "`data list` takes no name" if args.name else f"data {args.action} needs the name of a dataset"
        )
    if (args.action == "export") != bool(args.id):
        raise ValueError("only data export takes the id of a new Minari dataset, after the name: e.g. data export NAME "
                         "mine/hopper-v0")  # fmt: skip
    if args.action == "list":
        names = table("dataset", "recipe", "fields")
        for name, (place, fields) in datasets.DATASETS.items():
            names.add_row(name, place.partition(":")[2], ", ".join(f"{k}={v}" for k, v in fields.items()))
        out().print(names)
        return 0
    machine.enable_compilation_cache()
    path = _export(args) if args.action == "export" else _make(args)
    out().print(str(path))
    return 0


def _make(args: argparse.Namespace) -> Path:
    """Build the data and, for `show`, print its card; returns the path of the data."""
    fields = given(args, "recipe")
    made = datasets.recipe(args.name, **fields)
    with waiting(f"{args.name} ..."):
        _, card = datasets.make_with_card(args.name, **fields)
    if args.action == "show":
        _print_card(card)
    return made.source if isinstance(made, datasets.External) else datasets.paths(args.name, made)[0]


def _export(args: argparse.Namespace) -> Path:
    """Write the data as a new Minari dataset; returns its folder."""
    from prospect_rl.envs.data import minari

    minari.vacant(args.id)
    made = datasets.recipe(args.name, **given(args, "recipe"))
    env = args.env or getattr(made, "env", args.name.rpartition("/")[0])
    if env not in envs.ENVS and args.env:
        raise unknown("environment", env, envs.ENVS)
    if env not in envs.ENVS:
        raise ValueError(f"{args.name} does not name its environment: add --env ENV")
    own = {} if args.env else dict(getattr(made, "env_fields", ()))
    with waiting(f"{args.name} ..."):
        dataset, card = datasets.make_with_card(args.name, **given(args, "recipe"))
        about = f"{args.name} {json.dumps(card['fields'])}, SHA-256 {card['sha256']}"
        return minari.export(
            dataset, args.id, env, fields=own, author=args.author, algorithm=card["recipe"], description=about
        )


def _print_card(card: dict[str, Any]) -> None:
    facts = table("what", "value")
    for what, value in card.items():
        facts.add_row(what, value if isinstance(value, str) else json.dumps(value))
    out().print(facts)
