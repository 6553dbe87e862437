"""A trunk: the part of a sequence network that carries memory across steps.

A training window is cut into segments of L steps; the `carry` passes from one segment to the next. Acting goes step by
step and must give the same features, so a trunk is a linen module, written for ONE stream, with two interfaces:

    start(key) -> carry                                at the start of an episode, for learning
    segment(carry, tokens [L, G, D]) -> (features [L, D], carry)             for learning
    open(key) -> memory                                at the start of an episode, for acting
    step(memory, token [G, D]) -> (features [D], memory)                     for acting; then, after a full segment,
                                                       `end_segment` (see `advance`)

Features of a step never depend on later steps, so a segment of which only the first rows are known gives these rows'
features: the default stepper keeps the rows so far and runs the segment again, which works for every trunk. Faster
trunks define their own stepper.

Shapes: L steps of a segment, G tokens per step, D width.
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
    """The memory of the default stepper, which runs the current segment again at every step."""

    carry: Tree
    """The carry before the current segment."""
    tokens: Array
    """[L, G, D] tokens of the current segment, of which the first `count` are filled."""
    count: Array
    """[] int32 number of steps in the current segment so far."""


@struct.dataclass
class Cached:
    """The memory of a stepper with a cache, whose carry changes only at the end of a segment."""

    held: Tree
    """The carry, and what is computed from it once per segment."""
    window: Tree
    """The cache of the current segment."""
    count: Array
    """[] int32 number of steps in the current segment so far."""


class Trunk(nn.Module):
    """Base of the trunks. A subclass defines `start` and `segment`, and optionally a faster stepper."""

    width: int
    """Number of features of a token (D)."""
    context: int
    """Number of steps in a segment (L)."""
    tokens: int = 1
    """Number of tokens per step (G)."""
    slides: bool = False
    """Whether to act on a sliding window of the last L steps instead of segments that restart every L steps."""

    def start(self, key: Key) -> Tree:
        """The carry at the start of an episode."""
        return ()

    def segment(self, carry: Tree, tokens: Array, length: Array | int | None = None) -> tuple[Array, Tree]:
        """(features [L, D], next carry) of tokens [L, G, D], the first `length` [] of them valid (default: all)."""
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
        tokens = set_row(tokens, at, token)
        features, carry = self.segment(memory.carry, tokens, at + 1)
        if self.slides:
            return features[at], Window(memory.carry, tokens, at + 1)
        full = at + 1 == self.context
        carry = jax.tree.map(lambda new, old: jnp.where(full, new, old), carry, memory.carry)
        return features[at], Window(carry, tokens, jnp.where(full, 0, at + 1))

    def end_segment(self, window: Tree, held: Tree) -> Tree:
        """The new `Cached.held` after a full segment."""
        raise NotImplementedError


def set_row(rows: Array, at: Array, row: Array) -> Array:
    """`rows` [L, ...] with `row` [...] at index `at` []: XLA fuses this select, whereas a scatter becomes a loop."""
    here = jnp.arange(rows.shape[0]) == at
    return jnp.where(here.reshape(-1, *(1,) * row.ndim), row, rows)


def emptied(fresh: Tree, memory: Tree, ended: Array) -> Tree:
    """`memory` where no episode has `ended` [], else as good as `fresh`.

    What a count says is not there stays where it is: rows of a window need no copy to be forgotten.
    """

    def chosen(new: Tree, old: Tree) -> Tree:
        return jax.tree.map(lambda a, b: jnp.where(ended, a, b), new, old)

    def one(new: Any, old: Any) -> Any:
        if isinstance(old, Window):
            return Window(chosen(new.carry, old.carry), old.tokens, chosen(new.count, old.count))
        if isinstance(old, Cached):
            return Cached(chosen(new.held, old.held), old.window, chosen(new.count, old.count))
        return chosen(new, old)

    return jax.tree.map(one, fresh, memory, is_leaf=lambda x: isinstance(x, Window | Cached))


def advance(
    apply: Callable[..., Any], params: Tree, memory: Any, token: Array, context: int, *, lazy: bool = True
) -> tuple[Array, Any]:
    """A trunk's step, and `end_segment` where the step completes a segment: (features [D], memory).

    apply: `apply(params, *x, method="step")` of the trunk. lazy: skip the cost of `end_segment` where no stream needs
    it,
    but without gradients.
    """
    features, memory = apply(params, memory, token, method="step")
    if not isinstance(memory, Cached):
        return features, memory

    def end_segment(given: Tree, held: Tree) -> Tree:
        return apply(*given, held, method="end_segment")

    full = memory.count == context
    held = where_needed(full, end_segment, (params, memory.window), memory.held, lazy=lazy)
    return features, Cached(held, memory.window, jnp.where(full, 0, memory.count))


def where_needed(needed: Array, f: Callable[[Tree, Tree], Tree], given: Tree, held: Tree, *, lazy: bool = True) -> Tree:
    """`f(given, held)` where `needed` [] holds, else `held`.

    lazy: `f` runs only if it is needed, under `vmap` only if any element of the batch needs it (a plain `lax.cond`
    would
    become a select there and always run).
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

        # recursive, so that a further vmap is handled the same way
        return where_needed(jnp.any(needed), some, (given, needed), held), jax.tree.map(lambda _: True, held)

    return call(needed, given, held)
