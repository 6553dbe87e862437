"""Fitting an ensemble to a growing table: which rows are for training, which are held out, and when to stop.

One row in `FOLD` is held out: rows come in groups of `FOLD`, of which the `fold`-th is held out. If the table's size is
not a multiple of `FOLD`, its last rows wait for the next fit.

Shapes: E members; `[...]` any shape.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Array, Key, Tree

FOLD = 5
"""Number of rows in a group, one of which is held out."""
PROGRESS = 0.01
"""Relative decrease of the error that counts as an improvement (share 0-1)."""


def training_rows(slot: Array, fold: Array) -> Array:
    """The row numbers [...] of the `slot`-th training rows, `FOLD` - 1 of each group."""
    place = slot % (FOLD - 1)
    return slot // (FOLD - 1) * FOLD + place + (place >= fold)


def held_out_rows(slot: Array, fold: Array) -> Array:
    """The row numbers [...] of the `slot`-th held-out rows, one of each group."""
    return slot * FOLD + fold


def mean_held_out(squares: Callable[[Array], Array], members: int, count: Array, fold: Array, size: int) -> Array:
    """The mean [E] of `squares` (rows [size] -> [E, size]) over the `count` rows held out, `size` at a time."""

    def add(i: Array, total: Array) -> Array:
        slots = i * size + jnp.arange(size)
        each = squares(held_out_rows(jnp.minimum(slots, count - 1), fold))
        return total + jnp.sum(jnp.where(slots < count, each, 0), axis=1)

    return jax.lax.fori_loop(0, -(-count // size), add, jnp.zeros(members)) / count


def resampled(key: Key, draws: Array, count: Array) -> Array:
    """Draws [n] of ONE bootstrap sample, which is `count` numbers below `count` drawn with replacement by this key."""
    return jax.vmap(lambda draw: jax.random.randint(jax.random.fold_in(key, draw), (), 0, count))(draws)


def until_stale(
    epoch: Callable[[Array, Tree], Tree],
    members_of: Callable[[Tree], Tree],
    error_of: Callable[[Tree], Array],
    start: Tree,
    *,
    most: int,
    patience: int,
) -> tuple[Tree, Tree, Array, Array]:
    """(state after the last epoch, selected members, their errors [E], epochs [] int32).

    `epoch(number, state)` gives the next state, which holds members (leading [E]) and their errors [E]. Fitting stops
    after `patience` consecutive epochs without an improvement. Each member keeps the weights of its lowest error; a
    member that never improved keeps its last weights, so a loss that does not reduce the error still takes effect.
    """

    def unfinished(carry: Tree) -> Array:
        number, stale, *_ = carry
        return (number < most) & (stale < patience)

    def one(carry: Tree) -> Tree:
        number, stale, state, best, error = carry
        state = epoch(number, state)
        found = error_of(state)
        better = found < (1 - PROGRESS) * error
        best = pick(better, members_of(state), best)
        stale = jnp.where(jnp.any(better), 0, stale + 1)
        return number + 1, stale, state, best, jnp.where(better, found, error)

    first = error_of(start)
    carry = (jnp.int32(0), jnp.int32(0), start, members_of(start), first)
    number, _, state, best, error = jax.lax.while_loop(unfinished, one, carry)
    ever = error < first
    return state, pick(ever, best, members_of(state)), jnp.where(ever, error, error_of(state)), number


def pick(mask: Array, new: Tree, old: Tree) -> Tree:
    """The members of `new` where the mask [E] holds, else those of `old`; both leading [E]."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(-1, *(1,) * (a.ndim - 1)), a, b), new, old)
