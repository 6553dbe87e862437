"""A trunk: the part of a sequence network that remembers.

A training window is cut into segments of L steps; what crosses from one to the next is the `carry`. Acting goes step by
step and must give the same features, so a trunk is a linen module, written for ONE stream, with two faces:

    start(key) -> carry                                at the start of an episode
    segment(carry, tokens [L, G, D]) -> (features [L, D], carry)             for learning
    open(key) -> memory                                the same moment, for acting
    step(memory, token [G, D]) -> (features [D], memory)                     for acting; then `turn` (see `advance`)

Features of a step never look ahead, hence a segment of which only the first rows are there gives these rows' features:
the stepper below keeps the rows so far and runs it again, which holds for every trunk. Faster trunks bring their own.

Shapes: L steps of a segment, G tokens a step, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax.custom_batching import custom_vmap

from prospect_rl.agents.api import Array, Key, Tree


@struct.dataclass
class Window:
    """The memory of a stepper that runs the running segment again."""

    carry: Tree
    """As it was before the running segment."""
    tokens: Array
    """[L, G, D] of the running segment, the first `count` rows."""
    count: Array
    """[] int32"""


@struct.dataclass
class Cached:
    """The memory of a stepper with a cache, whose carry changes only where a segment is full."""

    held: Tree
    """The carry, and what is computed from it once a segment."""
    window: Tree
    """Of the running segment."""
    count: Array
    """[] int32 steps of the running segment so far."""


class Trunk(nn.Module):
    """Base of the trunks. A subclass gives `start` and `segment`, and a stepper where it has a better one."""

    width: int
    """D"""
    context: int
    """L"""
    tokens: int = 1
    """G"""
    slides: bool = False
    """Act on the newest L steps, rather than on segments that begin anew every L steps."""

    def start(self, key: Key) -> Tree:
        """The carry at the start of an episode."""
        return ()

    def segment(self, carry: Tree, tokens: Array, length: Array | int | None = None) -> tuple[Array, Tree]:
        """(features [L, D], the carry after it) of tokens [L, G, D], of which `length` [] are there (default: all)."""
        raise NotImplementedError

    def open(self, key: Key) -> Any:
        """The memory at the start of an episode."""
        return Window(self.start(key), jnp.zeros((self.context, self.tokens, self.width)), jnp.int32(0))

    def step(self, memory: Any, token: Array) -> tuple[Array, Any]:
        """(features [D], memory) of a token [G, D]."""
        tokens, at = memory.tokens, memory.count
        if self.slides:
            tokens = jnp.where(at == self.context, jnp.roll(tokens, -1, axis=0), tokens)
            at = jnp.minimum(at, self.context - 1)
        tokens = put(tokens, at, token)
        features, carry = self.segment(memory.carry, tokens, at + 1)
        if self.slides:
            return features[at], Window(memory.carry, tokens, at + 1)
        full = at + 1 == self.context
        carry = jax.tree.map(lambda new, old: jnp.where(full, new, old), carry, memory.carry)
        return features[at], Window(carry, tokens, jnp.where(full, 0, at + 1))

    def turn(self, window: Tree, held: Tree) -> Tree:
        """`Cached.held` after a full segment."""
        raise NotImplementedError


def put(rows: Array, at: Array, row: Array) -> Array:
    """`rows` [L, ...] with `row` [...] in place `at` []: a select, for XLA fuses it where a scatter is a loop."""
    here = jnp.arange(rows.shape[0]) == at
    return jnp.where(here.reshape(-1, *(1,) * row.ndim), row, rows)


def advance(
    apply: Callable[..., Any], params: Tree, memory: Any, token: Array, context: int, *, lazy: bool = True
) -> tuple[Array, Any]:
    """A trunk's step, and its turn where that completes a segment: (features [D], memory).

    apply: `apply(params, *x, method="step")` of the trunk. lazy: without the turn's cost where no stream needs one, but
    also without gradients.
    """
    features, memory = apply(params, memory, token, method="step")
    if not isinstance(memory, Cached):
        return features, memory

    def turn(given: Tree, held: Tree) -> Tree:
        return apply(*given, held, method="turn")

    full = memory.count == context
    held = where_needed(full, turn, (params, memory.window), memory.held, lazy=lazy)
    return features, Cached(held, memory.window, jnp.where(full, 0, memory.count))


def where_needed(needed: Array, f: Callable[[Tree, Tree], Tree], given: Tree, held: Tree, *, lazy: bool = True) -> Tree:
    """`f(given, held)` where `needed` [] holds, else `held`.

    lazy: `f` runs only if it is needed, under `vmap` only if any of the batch needs it (a plain `lax.cond` would become
    a select there, and always run).
    """
    if not lazy:
        return jax.tree.map(lambda new, old: jnp.where(needed, new, old), f(given, held), held)

    @custom_vmap
    def call(needed: Array, given: Tree, held: Tree) -> Tree:
        return jax.lax.cond(needed, f, lambda given, held: held, given, held)

    @call.def_vmap
    def _(size: int, batched: Any, needed: Array, given: Tree, held: Tree) -> tuple[Tree, Tree]:
        def spread(x: Array, is_batched: bool) -> Array:
            return x if is_batched else jnp.broadcast_to(x, (size, *jnp.shape(x)))

        axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, batched[1])
        needed, held = spread(needed, batched[0]), jax.tree.map(spread, held, batched[2])

        def some(given: tuple[Tree, Array], held: Tree) -> Tree:
            new = jax.vmap(f, (axes, 0))(given[0], held)
            return jax.vmap(lambda n, a, b: jax.tree.map(lambda x, y: jnp.where(n, x, y), a, b))(given[1], new, held)

        # again by this function, for a vmap around this one
        return where_needed(jnp.any(needed), some, (given, needed), held), jax.tree.map(lambda _: True, held)

    return call(needed, given, held)
