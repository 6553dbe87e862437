"""`prospect sweep EXPERIMENT`, and `prospect run EXPERIMENT`, which also writes the report."""

from __future__ import annotations

from prospect_rl.experiments.api import GPU, TIERS
from prospect_rl.experiments.cli.outcome import print_outcome
from prospect_rl.experiments.cli.parser import Parser, add_device
from prospect_rl.experiments.register import load
from prospect_rl.experiments.run.device import asked
from prospect_rl.experiments.terminal import WORKERS_HELP, err, positive


def experiment_parser(verb: str, name: str) -> Parser:
    """The options of `prospect run EXPERIMENT` and `prospect sweep EXPERIMENT`."""
    then = ", then write its report" if verb == "run" else ""
    parser = Parser(prog=f"prospect {verb} {name}", description=f"Run the unfinished runs of an experiment{then}.")
    parser.add_argument("--tier", default="smoke", choices=TIERS, help="Size of the experiment (default: smoke)")
    parser.add_argument("--seeds", type=positive, metavar="N", help="Largest number of seeds per agent.")
    parser.add_argument("--agents", metavar="A,B", help="Run only the agents with these labels, separated by commas.")
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help=WORKERS_HELP)
    parser.add_argument("--nice", action="store_true", help="Run workers at low priority (nice 10).")
    parser.add_argument(
        "--limit", type=positive, metavar="SECONDS", help="Time limit of a run in seconds (default: none)"
    )
    add_device(parser, shared=True)
    return parser


def run_experiment(name: str, words: list[str], *, then_report: bool) -> int:
    """Run the runs of a tier, then optionally write and print the report; returns the exit code."""
    args = experiment_parser("run" if then_report else "sweep", name).parse_args(words)
    from prospect_rl.experiments.cli.display import sweep_display
    from prospect_rl.experiments.sweeps.job import plan
    from prospect_rl.experiments.sweeps.sweep import sweep
    from prospect_rl.experiments.sweeps.workers import of_pool, on_cluster, pool

    wanted = asked(GPU if args.tier == GPU else args.device, elsewhere=on_cluster())
    with pool(args.workers, args.limit, args.gpu_share) as workers:  # before JAX
        device = of_pool(wanted, workers)
        experiment = load(name)
        labels = args.agents.split(",") if args.agents else None
        jobs = plan(experiment, args.tier, seeds=args.seeds, agents=labels, device=device)
        with sweep_display(err()) as display:
            outcome = sweep(jobs, workers, nice=args.nice, display=display)
    code = print_outcome(outcome)
    if then_report and (outcome.finished or outcome.skipped):
        from prospect_rl.experiments.cli.report import print_report

        print_report(name, args.tier)
    return code
