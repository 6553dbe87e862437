"""Small runs, one for each want, and a process with one of them, to be killed by tests."""

from __future__ import annotations

import sys
from pathlib import Path

from tests import toy_agents, toy_data, toy_envs

CASES = {
    # agent, budget, evals, seeds
    "rollouts": (toy_agents.Evolver(), 400, 4, (3,)),
    "rollouts-seeds": (toy_agents.InStep(), 400, 4, (3, 5)),
    "segments": (toy_agents.Walker(), 21 * 45, 4, (3,)),
    "segments-seeds": (toy_agents.Walker(), 21 * 45, 4, (3, 5)),
    "batches": (toy_agents.Cloner(), 200, 4, (3,)),
}

MORE = {"nothing": (toy_agents.Trainer(), 400, 4, (3,))}
"""Cases without kept digests."""


def run(case: str, out: Path | None, **options):
    """Train one of the cases."""
    from prospect_rl.experiments import train

    agent, budget, evals, seeds = (CASES | MORE)[case]
    data = toy_data.dataset() if case == "batches" else None
    settings = {"seeds": seeds, "budget": budget, "evals": evals, "eval_episodes": 2, "dataset": data, **options}
    return train(agent, toy_envs.Point(), out=out, **settings)


if __name__ == "__main__":
    # To be killed: python -m tests.toy_runs CASE FOLDER PAUSE, with PAUSE seconds after every chunk of one iteration.
    import time

    from prospect_rl.experiments import Interrupted
    from prospect_rl.experiments.run import driver

    driver.SAVE_EVERY, driver.SAVE_SHARE, driver.GROWTH = 0.0, float("inf"), 1
    try:
        result = run(sys.argv[1], Path(sys.argv[2]), progress=lambda _: time.sleep(float(sys.argv[3])))
    except Interrupted:
        sys.exit(130)
    sys.stdout.write(result.digest)
