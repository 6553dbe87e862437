"""`prospect defaults`: runs every agent's default run and compares it with random and zero actions."""

from __future__ import annotations

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.cli.outcome import print_outcome
from prospect_rl.experiments.cli.parser import Parser, add_device
from prospect_rl.experiments.run.device import asked
from prospect_rl.experiments.sweeps.workers import of_pool, on_cluster, pool
from prospect_rl.experiments.terminal import WORKERS_HELP, err, out, positive


def defaults_command(words: list[str]) -> int:
    """Run the default runs that have not finished, then write their table."""
    parser = Parser(
        prog="prospect defaults",
        description="Train every agent with its default run and compare it with random and zero actions.",
    )
    parser.add_argument("agents", nargs="*", metavar="AGENT", help="Names of the agents to run (default: all)")
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help=WORKERS_HELP)
    add_device(parser, shared=True)
    args = parser.parse_args(words)
    wanted = asked(args.device, elsewhere=on_cluster())
    from prospect_rl.experiments.cli.display import sweep_display
    from prospect_rl.experiments.sweeps.sweep import sweep

    with pool(args.workers, None, args.gpu_share) as workers:  # before JAX
        device = of_pool(wanted, workers)
        from prospect_rl.experiments.reports import defaults

        if strange := next((name for name in args.agents if name not in defaults.names()), None):
            raise unknown("agent with a default run", strange, defaults.names())
        jobs = defaults.plan(args.agents or defaults.names(), device=device)
        with sweep_display(err()) as display:
            outcome = sweep(jobs, workers, display=display)
    out().print(str(defaults.write(defaults.collect(jobs))))
    return print_outcome(outcome)
