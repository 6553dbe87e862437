"""The command line: `prospect <command>`, or `python -m experiments <command>`.

Exit codes: 0 well; 1 a run failed; 2 bad input (one line says what); 130 interrupted (the runs are saved).
Imports wait until a command needs them: JAX takes seconds, and a sweep must start Ray before it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence

from prospect_rl.envs.names import unknown
from prospect_rl.envs.threads import threads
from prospect_rl.experiments.api import EXPERIMENTS, TIERS, is_experiment, load
from prospect_rl.experiments.child import INTERRUPTED
from prospect_rl.experiments.console import (
    BAD_INPUT,
    FAILED,
    err,
    out,
    positive,
    print_json,
    print_outcome,
    print_what_can_be,
)
from prospect_rl.experiments.console import table as table_of
from prospect_rl.experiments.options import Parser
from prospect_rl.experiments.workers import worker_environment


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. `--debug` shows tracebacks."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    os.environ.pop("MPLBACKEND", None)  # pictures go to files: the backend of a notebook need not be installed here
    print_what_can_be()
    if words == ["_work"]:
        from prospect_rl.experiments.child import serve

        return serve()
    try:
        threads()  # refuses a bad NPROC before anything reads it
        with warnings.catch_warnings():  # as one line, without the place in the code
            warnings.showwarning = lambda message, *_, **__: err().print(f"note: {message}")
            return command(words)
    except SystemExit as end:  # argparse has printed a help
        return int(end.code or 0)
    except KeyboardInterrupt:
        _hold_interrupts()
        for console in (out(), err()):
            if console.is_interactive:
                console.show_cursor()  # one more Ctrl-C may have cut off what a bar tidies up
        err().print("prospect: interrupted; what ran is saved, and the same command goes on from there")
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # `prospect list | head`: nobody listens any more
        return 0
    except Exception as error:
        if debug:
            raise
        line = " ".join(str(error).split())
        bad = isinstance(error, ValueError)
        err().print(f"prospect: {line if bad else f'{type(error).__name__}: {line} (--debug shows where)'}")
        return BAD_INPUT if bad else FAILED


def _hold_interrupts() -> None:
    """Whoever presses Ctrl-C again and again gets one message and one exit code."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def command(words: list[str]) -> int:
    """Dispatch on the first word."""
    if words and not words[0].startswith("-"):
        if words[0] not in COMMANDS:
            raise unknown("command", words[0], COMMANDS)
        return COMMANDS[words[0]](words[1:])
    parser = Parser(
        prog="prospect", usage="prospect COMMAND [options]",
        description="Sparse-reward reinforcement learning: runs, sweeps and reports.",
        epilog="prospect COMMAND --help says more of a command.",
    )  # fmt: skip
    parser.add_argument("--version", action="store_true", help="say which version this is")
    names = parser.add_argument_group("commands")
    for name, function in COMMANDS.items():
        names.add_argument(name, help=(function.__doc__ or "").split("\n")[0], nargs="?")
    args = parser.parse_args(words)
    if not args.version:
        raise ValueError(f"a command must come first: {', '.join(COMMANDS)}")
    from prospect_rl.experiments.doctor import version_of

    out().print(f"prospect {version_of('prospect-rl')}")
    return 0


# --- run, sweep --------------------------------------------------------------------------------------


def cmd_run(words: list[str]) -> int:
    """Run an agent, or an experiment with its report: run AGENT [ENV] [options], run EXPERIMENT [options]."""
    if not words or words[0].startswith("-"):
        if set(words) & {"-h", "--help"}:
            for line in RUN_HELP:
                out().print(line)
            return 0
        raise ValueError("run needs a name first: prospect run AGENT, or prospect run EXPERIMENT")
    if is_experiment(words[0]):
        return run_experiment(words[0], words[1:], then_report=True)
    _pin_process()
    from prospect_rl import agents

    if words[0] not in agents.AGENTS:
        raise unknown("agent or experiment", words[0], [*agents.AGENTS, *EXPERIMENTS])
    from prospect_rl.experiments.single import run_agent

    return run_agent(words[0], words[1:])


def cmd_sweep(words: list[str]) -> int:
    """Run all cells of an experiment that have not finished, without a report: sweep EXPERIMENT [options]."""
    if not words or words[0].startswith("-"):
        if set(words) & {"-h", "--help"}:
            _experiment_parser("sweep", "EXPERIMENT").print_help()
            return 0
        raise ValueError("sweep needs the name of an experiment first")
    if not is_experiment(words[0]):
        raise unknown("experiment", words[0], EXPERIMENTS)
    return run_experiment(words[0], words[1:], then_report=False)


