"""Sweeps on a cluster of several nodes (all on this machine) that lose a node, a worker, their driver or their head."""

import os
import signal
import time

import pytest

from tests.sweeping import SEEDS, Nodes, begin, children, end_of, finished, same, saved, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The files of a sweep that nothing disturbs."""
    out = tmp_path_factory.mktemp("calm")
    assert end_of(begin(out)) == f"0 {SEEDS}"
    return out


@pytest.fixture
def cluster(tmp_path):
    made = Nodes(str(tmp_path))
    yield made
    made.close()


def test_a_node_is_killed(calm, cluster, tmp_path):
    cluster.tell("add")
    driver = begin(tmp_path, address=cluster.address)
    wait_for(lambda: len(saved(tmp_path)) >= 2)
    cluster.tell("kill node")
    assert end_of(driver) == f"0 {SEEDS}"
    same(calm, tmp_path)


def test_a_worker_is_killed(calm, cluster, tmp_path):
    driver = begin(tmp_path, address=cluster.address)
    wait_for(lambda: saved(tmp_path))
    os.kill(children(tmp_path)[0], signal.SIGKILL)
    assert end_of(driver) == f"0 {SEEDS}"
    same(calm, tmp_path)


def test_the_driver_is_killed_and_started_again(calm, cluster, tmp_path):
    driver = begin(tmp_path, address=cluster.address)
    wait_for(lambda: saved(tmp_path))
    driver.kill()
    driver.communicate()
    said = end_of(begin(tmp_path, address=cluster.address))
    assert sum(map(int, said.split())) == SEEDS
    same(calm, tmp_path)


def test_the_head_is_killed_and_a_serial_sweep_goes_on(calm, cluster, tmp_path):
    driver = begin(tmp_path, address=cluster.address)
    wait_for(lambda: saved(tmp_path))
    begun = time.monotonic()
    cluster.tell("kill head")
    _, errors = driver.communicate(timeout=120)
    assert time.monotonic() - begun < 90 and driver.returncode == 1
    assert "is lost; to resume on another: " in errors.strip().splitlines()[-1]
    said = end_of(begin(tmp_path))
    assert sum(map(int, said.split())) == SEEDS
    same(calm, tmp_path)


def test_serial_then_ray_then_two_nodes_with_a_kill_between(calm, cluster, tmp_path):
    driver = begin(tmp_path)
    wait_for(lambda: saved(tmp_path))
    driver.kill()
    driver.communicate()
    done = len(finished(tmp_path))
    driver = begin(tmp_path, workers=2)
    wait_for(lambda: len(finished(tmp_path)) > done)
    driver.kill()
    driver.communicate()
    cluster.tell("add")
    said = end_of(begin(tmp_path, address=cluster.address))
    assert sum(map(int, said.split())) == SEEDS
    same(calm, tmp_path)
