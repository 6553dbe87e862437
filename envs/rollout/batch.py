"""The kernel `batches`: rows or windows of a dataset."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Batch, Dataset, Key


def batches(
    dataset: Dataset, key: Key, *, size: int, updates: int, length: int = 1, whole: bool = False, starts: int = 0
) -> Batch:
    """U batches of B uniformly drawn rows, or windows of `length` consecutive rows of one episode.

    A window may begin at any row, or with `whole` at the first one of a uniformly drawn episode; the rows after its
    episode's end are marked not `valid` (they repeat the last row). `starts` more rows a batch are drawn from the
    first rows of episodes.
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