def cmd_search(words: list[str]) -> int:
    """Search for settings of an agent, as an experiment declares it: search EXPERIMENT [--workers N] [--trials N]."""
    from prospect_rl.experiments.search import search_experiment

    return search_experiment(words)


def _pin_process() -> None:
    """Give this process, before JAX starts in it, what workers get: then both write the same bits."""
    for name, value in worker_environment().items():
        if name != "PYTHONPATH":
            os.environ.setdefault(name, value)


def _experiment_parser(verb: str, name: str) -> Parser:
    does = "run its cells that have not finished" + (", then write its report" if verb == "run" else "")
    parser = Parser(prog=f"prospect {verb} {name}", description=f"An experiment: {does}.")
    parser.add_argument("--tier", default="smoke", choices=TIERS, help="how much to run (default: smoke)")
    parser.add_argument("--seeds", type=positive, metavar="N", help="at most this many seeds an agent")
    parser.add_argument("--agents", metavar="A,B", help="only these labels, with commas between")
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="runs at once; 2 and more by Ray")
    parser.add_argument("--nice", action="store_true", help="give way to other programs (nice 10)")
    parser.add_argument(
        "--limit", type=positive, metavar="SECONDS", help="stop a run that takes longer (default: none)"
    )
    return parser


def run_experiment(name: str, words: list[str], *, then_report: bool) -> int:
    """Sweep over the cells of a tier, then (run) write and print its report."""
    args = _experiment_parser("run" if then_report else "sweep", name).parse_args(words)
    from prospect_rl.experiments import sweep as sweeps
    from prospect_rl.experiments.display import sweep_display
    from prospect_rl.experiments.workers import pool

    with pool(args.workers, args.limit) as workers:  # before JAX
        experiment = load(name)
        labels = args.agents.split(",") if args.agents else None
        jobs = sweeps.plan(experiment, args.tier, seeds=args.seeds, agents=labels)
        with sweep_display(err()) as display:
            outcome = sweeps.sweep(jobs, workers, nice=args.nice, display=display)
    code = print_outcome(outcome)
    if then_report and (outcome.finished or outcome.skipped):
        print_report(name, args.tier)
    return code


# --- report ------------------------------------------------------------------------------------------


def cmd_report(words: list[str]) -> int:
    """Write an experiment's report from its runs: report EXPERIMENT [--tier TIER] [--from-summary] | --all."""
    parser = Parser(prog="prospect report", description="Write reports from finished runs, or from committed tables.")
    parser.add_argument("name", nargs="?", metavar="EXPERIMENT")
    parser.add_argument("--tier", choices=TIERS, help="default: that of the committed tables, else repro")
    parser.add_argument("--from-summary", action="store_true", help="from the committed tables, without runs")
    parser.add_argument(
        "--all", action="store_true", help="all pages anew from the committed tables, the overview and the site too"
    )
    args = parser.parse_args(words)
    if args.all == bool(args.name):
        raise ValueError("report needs the name of an experiment, or --all")
    from prospect_rl.experiments import report as reports

    if args.name and not is_experiment(args.name):
        raise unknown("experiment", args.name, EXPERIMENTS)
    if args.name:
        tier = args.tier or reports.tier_of(reports.RESULTS / load(args.name).name) or "repro"
        print_report(args.name, tier, from_summary=args.from_summary)
        return 0
    for name in EXPERIMENTS:
        if tier := reports.tier_of(reports.RESULTS / name):
            reports.report(load(name), tier, from_summary=True)
    from prospect_rl.experiments import bench, defaults
    from prospect_rl.experiments.overview import overview, write_front
    from prospect_rl.experiments.site.build import write

    if (defaults.RESULTS / "summary.csv").exists():
        defaults.write(defaults.collect([]))
    for path in (overview(), *bench.page(), *write_front(), *write()):
        out().print(str(path))
    return 0


def print_report(name: str, tier: str, *, from_summary: bool = False) -> None:
    """Write a report; print its claims and where its files are."""
    from prospect_rl.experiments.report import number, report

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


# --- list, show --------------------------------------------------------------------------------------


def cmd_list(words: list[str]) -> int:
    """List agents, envs or experiments: list KIND [--fits ENV] [--family F] [--grep G] [--json]."""
    parser = Parser(prog="prospect list", description="What there is.")
    parser.add_argument("kind", choices=("agents", "envs", "experiments"))
    parser.add_argument("--fits", metavar="ENV", help="agents only: which of them can learn there")
    parser.add_argument("--family", metavar="F", help="envs only: those whose id begins with F/, e.g. mujoco")
    parser.add_argument("--grep", metavar="G", help="envs only: those with G in their id")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args(words)
    for option, kind in (("fits", "agents"), ("family", "envs"), ("grep", "envs")):
        if getattr(args, option) is not None and args.kind != kind:
            raise ValueError(f"--{option} goes with `list {kind}`")
    from prospect_rl.experiments import listing

    if args.kind == "envs":
        rows = listing.envs_rows(args.family, args.grep or "")
    else:
        rows = listing.agents_rows(args.fits) if args.kind == "agents" else listing.experiments_rows()
    if args.json:
        print_json(rows)
    else:
        listing.print_rows(out(), rows)
    return 0


