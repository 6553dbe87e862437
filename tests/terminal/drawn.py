"""All that is drawn while something runs, with made-up figures; a process for a pseudo-terminal: no JAX, no run."""

import sys
import time
from pathlib import Path

from prospect_rl.experiments.cli.display import sweep_display
from prospect_rl.experiments.run.bar import run_display
from prospect_rl.experiments.sweeps.job import Job, Outcome
from prospect_rl.experiments.sweeps.sweep import Progress
from prospect_rl.experiments.terminal import err, out, table, waiting

TITLE = "minigrid/KeyCorridorS3R3-v0 noveld[/b] seed 0"
PAUSE = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0


def a_run() -> None:
    """A run that begins, tells something and ends."""
    with run_display(err(), TITLE) as update:
        for used in range(0, 1_000_001, 250_000):
            row = {"eval/return": 0.123456, "ledger/coverage": None if used < 500_000 else 0.1234}
            update({
                "iteration": used, "used": used, "budget": 1_000_000, "unit": "evaluations",
                "rows": [row] if used else [], "notices": ["[red]bits may differ[/b]"] if used == 250_000 else [],
            })  # fmt: skip
            time.sleep(PAUSE)
    with run_display(err(), TITLE):
        pass  # one that had finished before


def a_sweep() -> None:
    """Two runs at once, of which one fails."""
    jobs = [Job({}, Path(f"/nowhere/{i}"), "maze/hard", f"serene[{i}]", (i,), 100, "") for i in range(3)]
    with sweep_display(err()) as update:
        update(Progress(3, Outcome(), tuple(jobs[:2]), 1))
        update(Progress(3, Outcome(failed=[(jobs[0], "ValueError")]), tuple(jobs[1:]), 0))
        update(Progress(3, Outcome(finished=jobs[1:], failed=[(jobs[0], "ValueError")])))


def others() -> None:
    """What is waited for, and a table wider than the window."""
    with waiting("maze2d/umaze/sparse[/b] ..."):
        time.sleep(PAUSE)
    wide = table("name", "what it is")
    wide.add_row("word" * 30, "[red]words[/b] " * 30)
    out().print(wide)


a_run()
a_sweep()
others()
