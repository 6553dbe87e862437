"""Runs that are cut off: an error that stands for a kill, and kills of processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

from prospect_rl.experiments.run import checkpoint, driver

ROOT = Path(__file__).parents[1]


class CrashError(Exception):
    """Stands for a kill."""


def crash_at(iterations):
    """A progress callback that fails at these iterations, each once."""
    left = list(iterations)

    def progress(told):
        if left and told["iteration"] >= left[0]:
            left.pop(0)
            raise CrashError

    return progress


def save_always(patch):
    """A checkpoint after every iteration, however long it takes."""
    for name, value in (("SAVE_EVERY", 0.0), ("SAVE_SHARE", float("inf")), ("GROWTH", 1)):
        patch.setattr(driver, name, value)


def start(case, folder, pause=0.03):
    """A process with one of the toy runs, which pauses after every iteration."""
    command = [sys.executable, "-m", "tests.toy_runs", case, str(folder), str(pause)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoint(process, folder, after):
    """Until there is a checkpoint later than iteration `after`; gives its iteration, None if the run has ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (found := checkpoint.steps(folder / "checkpoints")) and int(found[-1].name) > after:
            return int(found[-1].name)
        time.sleep(0.01)
    assert process.poll() == 0, f"no further checkpoint: {process.communicate()}"
    return None
