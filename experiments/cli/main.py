"""The command line: `prospect <command>`, or `python -m prospect_rl.experiments <command>`.

Exit codes: 0 success; 1 a run failed; 2 invalid input (explained in one line); 130 interrupted (runs are saved).
Imports are deferred until a command needs them: JAX takes seconds, and a sweep must start Ray before JAX.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence

from prospect_rl.envs.names import unknown
from prospect_rl.envs.threads import threads
from prospect_rl.experiments.cli.parser import Parser
from prospect_rl.experiments.cli.sweep import experiment_parser, run_experiment
from prospect_rl.experiments.register import EXPERIMENTS, is_experiment
from prospect_rl.experiments.sweeps.child import INTERRUPTED
from prospect_rl.experiments.terminal import BAD_INPUT, FAILED, err, out, print_json, replace_unencodable


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. `--debug` shows tracebacks."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    os.environ.pop("MPLBACKEND", None)  # figures go to files; a notebook's backend may not be installed here
    replace_unencodable()
    if words == ["_work"]:
        from prospect_rl.experiments.sweeps.work import serve

        return serve()
    try:
        threads()  # raises ValueError for an invalid NPROC before anything uses it
        with warnings.catch_warnings():  # print warnings as one line, without the place in the code
            warnings.showwarning = lambda message, *_, **__: err().print(f"note: {message}")
            return command(words)
    except SystemExit as end:  # argparse has printed a help
        return int(end.code or 0)
    except KeyboardInterrupt:
        _hold_interrupts()
        for console in (out(), err()):
            if console.is_interactive:
                console.show_cursor()  # a second Ctrl-C may have interrupted the clean-up of a progress bar
        err().print("prospect: interrupted; progress is saved, and the same command resumes")
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has gone, as in `prospect list | head`
        return 0
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            error = ValueError(f"a name of {len(str(error.filename))} characters is too long for a file")
        line = " ".join(str(error).split())
        bad = isinstance(error, ValueError)
        err().print(f"prospect: {line if bad else f'{type(error).__name__}: {line} (--debug shows where)'}")
        return BAD_INPUT if bad else FAILED


def _hold_interrupts() -> None:
    """Ignore further Ctrl-C, so that there is one message and one exit code."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def command(words: list[str]) -> int:
    """Call the command named by the first word."""
    if words and not words[0].startswith("-"):
        if words[0] not in COMMANDS:
            raise unknown("command", words[0], COMMANDS)
        return COMMANDS[words[0]](words[1:])
    parser = Parser(
        prog="prospect", usage="prospect COMMAND [options]",
        description="Sparse-reward reinforcement learning: runs, sweeps and reports.",
        epilog="Run prospect COMMAND --help for the options of a command.",
    )  # fmt: skip
    parser.add_argument("--version", action="store_true", help="Print the version of prospect and exit.")
    names = parser.add_argument_group("commands")
    for name, function in COMMANDS.items():
        names.add_argument(name, help=(function.__doc__ or "").split("\n")[0], nargs="?")
    args = parser.parse_args(words)
    if not args.version:
        raise ValueError(f"a command must come first: {', '.join(COMMANDS)}")
    from prospect_rl.experiments.cli.doctor import version_of

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
    os.environ.setdefault("NPROC", "1")  # as in the workers, so that results are the same
    from prospect_rl import agents

    if words[0] not in agents.AGENTS:
        raise unknown("agent or experiment", words[0], [*agents.AGENTS, *EXPERIMENTS])
    from prospect_rl.experiments.cli.run import run_agent

    return run_agent(words[0], words[1:])


def cmd_sweep(words: list[str]) -> int:
    """Run all unfinished runs of an experiment, without a report: sweep EXPERIMENT [options]."""
    if not words or words[0].startswith("-"):
        if set(words) & {"-h", "--help"}:
            experiment_parser("sweep", "EXPERIMENT").print_help()
            return 0
        raise ValueError("sweep needs the name of an experiment first")
    if not is_experiment(words[0]):
        raise unknown("experiment", words[0], EXPERIMENTS)
    return run_experiment(words[0], words[1:], then_report=False)


def cmd_search(words: list[str]) -> int:
    """Tune hyper-parameters as an experiment declares: search EXPERIMENT [--workers N] [--trials N]."""
    from prospect_rl.experiments.cli.search import search_experiment

    return search_experiment(words)


# --- report ------------------------------------------------------------------------------------------


def cmd_report(words: list[str]) -> int:
    """Write an experiment's report from its runs: report EXPERIMENT [--tier TIER] [--from-summary] | --all."""
    from prospect_rl.experiments.cli.report import report_command

    return report_command(words)


# --- list, show --------------------------------------------------------------------------------------


