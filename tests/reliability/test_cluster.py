"""Sweeps on a cluster of several nodes (all on this machine) that lose a node, a worker, their driver or their head."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
SEEDS = 4
SCRIPT = """
import sys
from pathlib import Path
from experiments.sweep import make_job, sweep
from experiments.workers import pool

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

    def __init__(self):
        command = [sys.executable, "-c", CLUSTER]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.address = self.process.stdout.readline().strip()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n"

    def close(self):
        self.process.communicate(timeout=60)


def begin(out, address=None):
    """A sweep in a process of its own: on a cluster, or serial."""
    environment = os.environ | ({"RAY_ADDRESS": address} if address else {})
    command = [sys.executable, "-c", SCRIPT, str(out), "0" if address else "1", str(SEEDS)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def end_of(driver, seconds=300):
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


def children():
    """Processes that do jobs, by pid."""
    found = subprocess.run(["pgrep", "-f", "experiments _work"], capture_output=True, text=True).stdout
    return [int(pid) for pid in found.split()]


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The files of a sweep that nothing disturbs."""
    out = tmp_path_factory.mktemp("calm")
    assert end_of(begin(out)) == f"0 {SEEDS}"
    return out


@pytest.fixture
def cluster():
    made = Nodes()
    yield made
    made.close()


def same(calm, out):
    for seed in range(SEEDS):
        for name in ("metrics.jsonl", "report.npz", "result.json"):
            assert (calm / f"seed-{seed}" / name).read_bytes() == (out / f"seed-{seed}" / name).read_bytes(), name
    assert all(json.loads((out / f"seed-{seed}" / "result.json").read_text())["finished"] for seed in range(SEEDS))


def test_a_node_is_killed(calm, cluster, tmp_path):
    cluster.tell("add")
    driver = begin(tmp_path, cluster.address)
    wait_for(lambda: len(saved(tmp_path)) >= 2)
    cluster.tell("kill node")
    assert end_of(driver) == f"0 {SEEDS}"
    same(calm, tmp_path)


def test_a_worker_is_killed(calm, cluster, tmp_path):
    driver = begin(tmp_path, cluster.address)
    wait_for(lambda: saved(tmp_path))
    os.kill(children()[0], signal.SIGKILL)
    assert end_of(driver) == f"0 {SEEDS}"
    same(calm, tmp_path)


def test_the_driver_is_killed_and_started_again(calm, cluster, tmp_path):
    driver = begin(tmp_path, cluster.address)
    wait_for(lambda: saved(tmp_path))
    driver.kill()
    driver.communicate()
    said = end_of(begin(tmp_path, cluster.address))
    assert sum(map(int, said.split())) == SEEDS
    same(calm, tmp_path)


def test_the_head_is_killed_and_a_serial_sweep_goes_on(calm, cluster, tmp_path):
    driver = begin(tmp_path, cluster.address)
    wait_for(lambda: saved(tmp_path))
    begun = time.monotonic()
    cluster.tell("kill head")
    _, errors = driver.communicate(timeout=120)
    assert time.monotonic() - begun < 90 and driver.returncode == 1
    assert "is gone; to go on, on another: " in errors.strip().splitlines()[-1]
    said = end_of(begin(tmp_path))
    assert sum(map(int, said.split())) == SEEDS
    same(calm, tmp_path)
