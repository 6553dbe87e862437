"""`prospect report`: writes report pages from finished runs or from the committed tables."""

from __future__ import annotations

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.api import GPU, TIERS
from prospect_rl.experiments.cli.parser import Parser
from prospect_rl.experiments.register import EXPERIMENTS, is_experiment, load
from prospect_rl.experiments.terminal import out
from prospect_rl.experiments.terminal import table as table_of


def print_report(name: str, tier: str, *, from_summary: bool = False) -> None:
    """Write a report and print its claims and the paths of its files."""
    from prospect_rl.experiments.reports.report import number, report

    made, console = report(load(name), tier, from_summary=from_summary), out()
    if made.verdicts:
        table = table_of("claim", "verdict", "left", "right", "difference", "95 %", "p")
        for v in made.verdicts:
            sides = [f"{s.label} {number(s.mean)} (n={len(s.values)})" if s else "" for s in (v.left, v.right)]
            outcome = v.outcome + (" (reduced)" if v.reduced else "")
            interval = f"{number(v.low)} to {number(v.high)}"
            table.add_row(v.claim.name, outcome, *sides, number(v.difference), interval, number(v.p))
        console.print(table)
    for path in [made.folder / "README.md", *made.pictures]:
        console.print(str(path))


def report_command(words: list[str]) -> int:
    """Write one experiment's report, or rewrite all pages."""
    parser = Parser(prog="prospect report", description="Write reports from finished runs, or from committed tables.")
    parser.add_argument("name", nargs="?", metavar="EXPERIMENT", help="A registered experiment or a Python file.")
    parser.add_argument(
        "--tier", choices=TIERS, help="Tier to report (default: that of the committed tables, else repro)"
    )
    parser.add_argument("--from-summary", action="store_true", help="Use only the committed tables, without the runs.")
    parser.add_argument(
        "--all", action="store_true",
        help="Rewrite all pages from the committed tables, including the overview and the site.",
    )  # fmt: skip
    args = parser.parse_args(words)
    if args.all == bool(args.name):
        raise ValueError("report needs the name of an experiment, or --all")
    from prospect_rl.experiments.reports import report as reports

    if args.name and not is_experiment(args.name):
        raise unknown("experiment", args.name, EXPERIMENTS)
    if args.name:
        tier = args.tier or reports.tier_of(reports.RESULTS / load(args.name).name) or "repro"
        print_report(args.name, tier, from_summary=args.from_summary)
        return 0
    for name in EXPERIMENTS:
        for folder in (reports.RESULTS / name, reports.RESULTS / GPU / name):
            if tier := reports.tier_of(folder):
                reports.report(load(name), tier, from_summary=True)
    from prospect_rl.experiments import bench
    from prospect_rl.experiments.reports import defaults, on_gpu, undecided
    from prospect_rl.experiments.reports.overview import overview, write_front
    from prospect_rl.experiments.site.build import write

    if (defaults.RESULTS / "summary.csv").exists():
        defaults.write(defaults.collect([]))
    for path in (overview(), undecided.write(), on_gpu.write(), *bench.page(), *write_front(), *write()):
        out().print(str(path))
    return 0
