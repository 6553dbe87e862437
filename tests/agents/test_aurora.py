"""AURORA: its archive by hand, by chance and against QDax's, and what a training leaves of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents import Aurora
from prospect_rl.agents.evolution.aurora import GENERATION, RENEW, START, TRAIN
from prospect_rl.agents.ops import archive as archives
from prospect_rl.agents.ops import unstructured
from prospect_rl.experiments.bench.aurora import repertoires
from tests.agents.drawn import SMALL, Drawn, evolve

FIELDS = {"hidden": (), "batch": 20, "archive_capacity": 100, "target_size": 30, "control_every": 2, "chunk": 100}


def rows_of(descriptor, fitness):
    count = len(fitness)
    return {
        "genome": jnp.arange(float(count))[:, None], "descriptor": jnp.asarray(descriptor, jnp.float32),
        "fitness": jnp.asarray(fitness, jnp.float32), "area": jnp.zeros(count, jnp.int32),
    }  # fmt: skip


@jax.jit
def insert(archive, rows, mask, threshold):
    return unstructured.insert(archive, rows, mask, threshold)


def stored(archive):
    count = int(archive.count)
    return [np.asarray(archive.rows[name])[:count].tolist() for name in ("genome", "fitness")]


def test_one_neighbour_is_replaced_by_a_fitter_one_and_several_keep_others_out():
    archive = archives.empty(4, 1, 1)
    rows = rows_of([[0.0], [1.0], [0.2], [0.3], [0.5], [9.0], [5.0]], [1.0, 1.0, 0.0, 2.0, 9.0, 3.0, -1.0])
    mask = jnp.array([True] * 6 + [False])
    found = insert(archive, rows, mask, jnp.float32(0.6))
    # 0 and 1 are added; .2 is less fit than its neighbour 0, .3 is fitter; .5 has two neighbours; 9 is added
    assert stored(found) == [[[3.0], [1.0], [5.0]], [2.0, 1.0, 3.0]] and found.overflow == 0
    more = insert(found, rows_of([[20.0], [30.0]], [0.0, 0.0]), jnp.ones(2, bool), jnp.float32(0.6))
    assert more.count == 4 and more.overflow == 1, "a full archive counts what it drops"
    thin = unstructured.thinned(more, archive, jnp.float32(9.0))
    assert stored(thin)[0] == [[5.0], [0.0]] and not jnp.isfinite(thin.rows["fitness"][2:]).any()


def by_hand(descriptor, fitness, threshold):
    kept = []
    for i, (point, value) in enumerate(zip(descriptor, fitness, strict=True)):
        near = [j for j in kept if np.hypot(*(descriptor[j] - point)) <= threshold]
        if not near:
            kept.append(i)
        elif len(near) == 1 and value > fitness[near[0]]:
            kept[kept.index(near[0])] = i
    return kept


@pytest.mark.parametrize("seed", range(3))
def test_it_decides_as_a_loop_does_and_no_two_are_near(seed):
    random = np.random.RandomState(seed)
    descriptor, fitness = random.rand(80, 2).astype(np.float32), random.rand(80).astype(np.float32)
    archive = archives.empty(100, 1, 2)
    for part in (slice(0, 40), slice(40, 80)):
        rows = rows_of(descriptor, fitness)
        archive = insert(archive, {k: x[part] for k, x in rows.items()}, jnp.ones(40, bool), jnp.float32(0.15))
    expected = by_hand(descriptor, fitness, 0.15)
    assert np.asarray(archive.rows["genome"])[: int(archive.count), 0].astype(int).tolist() == expected
    points = descriptor[expected]
    apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + np.eye(len(points))
    assert apart.min() > 0.15


def test_it_decides_as_qdax_where_children_are_far_from_each_other():
    pytest.importorskip("qdax", reason="needs the extra qd")
    qdax = repertoires()
    random, limit = np.random.RandomState(0), 0.1
    first, fitness = random.rand(30, 2).astype(np.float32), random.rand(30).astype(np.float32)
    apart = by_hand(first, np.zeros(30), limit)
    first, fitness = first[apart], fitness[apart]
    grid = np.stack(np.meshgrid(np.arange(0.05, 1, 0.2), np.arange(0.05, 1, 0.2)), -1).reshape(-1, 2).astype(np.float32)
    better = random.rand(len(grid)).astype(np.float32)
    theirs = qdax.UnstructuredRepertoire.init(
        jnp.asarray(first), jnp.asarray(fitness), jnp.asarray(first), jnp.float32(limit), 100
    ).add(jnp.asarray(grid), jnp.asarray(grid), jnp.asarray(better))
    ours = archives.empty(100, 1, 2)
    for points, values in ((first, fitness), (grid, better)):
        ours = insert(ours, rows_of(points, values), jnp.ones(len(values), bool), jnp.float32(limit))
    known = np.asarray(theirs.fitnesses).ravel() > -np.inf
    expected = {(*map(float, p), float(f)) for p, f in zip(np.asarray(theirs.descriptors)[known],
                np.asarray(theirs.fitnesses).ravel()[known], strict=True)}  # fmt: skip
    count = int(ours.count)
    rows = zip(np.asarray(ours.rows["descriptor"])[:count], np.asarray(ours.rows["fitness"])[:count], strict=True)
    assert {(*map(float, p), float(f)) for p, f in rows} == expected


@pytest.fixture(scope="module")
def run():
    agent = Aurora(**FIELDS | SMALL).bind(Drawn.spec)
    return agent, *evolve(agent, 60)


def test_trainings_come_after_the_first_batch_and_after_chunks(run):
    _, _, record = run
    phases = [phase for phase, *_ in record]
    assert phases[:2] == [START, TRAIN]
    done, chunks = [], 0
    for i, phase in enumerate(phases[:-1]):
        chunks += phase == GENERATION
        if phase == RENEW and phases[i + 1] == GENERATION:
            done.append(chunks / 5)  # five generations of 20 are a chunk
    assert done[:3] == [0, 2, 5]


def test_no_two_stored_policies_are_nearer_than_the_threshold(run):
    agent, state, record = run
    for before in (record[-1][1], state):
        rows, count = before.archive.rows, int(before.archive.count)
        points = np.asarray(rows["descriptor"])[:count]
        apart = np.linalg.norm(points[:, None] - points[None], axis=-1)[~np.eye(count, dtype=bool)]
        assert count > 2 and apart.min() > 0.999 * float(before.threshold * before.spread)
    features, surprise = jax.jit(agent.seen)(state.learner, jax.tree.map(lambda x: x[:count], rows["frames"]))
    np.testing.assert_allclose(points, features, atol=1e-5)
    np.testing.assert_allclose(rows["surprise"][:count], surprise, rtol=1e-4, atol=1e-6)


def test_its_size_comes_to_the_target(run):
    _, _, record = run
    sizes = [int(metrics["archive/size"]) for *_, metrics in record]
    assert abs(np.mean(sizes[-10:]) - 30) < 15 and record[-1][3]["archive/overflow"] == 0


def test_rows_report_the_true_descriptor(run):
    agent, state, _ = run
    report = agent.report(state)
    count = int(state.archive.count)
    ends = state.archive.rows["frames"][0][:count, -1]
    np.testing.assert_array_equal(report["descriptor"][:count], ends)
    assert not np.isfinite(report["descriptor"][count:]).any(), "empty rows are told by it"
    assert report["features"].shape == (100, 3) and "frames" not in report and int(report["filled"].sum()) == count


def test_settings_that_cannot_be_are_one_line():
    with pytest.raises(ValueError, match="target_size must be at most archive_capacity"):
        Aurora(target_size=5000)


def test_features_that_tell_nothing_and_a_full_archive_are_told():
    row = {"archive/size": 1, "archive/overflow": 0, "features/spread": 0.1, "features/blank": 0.0,
           "learn/trainings": 1}  # fmt: skip
    assert Aurora().notices(row) == []
    assert "collapsed" in Aurora().notices(row | {"features/spread": 0.0})[0]
    assert "archive is full" in Aurora().notices(row | {"archive/size": 4096, "archive/overflow": 1})[0]