def cmd_list(words: list[str]) -> int:
    """List agents, envs or experiments: list KIND [--fits ENV] [--family F] [--grep G] [--json]."""
    parser = Parser(prog="prospect list", description="List all agents, environments or experiments.")
    parser.add_argument("kind", choices=("agents", "envs", "experiments"), help="The kind of things to list.")
    parser.add_argument("--fits", metavar="ENV", help="Agents only: show which agents can learn in this environment.")
    parser.add_argument(
        "--family", metavar="F", help="Envs only: show environments whose id begins with F/, e.g. mujoco."
    )
    parser.add_argument("--grep", metavar="G", help="Envs only: show environments whose id contains G.")
    parser.add_argument("--json", action="store_true", help=JSON_HELP)
    args = parser.parse_args(words)
    for option, kind in (("fits", "agents"), ("family", "envs"), ("grep", "envs")):
        if getattr(args, option) is not None and args.kind != kind:
            raise ValueError(f"--{option} can only be used with `list {kind}`")
    from prospect_rl.experiments.cli import listing

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
    parser = Parser(prog="prospect show", description="Show one agent, environment or experiment.")
    parser.add_argument("name", metavar="NAME", help="Name of an agent, environment or experiment.")
    parser.add_argument("--json", action="store_true", help=JSON_HELP)
    args = parser.parse_args(words)
    from prospect_rl.experiments.cli.listing import facts_of, print_facts

    facts = facts_of(args.name)
    if args.json:
        print_json(facts)
    else:
        print_facts(out(), facts)
    return 0


# --- play, export, doctor, bench ---------------------------------------------------------------------


def cmd_play(words: list[str]) -> int:
    """Run a policy for one episode and draw its path: play RUN [--best | --cell I,J | --index N] [--gif FILE]."""
    from prospect_rl.experiments.cli.play import play_run

    return play_run(words)


def cmd_watch(words: list[str]) -> int:
    """Show an episode of a trained agent, in the terminal or as a GIF: watch RUN [--gif FILE] [--episode N]."""
    from prospect_rl.experiments.cli.watch import watch_run

    return watch_run(words)


def cmd_explain(words: list[str]) -> int:
    """Explain a policy of linear experts in one page: explain RUN [--out FILE] [--depth N] [--oblique]."""
    from prospect_rl.experiments.cli.explain import explain_run

    return explain_run(words)


def cmd_export(words: list[str]) -> int:
    """Write a run's archive or its agent: export RUN [--out FILE | --player FOLDER | --numpy FOLDER | --json FILE]."""
    from prospect_rl.experiments.cli.export import export_run

    return export_run(words)


def cmd_data(words: list[str]) -> int:
    """List, build, show or export datasets: data list | make NAME | show NAME | export NAME ID [options]."""
    from prospect_rl.experiments.cli.data import data_command

    return data_command(words)


def cmd_doctor(words: list[str]) -> int:
    """Check the installation: packages, compiler, threads, folders, devices: doctor [--json]."""
    parser = Parser(prog="prospect doctor", description="Check the installation; exits with 1 if there is a warning.")
    parser.add_argument("--json", action="store_true", help=JSON_HELP)
    args = parser.parse_args(words)
    from prospect_rl.experiments.cli.doctor import facts

    found = facts()
    if args.json:
        warnings = [value for what, value in found if what == "warning"]
        print_json({**{what: value for what, value in found if what != "warning"}, "warnings": warnings})
    else:
        for what, value in found:
            out().print(f"{what:12} {value}")
    return FAILED if any(what == "warning" for what, _ in found) else 0


def cmd_defaults(words: list[str]) -> int:
    """Compare every agent's default run with random and zero actions: defaults [AGENT ...] [--workers N]."""
    from prospect_rl.experiments.cli.defaults import defaults_command

    return defaults_command(words)


def cmd_bench(words: list[str]) -> int:
    """Run the benchmarks of speed and memory: bench [NAME] [--list]."""
    parser = Parser(prog="prospect bench", description="Run the benchmarks of speed and memory.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="Name of the benchmark to run (default: all)")
    parser.add_argument("--list", action="store_true", help="List the names of the benchmarks.")
    args = parser.parse_args(words)
    from prospect_rl.experiments import bench

    if args.list:
        out().print("\n".join(bench.BENCHES))
        return 0
    return 0 if bench.run(args.name) else FAILED


JSON_HELP = "Print the result as JSON."
RUN_HELP = (
    "prospect run AGENT [ENV] [options]   train an agent; without ENV, in its default environment",
    "prospect run EXPERIMENT [options]    run an experiment, then write its report",
    "",
    "prospect run NAME --help             show the options; names: prospect list agents, prospect list experiments",
)
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "run": cmd_run, "sweep": cmd_sweep, "search": cmd_search, "report": cmd_report, "list": cmd_list, "show": cmd_show,
    "play": cmd_play, "watch": cmd_watch, "explain": cmd_explain, "export": cmd_export, "data": cmd_data,
    "doctor": cmd_doctor, "defaults": cmd_defaults, "bench": cmd_bench,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
