"""The ring against a plain list."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.ops import replay as replays
from prospect_rl.agents.ops.replay import Experience

OBS, ACTION = 3, 2


def block(first, count):
    """Transitions numbered `first`, ...: every component tells the number and its own place."""
    n = np.arange(first, first + count, dtype=np.float32)
    grid = lambda place, width: jnp.asarray(n[:, None] + place + np.arange(width, dtype=np.float32) / 1000)  # noqa: E731
    return Experience(grid(0.1, OBS), grid(0.2, ACTION), jnp.asarray(n), jnp.asarray(n % 2), grid(0.3, OBS))


def numbers(replay):
    """The transitions that are stored, by number."""
    return {round(float(x)) for x in np.asarray(replay.rows)[: int(replay.count), OBS + ACTION]}


@pytest.mark.parametrize("sizes", [(3,) * 8, (7, 7, 7), (1, 6, 2, 7, 5, 4)])
def test_the_newest_stay(sizes):
    """Capacity 7 is no multiple of the sizes; blocks wrap around its end."""
    add, replay, oracle, first = jax.jit(replays.add), replays.empty(7, OBS, ACTION), deque(maxlen=7), 0
    for size in sizes:
        replay = add(replay, block(first, size))
        oracle.extend(range(first, first + size))
        first += size
        assert numbers(replay) == set(oracle) and int(replay.count) == len(oracle)
        assert int(replay.cursor) == first % 7
    assert {round(float(x)) for x in replay.rows[int(replay.cursor) :, OBS + ACTION]} <= set(
        list(oracle)[: 7 - first % 7]
    )


def test_a_batch_is_whole_transitions_drawn_uniformly():
    replay = replays.add(replays.add(replays.empty(10, OBS, ACTION), block(0, 4)), block(4, 2))
    batch = jax.jit(replays.sample, static_argnums=2)(replay, jax.random.key(0), 6000)
    n = np.asarray(batch.reward).astype(int)
    wanted = jax.tree.map(lambda x: np.asarray(x)[n], block(0, 6))
    jax.tree.map(np.testing.assert_array_equal, batch, wanted)
    counts = np.bincount(n, minlength=10)
    assert not counts[6:].any(), "rows that were never written"
    assert np.all(np.abs(counts[:6] - 1000) < 5 * np.sqrt(6000 * 5 / 36))


def test_too_small_a_ring_is_one_line():
    with pytest.raises(ValueError, match="capacity"):
        replays.add(replays.empty(4, OBS, ACTION), block(0, 5))


def test_neither_writing_nor_reading_copies_the_ring():
    """In a donated loop, as the driver has it: temporary memory is far below the ring's own."""
    capacity = 200_003

    def play(replay, trips):
        def body(_, carry):
            replay, total = carry
            replay = replays.add(replay, block(0, 5))
            draw = lambda i, t: t + replays.sample(replay, jax.random.key(i), 16).reward.sum()  # noqa: E731
            return replay, jax.lax.fori_loop(0, (total > 3).astype(jnp.int32), draw, total + 1)

        return jax.lax.fori_loop(0, trips, body, (replay, jnp.zeros(())))

    shapes = jax.eval_shape(lambda: replays.empty(capacity, OBS, ACTION))
    compiled = jax.jit(play, donate_argnums=0).lower(shapes, jnp.int32(3)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < capacity
