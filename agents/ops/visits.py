"""How often states were visited, by their ids, in hashed tables of a fixed size.

Two ids that share a slot share its count: a state may then look more visited than it is, never less. A table with S
slots and n different ids gives a wrong count to a new id with probability about n / S. Nothing overflows, but a
lifelong table that is full says little: watch `used`.

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
        raise ValueError(f"a table must have a power of two of slots, at least 2, not {size}")
    spread = ids.astype(jnp.uint32) * jnp.uint32(2654435761)
    return (spread >> jnp.uint32(33 - size.bit_length())).astype(jnp.int32)


def hashed(parts: Array) -> Array:
    """A hash, uint32 [...], of rows of integers [..., K]."""
    odd = 2 * jax.random.bits(jax.random.key(0), parts.shape[-1:], jnp.uint32) + 1
    mixed = (parts.astype(jnp.uint32) + 1) * odd
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(2246822519)
    return jnp.sum(mixed ^ (mixed >> 13), axis=-1, dtype=jnp.uint32)


# --- in a lifetime -----------------------------------------------------------------------------------


def count(table: Array, ids: Array) -> tuple[Array, Array]:
    """(table int32 [S], how often each id was visited [T, N], this visit included) after visits ids [T, N] in order.

    Visits of one id at the same step all count before any of them is told.
    """

    def step(table: Array, slots: Array) -> tuple[Array, Array]:
        table = table.at[slots].add(1)
        return table, table[slots]

    return jax.lax.scan(step, table, slots_of(ids, table.shape[0]))


def used(table: Array) -> Array:
    """The share of slots [] with a visit."""
    return jnp.mean(table > 0)


# --- in an episode -----------------------------------------------------------------------------------


@struct.dataclass
class Episodic:
    """The visits of each stream's running episode. A slot counts only if it was written in this very episode."""

    counts: Array
    """int32 [N, S]"""
    written: Array
    """int32 [N, S] the episode that wrote a slot; 0: none."""
    episode: Array
    """int32 [N] from 1."""


def episodic(num_envs: int, size: int) -> Episodic:
    """No visits yet."""
    blank = jnp.zeros((num_envs, size), jnp.int32)
    return Episodic(blank, blank, jnp.ones(num_envs, jnp.int32))


def count_episodic(visits: Episodic, ids: Array, ended: Array) -> tuple[Episodic, Array]:
    """(visits, how often each id was visited in its episode [T, N], this visit included).

    ids, ended: [T, N] in order; a visit at a step that ends an episode still belongs to it.
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
