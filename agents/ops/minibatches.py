"""Several passes over the rows of a batch in minibatches, shuffled again for each pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Array, Key, Tree

C = TypeVar("C")
Figures = dict[str, Array]


def passes(
    update: Callable[[C, Tree], tuple[C, Figures]], start: C, rows: Tree, key: Key, *, epochs: int, minibatches: int
) -> tuple[C, Figures]:
    """(result of applying `update` from `start` on, means of its metrics) after `epochs` passes.

    rows: leading [R]; each pass shuffles them and splits them into `minibatches` batches [R / minibatches, ...].
    Raises ValueError where R is not a multiple of `minibatches`.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    if count % minibatches:
        raise ValueError(f"{count} rows cannot be split into {minibatches} minibatches of equal size")

    def one_pass(carry: C, key: Key) -> tuple[C, Figures]:
        order = jax.random.permutation(key, count)
        batches = jax.tree.map(lambda x: x[order].reshape(minibatches, -1, *x.shape[1:]), rows)
        return jax.lax.scan(update, carry, batches)

    carry, figures = jax.lax.scan(one_pass, start, jax.random.split(key, epochs))
    return carry, jax.tree.map(jnp.mean, figures)
