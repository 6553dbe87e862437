"""Batches of rows or windows of a dataset."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Batch, Dataset, Key


def batches(
    dataset: Dataset, key: Key, *, size: int, updates: int, length: int = 1, whole: bool = False, starts: int = 0
) -> Batch:
    """Draw U batches of B rows, or of B windows of consecutive rows of one episode.

    Args:
        dataset: The dataset.
        key: PRNG key.
        size: B, the number of rows or windows per batch.
        updates: U, the number of batches.
        length: L, the number of rows per window; with 1 the batches contain rows.
        whole: If False, a row or window starts at a uniformly drawn row; if True, at the first row of a uniformly drawn
            episode.
        starts: S, the number of additional rows per batch, drawn uniformly from the first rows of episodes.

    Returns:
        The batches, with leading axes [U, B] for rows and [U, B, L] for windows. Rows of a window after the end of its
        episode repeat the last row and are not `valid`. `starts` has leading axes [U, S], and is None if S is 0.
    """
    k_rows, k_starts = jax.random.split(key)
    count = dataset.rows["terminated"].shape[0]
    if whole:
        index = dataset.firsts[jax.random.randint(k_rows, (updates, size), 0, dataset.firsts.shape[0])]
    else:
        index = jax.random.randint(k_rows, (updates, size), 0, count)
    valid = jnp.ones((updates, size), bool)
    if length > 1:
        bounds = jnp.append(dataset.firsts, count)
        end = bounds[jnp.searchsorted(dataset.firsts, index, side="right")]
        window = index[..., None] + jnp.arange(length)
        valid = window < end[..., None]
        index = jnp.minimum(window, end[..., None] - 1)
    first_rows = None
    if starts:
        chosen = dataset.firsts[jax.random.randint(k_starts, (updates, starts), 0, dataset.firsts.shape[0])]
        first_rows = jax.tree.map(lambda x: x[chosen], dataset.rows)
    rows = jax.tree.map(lambda x: x[index], dataset.rows)
    return Batch(rows=rows, valid=valid, starts=first_rows, facts=dataset.facts)
