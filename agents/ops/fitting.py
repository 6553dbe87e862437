"""Fitting the members of an ensemble to a growing table: who sees which rows, and when to stop.

One row in `FOLD` is held out; rows come in groups of that many, of which the `fold`-th is held out. A table whose size
is not a multiple of it lends its last rows to the next fit.

Shapes: E members; `[...]` any shape.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Array, Key, Tree

FOLD = 5
"""Rows of a group."""
PROGRESS = 0.01
"""The share by which an error must fall to count as better."""


def kept(slot: Array, fold: Array) -> Array:
    """The row of the `slot`-th [...] of those that are not held out, 4 of each group."""
    place = slot % (FOLD - 1)
    return slot // (FOLD - 1) * FOLD + place + (place >= fold)


def held_out(slot: Array, fold: Array) -> Array:
    """The row of the `slot`-th [...] of those that are held out, one of each group."""
    return slot * FOLD + fold


def resampled(key: Key, draws: Array, count: Array) -> Array:
    """Numbers below `count`: draws [n] of ONE bootstrap, the `count` numbers drawn with replacement by this key."""
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
    """(what the last epoch left, members that are kept, their errors [E], epochs [] int32).

    `epoch(number, state)` gives the next state, which has members (leading [E]) and their errors [E]. It ends after
    `patience` epochs in a row in which none got better. Each member keeps the weights of its least error; one that
    never got better keeps its last ones, so that a loss with other aims than a small error can still move it.
    """

    def going(carry: Tree) -> Array:
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
    number, _, state, best, error = jax.lax.while_loop(going, one, carry)
    ever = error < first
    return state, pick(ever, best, members_of(state)), jnp.where(ever, error, error_of(state)), number


def pick(mask: Array, new: Tree, old: Tree) -> Tree:
    """The members of `new` where the mask [E] holds, else those of `old`; both leading [E]."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(-1, *(1,) * (a.ndim - 1)), a, b), new, old)
