"""`prospect export RUN`: writes a finished run's archive or trained agent for use by other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prospect_rl.experiments.cli.parser import Parser
from prospect_rl.experiments.reports.archive_csv import export
from prospect_rl.experiments.run import reopen
from prospect_rl.experiments.run.players import load, write, write_numpy
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
    parser.add_argument("--seed", type=natural, help=SEED_HELP)
    args = parser.parse_args(list(words))
    if args.player or args.numpy:
        player = load(args.run, args.seed)
        folder = args.player or args.numpy
        if args.player:
            write(player, folder)
        else:
            write_numpy(player, folder)
        out().print(f"{player!r}: {folder}")
        return 0
    path = args.out or args.run / "archive.csv"
    count = export(reopen.open_run(args.run, args.seed), path)
    out().print(f"{count} entries: {path}")
    return 0
