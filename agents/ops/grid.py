"""The grid of MAP-Elites: equal cells of descriptor space, each with the best genome found in it.

Shapes: C cells = bins^d, n candidates, G genes, d descriptor dimensions.

Source: Mouret & Clune 2015 (MAP-Elites), arXiv 1504.04909; as in SERENE's official code (GPaolo/SERENE,
core/evolvers/map_elites.py) an elite is replaced if the reward is at least its own.
Deviation: cells are closed below, [low, high), where the official bins are (low, high]; they differ on edges only.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.agents.ops import archive
from prospect_rl.envs.api import Array, Box, Key

LARGEST = 250_000
"""Largest number of cells; more are taken for a mistake in the number of bins (50 bins in 2 dimensions are 2,500
cells)."""


@struct.dataclass
class Grid:
    """The elites of all cells; every column leads with [C]."""

    rows: dict[str, Array]
    """Columns: genome [C, G], descriptor [C, d] (infinite in empty cells), fitness [C] (-inf), area [C] int32 (-1)."""
    low: tuple[float, ...] = struct.field(pytree_node=False)
    """Lower bound of the grid in each descriptor dimension."""
    high: tuple[float, ...] = struct.field(pytree_node=False)
    """Upper bound of the grid in each descriptor dimension."""
    bins: int = struct.field(pytree_node=False)
    """Number of cells along each descriptor dimension."""

    @property
    def filled(self) -> Array:
        """[C] which cells hold an elite."""
        return self.rows["fitness"] > -jnp.inf

    @property
    def size(self) -> Array:
        """[] int32 number of filled cells."""
        return jnp.sum(self.filled, dtype=jnp.int32)


def unfit(space: Box | None, bins: int) -> str | None:
    """Why a grid with this number of bins cannot cover the descriptor space, in a few words; None if it can."""
    if space is None:
        return "it needs a behaviour descriptor"
    if not np.all(np.isfinite(space.low) & np.isfinite(space.high)):
        return "its grid needs finite descriptor bounds"
    if bins**space.size > LARGEST:
        return f"{bins} bins of {space.size} dimensions are {bins**space.size:,} cells (at most {LARGEST:,})"
    return None


def empty(space: Box | None, bins: int, genes: int) -> Grid:
    """An empty grid over a descriptor space [d]. Raises ValueError where `unfit` gives a reason."""
    reason = unfit(space, bins)
    if space is None or reason:
        raise ValueError(reason)
    low, high = (tuple(np.broadcast_to(b, space.shape).astype(float).tolist()) for b in (space.low, space.high))
    return Grid(archive.empty(bins**space.size, genes, space.size).rows, low, high, bins)


def cells(grid: Grid, descriptor: Array) -> Array:
    """[n] int32 cell of each descriptor [n, d]; outside the bounds it is the nearest border cell."""
    low, high = jnp.asarray(grid.low), jnp.asarray(grid.high)
    place = jnp.floor((descriptor - low[None]) / (high - low)[None] * grid.bins)
    index = jnp.clip(jnp.nan_to_num(place), 0, grid.bins - 1).astype(jnp.int32)
    cell = jnp.zeros(descriptor.shape[0], jnp.int32)
    for column in index.T:
        cell = cell * grid.bins + column
    return cell


def insert(grid: Grid, rows: dict[str, Array], active: Array) -> tuple[Grid, Array]:
    """The grid after inserting the candidates one after another, and whether each was stored at that moment [n].

    A candidate is stored if its fitness is at least that of its cell at that moment, so the best of a batch stays,
    and of equals the last. rows: columns as in `Grid.rows`, leading [n]; only active [n] and finite candidates count.
    The cost is n^2 comparisons, meant for batches of a few hundred.
    """
    fitness, cell = rows["fitness"], cells(grid, rows["descriptor"])
    valid = active & jnp.isfinite(fitness) & jnp.all(jnp.isfinite(rows["descriptor"]), axis=1)
    fitness = jnp.where(valid, fitness, -jnp.inf)
    number = jnp.arange(fitness.shape[0])
    rivals = cell[:, None] == cell[None]  # [n, n]
    before = jnp.max(jnp.where(rivals & (number[None] < number[:, None]), fitness[None], -jnp.inf), axis=1)
    added = valid & (fitness >= jnp.maximum(before, grid.rows["fitness"][cell]))
    replaced = jnp.any(rivals & (number[None] > number[:, None]) & added[None], axis=1)
    place = jnp.where(added & ~replaced, cell, grid.filled.shape[0])
    stored = {name: column.at[place].set(rows[name], mode="drop") for name, column in grid.rows.items()}
    return replace(grid, rows=stored), added


def draw(grid: Grid, key: Key, count: int) -> Array:
    """`count` elites [count, G], sampled uniformly over the filled cells with replacement; zeros if none is filled."""
    number = jax.random.randint(key, (count,), 0, jnp.maximum(grid.size, 1))
    cell = jnp.searchsorted(jnp.cumsum(grid.filled), number + 1)
    return grid.rows["genome"].at[cell].get(mode="fill", fill_value=0.0)


def best(grid: Grid) -> Array:
    """[G] the elite with the highest fitness; zeros if the grid is empty."""
    return grid.rows["genome"][jnp.argmax(grid.rows["fitness"])]


def summary(grid: Grid, areas: int) -> dict[str, Array]:
    """The metrics of an archive: size, overflow (always 0 for a grid) and best fitness in each reward area."""
    table = archive.Archive(grid.rows, jnp.int32(grid.filled.shape[0]), jnp.int32(0))
    return {
        "archive/size": grid.size,
        "archive/overflow": table.overflow,
        "archive/best": archive.best_by_area(table, areas),
    }
