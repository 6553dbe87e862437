"""The kernel `batches` on a dataset of three short episodes."""

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Dataset
from prospect_rl.envs.rollout import batches

LENGTHS = (3, 1, 5)


def rows():
    episode = np.repeat(np.arange(3), LENGTHS)
    data = {"row": jnp.arange(9), "episode": jnp.asarray(episode), "terminated": jnp.zeros(9, bool)}
    return Dataset(rows=data, firsts=jnp.array([0, 3, 4], jnp.int32))


def draw(seed=0, **options):
    run = jax.jit(batches, static_argnames=("size", "updates", "length", "starts"))
    return jax.tree.map(np.asarray, run(rows(), jax.random.key(seed), **options))


def test_rows_are_uniform():
    batch = draw(size=500, updates=18)
    assert batch.rows["row"].shape == (18, 500) and batch.valid.all() and batch.starts is None
    counts = np.bincount(batch.rows["row"].ravel(), minlength=9)  # 1000 expected each, deviation 30
    assert (np.abs(counts - 1000) < 150).all()
    assert not np.array_equal(batch.rows["row"][0], batch.rows["row"][1])
    assert not np.array_equal(batch.rows["row"], draw(1, size=500, updates=18).rows["row"])


def test_windows_stop_at_the_end_of_their_episode():
    batch = draw(size=200, updates=3, length=4)
    row, episode = batch.rows["row"], batch.rows["episode"]
    assert row.shape == batch.valid.shape == (3, 200, 4)
    assert set(row[..., 0].ravel()) == set(range(9))  # a window may begin anywhere
    ends = np.cumsum(LENGTHS)
    for window, belongs, valid in zip(*(x.reshape(-1, 4) for x in (row, episode, batch.valid)), strict=True):
        end = ends[belongs[0]]
        assert (belongs == belongs[0]).all()
        assert (valid == (window[0] + np.arange(4) < end)).all()
        assert (window == np.minimum(window[0] + np.arange(4), end - 1)).all()


def test_starts_are_first_rows():
    batch = draw(size=4, updates=100, starts=6)
    assert batch.starts["row"].shape == (100, 6)
    counts = np.bincount(batch.starts["row"].ravel(), minlength=9)
    assert set(np.flatnonzero(counts)) == {0, 3, 4} and counts[counts > 0].min() > 130  # 200 expected, deviation 12
