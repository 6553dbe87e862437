"""Append-only archives of fixed capacity, and novelty: the mean distance to the nearest stored descriptors.

An archive is a table of columns with a count. Rows that do not fit are counted as overflow and lost, never
silently: a result is sound only where the overflow is zero. Work on an archive is bounded by its count.
Shapes: C capacity, n rows handed in, G genes, d descriptor dimensions, k neighbours.

Source: official code GPaolo/SERENE, core/evolvers/utils.py, `novelty` (it drops the smallest distance, then averages
the next k).
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Tree

BLOCK = 512
"""Number of rows compared at once: a block of distances fits into the processor's cache."""


@struct.dataclass
class Archive:
    """A table with a fixed number of rows; every column leads with [C], rows from `count` on are empty."""

    rows: dict[str, Tree]
    """Columns: at least genome [C, G], descriptor [C, d] (infinite in empty rows), fitness [C], area [C] int32.
    A column may be a pytree."""
    count: Array
    """[] int32 number of rows that are filled."""
    overflow: Array
    """[] int32 number of rows that were dropped because the table was full."""

    @property
    def capacity(self) -> int:
        """The number of rows of the table (C)."""
        return self.rows["fitness"].shape[0]

    @property
    def filled(self) -> Array:
        """[C] which rows hold an entry."""
        return jnp.arange(self.capacity) < self.count


def empty(capacity: int, genes: int, dimensions: int, **columns: Tree) -> Archive:
    """An empty archive; `columns` are more columns, each given by the value of an empty row."""
    rows = {
        "genome": jnp.zeros((capacity, genes)),
        "descriptor": jnp.full((capacity, dimensions), jnp.inf, jnp.float32),
        "fitness": jnp.full(capacity, -jnp.inf, jnp.float32),
        "area": jnp.full(capacity, -1, jnp.int32),
    }
    wide = lambda value: jnp.broadcast_to(value, (capacity, *jnp.shape(value)))  # noqa: E731
    rows |= {name: jax.tree.map(wide, value) for name, value in columns.items()}
    return Archive(rows, jnp.int32(0), jnp.int32(0))


def append(archive: Archive, rows: dict[str, Tree], mask: Array) -> Archive:
    """Store the rows [n, ...] where `mask` [n] holds, in order; rows beyond the capacity are counted as overflow."""
    place = jnp.where(mask, archive.count + jnp.cumsum(mask) - 1, archive.capacity)
    put = lambda column, new: column.at[place].set(new, mode="drop")  # noqa: E731
    stored = {name: jax.tree.map(put, column, rows[name]) for name, column in archive.rows.items()}
    total = archive.count + jnp.sum(mask, dtype=jnp.int32)
    count = jnp.minimum(total, archive.capacity)
    return Archive(stored, count, archive.overflow + total - count)


def best_by_area(archive: Archive, areas: int) -> Array:
    """[areas] highest stored fitness in each reward area, 0 where an area has none.

    An environment without areas (`areas` = 0) counts as one, which every positive fitness belongs to.
    """
    fitness = jnp.where(archive.filled, archive.rows["fitness"], 0.0)
    if areas == 0:
        return jnp.maximum(jnp.max(fitness), 0.0)[None]
    inside = archive.rows["area"][None] == jnp.arange(areas)[:, None]
    return jnp.max(jnp.where(inside, fitness[None], 0.0), axis=1)


def nearest(query: Array, references: Sequence[tuple[Array, Array | int]], k: int) -> Array:
    """[n, k] the smallest Euclidean distances from each query [n, d], ascending; infinite where there are fewer.

    references: pairs of descriptors [m, d] and the number of their first rows that count. Differences are squared
    directly (the expanded square cancels in float32); only blocks that hold counted rows are visited.
    """
    best = jnp.full((query.shape[0], k), jnp.inf)
    for points, count in references:
        best = _nearest_in(query, points, jnp.asarray(count, jnp.int32), best)
    return jnp.sqrt(best)


def _nearest_in(query: Array, points: Array, count: Array, best: Array) -> Array:
    """`best` [n, k] squared distances, improved by the first `count` points."""
    k, size = best.shape[1], points.shape[0]
    block = min(BLOCK, size)

    def visit(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        i, best = carry
        start = jnp.minimum(i * block, size - block)  # the last block is moved back to stay inside the table
        chunk = jax.lax.dynamic_slice_in_dim(points, start, block)
        index = start + jnp.arange(block)
        square = sum((query[:, None, a] - chunk[None, :, a]) ** 2 for a in range(query.shape[1]))
        counted = (index >= i * block) & (index < count)
        square = jnp.where(counted & ~jnp.isnan(square), square, jnp.inf)
        return i + 1, -jax.lax.top_k(-jnp.concatenate([best, square], axis=1), k)[0]

    return jax.lax.while_loop(lambda c: c[0] * block < count, visit, (jnp.int32(0), best))[1]


def novelty(query: Array, references: Sequence[tuple[Array, Array | int]], k: int, *, drop_first: bool = True) -> Array:
    """[n] mean distance to the k nearest references; -inf for a query that is not finite.

    drop_first: leave out the smallest distance, which is the query itself where it is among the references.
    With fewer references the mean is over those there are; with none the novelty is infinite.
    """
    distance = nearest(query, references, k + 1 if drop_first else k)[:, int(drop_first) :]
    there = jnp.isfinite(distance)
    mean = jnp.sum(jnp.where(there, distance, 0.0), axis=1) / jnp.maximum(jnp.sum(there, axis=1), 1)
    known = jnp.all(jnp.isfinite(query), axis=1)
    return jnp.where(jnp.any(there, axis=1), mean, jnp.where(known, jnp.inf, -jnp.inf))


def novelty_where(
    points: Array, mask: Array, references: Sequence[tuple[Array, Array | int]], k: int, *, drop_first: bool = True,
    block: int = 64,
) -> Array:  # fmt: skip
    """[C] novelty of the points [C, d] where `mask` [C] holds, -inf elsewhere.

    The cost grows with the number of masked points, not with C.
    """
    size = points.shape[0]
    chosen = jnp.nonzero(mask, size=size + block, fill_value=size)[0]

    def visit(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        i, found = carry
        index = jax.lax.dynamic_slice_in_dim(chosen, i * block, block)
        query = points[jnp.minimum(index, size - 1)]
        return i + 1, found.at[index].set(novelty(query, references, k, drop_first=drop_first), mode="drop")

    count = jnp.sum(mask)
    start = (jnp.int32(0), jnp.full(size, -jnp.inf))
    return jax.lax.while_loop(lambda c: c[0] * block < count, visit, start)[1]
