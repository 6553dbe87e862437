"""`make soak`: sweeps whose processes are killed at random, for half an hour; each must end with the calm one's files.

    python -m tests.reliability.soak [--minutes 30] [--seed N]

A sweep is serial or under Ray, by chance, and so is what is killed (a worker, the driver) and by which signal. Prints a
line a sweep, and the seed that brings the same choices again. Exit code 1 where a file differs.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.sweeping import SEEDS, begin, children, end_of, finished

PAUSE = (0.5, 3.0)
"""Time from one blow to the next, drawn between these, in parts of what a run of the calm sweep takes."""
PATIENCE = 600.0


def digest(out: Path) -> str:
    """A hash over the files of a sweep's runs that no clock touches."""
    total = hashlib.sha256()
    for seed in range(SEEDS):
        for name in ("metrics.jsonl", "report.npz", "result.json"):
            total.update((out / f"seed-{seed}" / name).read_bytes())
    return total.hexdigest()


def strike(driver: subprocess.Popen[str], out: Path, chance: random.Random) -> str:
    """Send a signal to a part of a sweep; gives which, and to what."""
    number = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
    workers = children(out)
    if workers and chance.random() < 0.5:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(chance.choice(workers), number)
        return f"{number.name} to a worker"
    driver.send_signal(number)
    return f"{number.name} to the driver"


def one_sweep(out: Path, until: float, run_s: float, chance: random.Random) -> list[str]:
    """Run a sweep to its end, however often it is struck (no more after `until`); gives the blows."""
    blows: list[str] = []
    while len(finished(out)) < SEEDS:
        driver, struck = begin(out, workers=chance.choice((1, 2))), len(blows)
        while True:
            pause = run_s * chance.uniform(*PAUSE) if time.monotonic() < until else PATIENCE
            try:
                _, errors = driver.communicate(timeout=pause)
                break
            except subprocess.TimeoutExpired:
                if pause == PATIENCE:
                    raise SystemExit(f"a sweep has not ended in {PATIENCE:g} s, after: {', '.join(blows)}") from None
            blows.append(strike(driver, out, chance))
        if len(blows) == struck and len(finished(out)) < SEEDS:
            raise SystemExit(f"a sweep ended by itself with code {driver.returncode}: {errors}")
    return blows


def main() -> None:
    """Sweep after sweep until the time is over."""
    parser = argparse.ArgumentParser(description="Kill sweeps at random; compare their files with a calm one's.")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long to strike (default: 30)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the choices (default: the time)")
    args = parser.parse_args()
    until, chance, total = time.monotonic() + 60 * args.minutes, random.Random(args.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        calm, begun = Path(folder, "calm"), time.monotonic()
        end_of(begin(calm), PATIENCE)
        wanted, run_s = digest(calm), (time.monotonic() - begun) / SEEDS
        say(f"seed {args.seed}; the calm sweep's digest is {wanted[:16]}")
        number = 0
        while time.monotonic() < until:
            number += 1
            out = Path(folder, f"sweep-{number}")
            blows = one_sweep(out, until, run_s, chance)
            total += len(blows)
            if digest(out) != wanted:
                raise SystemExit(f"sweep {number} ended with other files, after: {', '.join(blows)}")
            say(f"sweep {number}: {len(blows)} blows, the same files")
            shutil.rmtree(out)
        say(f"{number} sweeps, {total} blows, no difference")


def say(line: str) -> None:
    """A line at once, also into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
