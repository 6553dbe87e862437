"""`prospect export RUN`: what a finished run has found, for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prospect_rl.experiments.cli.parser import Parser
from prospect_rl.experiments.reports.archive_csv import export
from prospect_rl.experiments.run import reopen
from prospect_rl.experiments.run.players import load, write, write_numpy
from prospect_rl.experiments.terminal import natural, out


def export_run(words: Sequence[str]) -> int:
    """Hand out what a finished run has found."""
    parser = Parser(prog="prospect export", description="What a finished run has found, for other programs.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--out", type=Path, metavar="FILE",
        help="the archive as CSV: index, fitness, area, descriptor, genes (default: archive.csv in the run's folder)",
    )  # fmt: skip
    what.add_argument("--player", type=Path, metavar="FOLDER", help="the trained agent, for agents.load(FOLDER)")
    what.add_argument("--numpy", type=Path, metavar="FOLDER", help="its policy in NumPy: policy.py, policy.npz")
    parser.add_argument("--seed", type=natural, help="of a run with several (default: its first)")
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
