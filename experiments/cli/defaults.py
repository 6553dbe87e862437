"""`prospect defaults`: runs every agent's default run and compares it with random and zero actions."""

from __future__ import annotations

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.cli.outcome import print_outcome
from prospect_rl.experiments.cli.parser import Parser
from prospect_rl.experiments.terminal import WORKERS_HELP, err, out, positive


def defaults_command(words: list[str]) -> int:
    """Run the default runs that have not finished, then write their table."""
    parser = Parser(
        prog="prospect defaults",
        description="Train every agent with its default run and compare it with random and zero actions.",
    )
    parser.add_argument("agents", nargs="*", metavar="AGENT", help="Names of the agents to run (default: all)")
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help=WORKERS_HELP)
    args = parser.parse_args(words)
    from prospect_rl.experiments.cli.display import sweep_display
    from prospect_rl.experiments.sweeps.sweep import sweep
    from prospect_rl.experiments.sweeps.workers import pool

    with pool(args.workers, None) as workers:  # before JAX
        from prospect_rl.experiments.reports import defaults

        if strange := next((name for name in args.agents if name not in defaults.names()), None):
            raise unknown("agent with a default run", strange, defaults.names())
        jobs = defaults.plan(args.agents or defaults.names())
        with sweep_display(err()) as display:
            outcome = sweep(jobs, workers, display=display)
    out().print(str(defaults.write(defaults.collect(jobs))))
    return print_outcome(outcome)
