"""Visits in hashed tables against dictionaries."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.ops import visits


def test_slots_lie_in_the_table_and_spread():
    """Neighbouring ids fall into different slots: 1000 ids fill more than 900 of 4096 slots."""
    slots = np.asarray(visits.slots_of(jnp.arange(1000, dtype=jnp.uint32), 4096))
    assert slots.min() >= 0 and slots.max() < 4096 and len(set(slots.tolist())) > 900
    assert set(np.asarray(visits.slots_of(jnp.arange(50, dtype=jnp.uint32), 2)).tolist()) == {0, 1}
    with pytest.raises(ValueError, match="power of two"):
        visits.slots_of(jnp.zeros(1, jnp.uint32), 12)


def test_a_lifetime_of_visits():
    """Two visits of one step count both before either is told."""
    ids = jnp.array([[7, 7], [7, 9], [9, 9]], jnp.uint32)
    table, counts = jax.jit(visits.count)(jnp.zeros(64, jnp.int32), ids)
    assert counts.tolist() == [[2, 2], [3, 1], [3, 3]] and int(table.sum()) == 6
    assert float(visits.used(table)) == 2 / 64
    _, counts = visits.count(table, ids[:1])
    assert counts.tolist() == [[5, 5]]


def test_an_episode_of_visits_by_hand():
    """Stream 0 ends at step 1: its next visits start anew; stream 1 goes on; the next segment goes on with both."""
    ids = jnp.array([[5, 5], [5, 5], [5, 5]], jnp.uint32)
    ended = jnp.array([[False, False], [True, False], [False, False]])
    seen, counts = jax.jit(visits.count_episodic)(visits.episodic(2, 16), ids, ended)
    assert counts.tolist() == [[1, 1], [2, 2], [1, 3]]
    _, counts = visits.count_episodic(seen, ids[:1], ended[:1])
    assert counts.tolist() == [[2, 4]]


def test_episodes_against_a_dictionary():
    """A large table, so that the few ids do not meet."""
    draw = np.random.default_rng(1)
    ids, ended = draw.integers(0, 30, (200, 3)).astype(np.uint32), draw.random((200, 3)) < 0.05
    _, counts = visits.count_episodic(visits.episodic(3, 2**14), jnp.asarray(ids), jnp.asarray(ended))
    for n in range(3):
        seen, wanted = Counter(), []
        for t in range(200):
            seen[ids[t, n]] += 1
            wanted.append(seen[ids[t, n]])
            seen = Counter() if ended[t, n] else seen
        assert counts[:, n].tolist() == wanted


def test_ids_that_share_a_slot_share_its_count():
    """Never fewer visits than there were."""
    ids = jnp.arange(64, dtype=jnp.uint32)[:, None]
    _, counts = visits.count_episodic(visits.episodic(1, 4), ids, jnp.zeros((64, 1), bool))
    assert int(counts.min()) >= 1 and int(counts.max()) >= 16


def test_hashes_tell_rows_apart():
    """All 4^5 rows of five small numbers, and rows that are rearranged."""
    rows = np.stack(np.meshgrid(*[np.arange(4)] * 5, indexing="ij"), -1).reshape(-1, 5)
    hashes = np.asarray(visits.hashed(jnp.asarray(rows)))
    assert hashes.dtype == np.uint32 and len(set(hashes.tolist())) == 1024
    assert visits.hashed(jnp.array([1, 2])) != visits.hashed(jnp.array([2, 1]))