def cmd_show(words: list[str]) -> int:
    """Show an agent's hyper-parameters, an environment's spec or an experiment: show NAME [--json]."""
    parser = Parser(prog="prospect show", description="One agent, environment or experiment.")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args(words)
    from prospect_rl.experiments.listing import facts_of, print_facts

    facts = facts_of(args.name)
    if args.json:
        print_json(facts)
    else:
        print_facts(out(), facts)
    return 0


# --- play, export, doctor, bench ---------------------------------------------------------------------


def cmd_play(words: list[str]) -> int:
    """Roll a run's policy out once more and draw it: play RUN [--best | --cell I,J | --index N] [--gif FILE]."""
    from prospect_rl.experiments.single import play_run

    return play_run(words)


def cmd_watch(words: list[str]) -> int:
    """Show an episode of a trained agent, in the terminal or as a GIF: watch RUN [--gif FILE] [--episode N]."""
    from prospect_rl.experiments.watch import watch_run

    return watch_run(words)


def cmd_export(words: list[str]) -> int:
    """Write a run's archive (CSV) or trained agent: export RUN [--out FILE | --player FOLDER | --numpy FOLDER]."""
    from prospect_rl.experiments.shipping import export_run

    return export_run(words)


def cmd_data(words: list[str]) -> int:
    """Make a dataset from its recipe, or say what is in one: data list | make NAME | show NAME [options]."""
    from prospect_rl.experiments.data import data_command

    return data_command(words)


def cmd_doctor(words: list[str]) -> int:
    """Check the installation: packages, compiler, threads, folders, devices: doctor [--json]."""
    parser = Parser(prog="prospect doctor", description="Check the installation; the exit code is 1 after a warning.")
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args(words)
    from prospect_rl.experiments.doctor import facts

    found = facts()
    if args.json:
        warnings = [value for what, value in found if what == "warning"]
        print_json({**{what: value for what, value in found if what != "warning"}, "warnings": warnings})
    else:
        for what, value in found:
            out().print(f"{what:12} {value}")
    return FAILED if any(what == "warning" for what, _ in found) else 0


def cmd_defaults(words: list[str]) -> int:
    """Measure every agent's default run against the floors, with three seeds: defaults [AGENT ...] [--workers N]."""
    parser = Parser(prog="prospect defaults", description="Every agent's default run, held against the floors.")
    parser.add_argument("agents", nargs="*", metavar="AGENT", help="only these agents (default: all)")
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="runs at once; 2 and more by Ray")
    args = parser.parse_args(words)
    from prospect_rl.experiments import sweep as sweeps
    from prospect_rl.experiments.display import sweep_display
    from prospect_rl.experiments.workers import pool

    with pool(args.workers, None) as workers:  # before JAX
        from prospect_rl.experiments import defaults

        if strange := next((name for name in args.agents if name not in defaults.names()), None):
            raise unknown("agent with a default run", strange, defaults.names())
        jobs = defaults.plan(args.agents or defaults.names())
        with sweep_display(err()) as display:
            outcome = sweeps.sweep(jobs, workers, display=display)
    out().print(str(defaults.write(defaults.collect(jobs))))
    return print_outcome(outcome)


def cmd_bench(words: list[str]) -> int:
    """Measure what is promised about speed: bench [NAME] [--list]."""
    parser = Parser(prog="prospect bench", description="Measure what is promised about speed.")
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the benches")
    args = parser.parse_args(words)
    from prospect_rl.experiments import bench

    if args.list:
        out().print("\n".join(bench.BENCHES))
        return 0
    return 0 if bench.run(args.name) else FAILED


RUN_HELP = (
    "prospect run AGENT [ENV] [options]   train an agent; without ENV, what its defaults are for",
    "prospect run EXPERIMENT [options]    run what an experiment declares, then write its report",
    "",
    "prospect run NAME --help             the options; names: prospect list agents, prospect list experiments",
)
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "run": cmd_run, "sweep": cmd_sweep, "search": cmd_search, "report": cmd_report, "list": cmd_list, "show": cmd_show,
    "play": cmd_play, "watch": cmd_watch, "export": cmd_export, "data": cmd_data, "doctor": cmd_doctor,
    "defaults": cmd_defaults, "bench": cmd_bench,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
