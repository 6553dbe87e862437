"""An archive without cells: no two policies in it are nearer than a threshold, and of neighbours the fitter stays.

A policy farther than the threshold from all stored ones is added. One with a single neighbour takes its place if it is
fitter; one with several is dropped. Policies are offered one after the other, so that those of a generation are
compared with each other too. Source: Cully, "Autonomous skill discovery with Quality-Diversity and Unsupervised
Descriptors" (GECCO 2019), with the rule for neighbours of QDax's UnstructuredRepertoire, which decides a batch at once.

Shapes: C capacity, n policies that are offered, d descriptor dimensions.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.ops.archive import Archive
from prospect_rl.envs.api import Array, Tree


@struct.dataclass
class Places:
    """Who is stored where, while policies are offered."""

    descriptor: Array
    """[d, C] descriptors, infinite in empty rows; dimensions lead, so that a distance to all is one vector."""
    fitness: Array
    """[C] fitness, -inf in empty rows."""
    source: Array
    """[C] int32 which of the policies that are offered is in a row; -1 for what was there before."""
    count: Array
    """[] int32 number of filled rows."""
    overflow: Array
    """[] int32 number of policies that would have been added to a full table."""


def insert(archive: Archive, rows: dict[str, Tree], mask: Array, threshold: Array) -> Archive:
    """The archive after the rows [n, ...] where `mask` [n] holds have been offered, in order."""
    start = Places(
        archive.rows["descriptor"].T, archive.rows["fitness"], jnp.full(archive.capacity, -1, jnp.int32),
        archive.count, archive.overflow,
    )  # fmt: skip
    order = jnp.argsort(~mask, stable=True)  # those that count come first, and the loop ends after them

    def offer(i: Array, places: Places) -> Places:
        one = order[i]
        return offered(places, one, rows["descriptor"][one], rows["fitness"][one], threshold)

    places = jax.lax.fori_loop(0, jnp.sum(mask, dtype=jnp.int32), offer, start)
    new, index = places.source >= 0, jnp.maximum(places.source, 0)
    put = lambda old, x: jnp.where(new.reshape(-1, *(1,) * (x.ndim - 1)), x[index], old)  # noqa: E731
    stored = {name: jax.tree.map(put, column, rows[name]) for name, column in archive.rows.items()}
    return Archive(stored, places.count, places.overflow)


def offered(places: Places, number: Array, descriptor: Array, fitness: Array, threshold: Array) -> Places:
    """The places after policy `number` has been offered."""
    square = jnp.sum(jnp.square(places.descriptor - descriptor[:, None]), axis=0)
    nearest = jnp.argmin(square).astype(jnp.int32)
    first, second = square[nearest], jnp.min(square.at[nearest].set(jnp.inf))
    limit, capacity = jnp.square(threshold), places.fitness.shape[0]
    alone, crowded = ~(first <= limit), second <= limit
    fitter = ~crowded & (fitness > places.fitness[nearest])
    added = alone & (places.count < capacity)
    row = jnp.where(added, places.count, jnp.where(~alone & fitter, nearest, capacity))
    return replace(
        places,
        descriptor=places.descriptor.at[:, row].set(descriptor, mode="drop"),
        fitness=places.fitness.at[row].set(fitness, mode="drop"),
        source=places.source.at[row].set(number, mode="drop"),
        count=places.count + added,
        overflow=places.overflow + (alone & ~added),
    )


def thinned(archive: Archive, empty: Archive, threshold: Array) -> Archive:
    """An empty archive after all policies of another one have been offered to it, in their order."""
    return insert(replace(empty, overflow=archive.overflow), archive.rows, archive.filled, threshold)
