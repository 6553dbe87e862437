"""Where 2000 random policies leave the ball of curling, against the original in Box2D.

A single episode is chaotic once the ball is pressed or struck, so what agrees is which policies move the ball and the
distribution of where it ends. curling_box2d.npz holds the original's final positions, `ball` [2000, 2]. They were made
by the world of experiments/bench/curling_box2d.py written in C++ on the sources of pybox2d 2.3; the slow test makes
them anew where the extra `rivals` is installed.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents.evolution.random_search import RandomSearch
from prospect_rl.envs.arm.contact import ROOM
from prospect_rl.envs.arm.curling import START
from prospect_rl.envs.rollout import episodes
from prospect_rl.experiments.bench import curling_box2d

COUNT, GENES = 2000, 94
KEY = jax.random.key(0)


def genomes():
    return np.clip(np.random.RandomState(0).randn(COUNT, GENES), -5, 5).astype(np.float32)


def moved(ball):
    return np.hypot(*(ball - np.float32(START)).T) > 1e-3


def cells(ball):
    """Number of occupied cells of the 50 x 50 grid over +-1.35."""
    return len({tuple(cell) for cell in np.floor((ball + 1.35) / 2.7 * 50).astype(int)})


@pytest.fixture(scope="module")
def official():
    with np.load(Path(__file__).with_name("curling_box2d.npz"), allow_pickle=False) as file:
        return file["ball"]


@pytest.fixture(scope="module")
def ours():
    """(final positions [2000, 2], rewards [2000])."""
    env = envs.make("arm/curling")
    agent = RandomSearch(hidden=(5, 5, 5)).bind(env.spec)
    assert agent.genes == GENES
    active = jnp.ones(COUNT, bool)
    played = jax.jit(lambda env, g: episodes(env, agent, g, active, KEY, KEY, population=COUNT))(env, genomes())
    return np.asarray(played.descriptor), np.asarray(played.fitness)


def test_the_same_policies_move_the_ball(ours, official):
    assert abs(moved(ours[0]).mean() - moved(official).mean()) < 0.03
    assert (moved(ours[0]) == moved(official)).mean() > 0.99


def test_the_ball_ends_in_as_many_places(ours, official):
    assert cells(ours[0]) == pytest.approx(cells(official), rel=0.15)
    for axis in (0, 1):
        theirs, found = official[moved(official)][:, axis], ours[0][moved(ours[0])][:, axis]
        assert abs(found.mean() - theirs.mean()) < 0.15 and abs(found.std() - theirs.std()) < 0.1


def test_many_balls_end_where_the_original_has_them(ours, official):
    both = moved(ours[0]) & moved(official)
    assert np.median(np.hypot(*(ours[0] - official)[both].T)) < 0.25


def test_nothing_is_paid_by_chance(ours):
    assert (ours[1] == 0).all() and np.abs(ours[0]).max() <= np.float32(ROOM)


def test_the_first_300_of_the_original(official):
    """Half of 300 random policies move the ball, into 56 cells."""
    assert moved(official[:300]).mean() == pytest.approx(0.507, abs=5e-4) and cells(official[:300]) == 56
    assert np.abs(official).max() == pytest.approx(ROOM, abs=1e-3)


@pytest.mark.slow
def test_the_original_gives_the_stored_positions(official):
    pytest.importorskip("Box2D", reason="needs box2d, of the extra rivals")
    made = np.array([curling_box2d.end(genome) for genome in genomes()])
    assert abs(moved(made).mean() - moved(official).mean()) < 0.005
    assert cells(made) == pytest.approx(cells(official), rel=0.05)
    assert np.median(np.hypot(*(made - official).T)) < 1e-3
