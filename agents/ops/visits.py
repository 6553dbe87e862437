"""Visit counts of states by id, in hashed tables of a fixed size.

Two ids in the same slot share its count: a state may then look more visited than it is, never less. A table with S
slots and n different ids gives a wrong count to a new id with probability about n / S. Tables never overflow, but a
lifetime table that is nearly full says little: watch `used`.

Shapes: N streams, S slots (a power of two).
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array


def slots_of(ids: Array, size: int) -> Array:
    """The slot of each id, int32 [...], for ids [...] of 32 bits (multiplicative hashing by Knuth's constant)."""
    if size < 2 or size & (size - 1):
        raise ValueError(f"the number of slots of a table must be a power of two, at least 2, not {size}")
    spread = ids.astype(jnp.uint32) * jnp.uint32(2654435761)
    return (spread >> jnp.uint32(33 - size.bit_length())).astype(jnp.int32)


def hashed(parts: Array) -> Array:
    """A hash, uint32 [...], for each row of integers [..., K]."""
    odd = 2 * jax.random.bits(jax.random.key(0), parts.shape[-1:], jnp.uint32) + 1
    mixed = (parts.astype(jnp.uint32) + 1) * odd
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(2246822519)
    return jnp.sum(mixed ^ (mixed >> 13), axis=-1, dtype=jnp.uint32)


# --- lifetime counts ---------------------------------------------------------------------------------


def count(table: Array, ids: Array) -> tuple[Array, Array]:
    """(table int32 [S], visits of each id [T, N], this visit included) after visits ids [T, N] in order.

    Visits of one id at the same step are all counted before counts are reported.
    """

    def step(table: Array, slots: Array) -> tuple[Array, Array]:
        table = table.at[slots].add(1)
        return table, table[slots]

    return jax.lax.scan(step, table, slots_of(ids, table.shape[0]))


def used(table: Array) -> Array:
    """The share of slots [] with at least one visit."""
    return jnp.mean(table > 0)


# --- episodic counts ---------------------------------------------------------------------------------


@struct.dataclass
class Episodic:
    """The visits of each stream's running episode; a slot counts only if it was written in this episode."""

    counts: Array
    """[N, S] int32 visits of each slot."""
    written: Array
    """[N, S] int32 number of the episode that last wrote a slot; 0 for none."""
    episode: Array
    """[N] int32 number of each stream's running episode, from 1."""


def episodic(num_envs: int, size: int) -> Episodic:
    """Empty tables, with no visits."""
    blank = jnp.zeros((num_envs, size), jnp.int32)
    return Episodic(blank, blank, jnp.ones(num_envs, jnp.int32))


def count_episodic(visits: Episodic, ids: Array, ended: Array) -> tuple[Episodic, Array]:
    """(visits, number of visits of each id in its episode [T, N], this visit included).

    ids, ended: [T, N] in order; a visit at the last step of an episode still belongs to that episode.
    """
    streams = jnp.arange(ids.shape[1])

    def step(visits: Episodic, row: tuple[Array, Array]) -> tuple[Episodic, Array]:
        at = (streams, row[0])
        before = jnp.where(visits.written[at] == visits.episode, visits.counts[at], 0)
        return replace(
            visits,
            counts=visits.counts.at[at].set(before + 1, unique_indices=True),
            written=visits.written.at[at].set(visits.episode, unique_indices=True),
            episode=visits.episode + row[1],
        ), before + 1

    return jax.lax.scan(step, visits, (slots_of(ids, visits.counts.shape[1]), ended))
