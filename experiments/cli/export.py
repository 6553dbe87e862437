"""`prospect export RUN`: writes a finished run's archive or trained agent for use by other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prospect_rl.experiments.cli.parser import Parser
from prospect_rl.experiments.reports.archive_csv import export
from prospect_rl.experiments.run import reopen
from prospect_rl.experiments.run.players import load, write, write_json, write_numpy
from prospect_rl.experiments.terminal import SEED_HELP, natural, out


def export_run(words: Sequence[str]) -> int:
    """Write the archive, the player or the NumPy policy of a finished run."""
    parser = Parser(
        prog="prospect export", description="Write the archive or the trained agent of a finished run to files."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="The folder of a finished run.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--out", type=Path, metavar="FILE",
        help="Write the archive as CSV: index, fitness, area, descriptor, genes (default: archive.csv in the run's "
        "folder)",
    )  # fmt: skip
    what.add_argument(
        "--player", type=Path, metavar="FOLDER", help="Write the trained agent, to be read by agents.load(FOLDER)."
    )
    what.add_argument(
        "--numpy", type=Path, metavar="FOLDER", help="Write the policy in plain NumPy: policy.py and policy.npz."
    )
    what.add_argument(
        "--json", type=Path, metavar="FILE",
        help="Write the policy as coefficients by name, for agents made of linear laws (smose, smose_ppo).",
    )  # fmt: skip
    parser.add_argument("--seed", type=natural, help=SEED_HELP)
    args = parser.parse_args(list(words))
    writers = {"player": write, "numpy": write_numpy, "json": write_json}
    for name, writer in writers.items():
        if path := getattr(args, name):
            player = load(args.run, args.seed)
            writer(player, path)
            out().print(f"{player!r}: {path}")
            return 0
    path = args.out or args.run / "archive.csv"
    count = export(reopen.open_run(args.run, args.seed), path)
    out().print(f"{count} entries: {path}")
    return 0
