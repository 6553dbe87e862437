"""Sweeps in processes of their own (serial, under Ray, on a cluster that is all this machine) to be killed by tests."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEEDS = 4
TAG = "PROSPECT_TEST_SWEEP"
"""A variable that marks all processes of one sweep: others may run on this machine."""
SCRIPT = """
import sys
from pathlib import Path
from prospect_rl.experiments.sweeps.job import make_job
from prospect_rl.experiments.sweeps.sweep import sweep
from prospect_rl.experiments.sweeps.workers import pool

base = {"agent": "random_search", "fields": {"population": 50}, "env": "maze/hard", "env_fields": {},
        "budget": 20_000, "evals": 4, "eval_episodes": 1}
out, workers, seeds = Path(sys.argv[1]), int(sys.argv[2]) or None, int(sys.argv[3])
with pool(workers) as workers:
    jobs = [make_job(base | {"seeds": [seed]}, out / f"seed-{seed}") for seed in range(seeds)]
    outcome = sweep(jobs, workers)
print(len(outcome.skipped), len(outcome.finished), *[error for _, error in outcome.failed])
"""
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

size = {"num_cpus": 1, "object_store_memory": 80 << 20}
made, nodes = Cluster(initialize_head=True, head_node_args=size), []
print(made.address, flush=True)
for line in sys.stdin:  # in a process of its own: Ray leaves files and processes open
    if line == "add\\n":
        nodes.append(made.add_node(**size))
        made.wait_for_nodes()
    else:
        made.remove_node(nodes.pop() if line == "kill node\\n" else made.head_node, allow_graceful=False)
    print("ok", flush=True)
made.shutdown()
"""


class Nodes:
    """A cluster of nodes with one CPU each."""

    def __init__(self, tag: str):
        command = [sys.executable, "-c", CLUSTER]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | {TAG: tag},
        )  # fmt: skip
        self.address = self.process.stdout.readline().strip()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n"

    def close(self):
        self.process.communicate(timeout=60)


def begin(out: Path, workers: int = 1, address: str | None = None):
    """A sweep: on a cluster, or here with so many workers."""
    environment = os.environ | {TAG: str(out)} | ({"RAY_ADDRESS": address} if address else {})
    command = [sys.executable, "-c", SCRIPT, str(out), str(0 if address else workers), str(SEEDS)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def end_of(driver, seconds=300):
    """The last line that a sweep says at its end."""
    said, errors = driver.communicate(timeout=seconds)
    assert driver.returncode == 0, errors
    return said.strip().splitlines()[-1]


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.2)


def saved(out):
    return [path for path in out.glob("seed-*/checkpoints/*") if path.is_dir()]


def finished(out):
    return [path for path in out.glob("seed-*/result.json")]


def children(tag: Path | str):
    """The processes of a sweep that do its jobs, by pid."""
    mark, found = f"{TAG}={tag}".encode(), []
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"_work" in words and mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue  # it has ended, or is not ours
    return sorted(found)


def same(calm: Path, out: Path):
    """The files of two sweeps are equal, and all runs are finished."""
    for seed in range(SEEDS):
        for name in ("metrics.jsonl", "report.npz", "result.json"):
            assert (calm / f"seed-{seed}" / name).read_bytes() == (out / f"seed-{seed}" / name).read_bytes(), name
    assert all(json.loads((out / f"seed-{seed}" / "result.json").read_text())["finished"] for seed in range(SEEDS))
