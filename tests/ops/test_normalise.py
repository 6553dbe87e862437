"""Running moments and reward scales against all the data at once; minibatches against a list."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.ops import normalise
from prospect_rl.agents.ops.minibatches import passes


def test_moments_of_batches_are_those_of_all():
    rows = np.random.default_rng(0).normal(3, 2, (60, 2)).astype(np.float32)
    seen = normalise.moments((2,))
    for part in np.split(rows, [7, 8, 31]):
        seen = normalise.include(seen, jnp.asarray(part))
    np.testing.assert_allclose(seen.mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(seen.variance, rows.var(0), rtol=1e-4)
    assert float(seen.count) == 60


def test_nothing_seen_changes_nothing():
    x = jnp.array([[1.0, -30.0]])
    assert normalise.centred(None, x) is x
    np.testing.assert_allclose(normalise.centred(normalise.moments((2,)), x), [[1, -10]], rtol=1e-6)


def test_centred_by_hand():
    seen = normalise.Moments(jnp.array(2.0), jnp.array(4.0), jnp.array(9.0))
    np.testing.assert_allclose(normalise.centred(seen, jnp.array([2.0, 5.0, 100.0])), [0, 1.5, 10], rtol=1e-6)


def test_standard():
    np.testing.assert_allclose(normalise.standard(jnp.array([1.0, 3.0])), [-1, 1], rtol=1e-6)


def test_rewards_are_divided_by_the_spread_of_their_running_returns():
    """R = 1, 1.5, 2 (an end), 4: with gamma .5 and rewards 1, 1, 1.25, 4; the next segment goes on with 4."""
    reward, ended = jnp.array([[1.0], [1.0], [1.25], [4.0]]), jnp.array([[False], [False], [True], [False]])
    got, scale = normalise.scaled(normalise.scale(1), reward, ended, 0.5, 10.0)
    np.testing.assert_allclose(got, reward / np.std([1, 1.5, 2, 4]), rtol=1e-5)
    assert float(scale.running[0]) == 4.0
    _, scale = normalise.scaled(scale, jnp.array([[1.0]]), jnp.array([[True]]), 0.5, 10.0)
    assert float(scale.running[0]) == 0.0
    np.testing.assert_allclose(scale.seen.mean, np.mean([1, 1.5, 2, 4, 3]), rtol=1e-6)


def test_the_first_reward_after_a_million_zeros_is_cut():
    seen = normalise.include(normalise.moments(), jnp.zeros(1_000_001).at[-1].set(1.0))
    assert 1 / seen.std > 500, "what it would be"
    small = normalise.Scale(seen, jnp.zeros(1))
    got, _ = normalise.scaled(small, jnp.array([[1.0], [-1.0], [0.0]]), jnp.zeros((3, 1), bool), 0.99, 10.0)
    assert got.ravel().tolist() == [10.0, -10.0, 0.0]


def test_every_pass_sees_each_row_once_in_an_order_of_its_own():
    rows = {"number": jnp.arange(12), "twice": 2 * jnp.arange(12)}

    def update(carry, batch):
        count, log = carry
        assert batch["number"].shape == (4,)
        log = jax.lax.dynamic_update_slice(log, batch["number"], (4 * count,))
        return (count + 1, log), {"same": jnp.all(batch["twice"] == 2 * batch["number"])}

    start = (jnp.int32(0), jnp.zeros(24, jnp.int32))
    (count, log), figures = passes(update, start, rows, jax.random.key(0), epochs=2, minibatches=3)
    first, second = np.asarray(log[:12]), np.asarray(log[12:])
    assert int(count) == 6 and figures["same"] == 1
    assert sorted(first) == sorted(second) == list(range(12)) and first.tolist() != second.tolist()
    with pytest.raises(ValueError, match="12 rows"):
        passes(update, start, rows, jax.random.key(0), epochs=1, minibatches=5)
