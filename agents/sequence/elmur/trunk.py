"""ELMUR's layers as a trunk: over whole segments, and step by step with a cache.

With forward positions a token's features are the same whatever follows it, so the stepper keeps keys and values of the
running segment, and those of the memory, which change once a segment. The official positions count from the newest
token back: every step changes all of them, and the window is run again (see `Trunk.step`).

Shapes: L steps of a segment, N layers, M slots, D width, H heads, d = D / H.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array, Key
from prospect_rl.agents.nn.trunk import Cached, Trunk
from prospect_rl.agents.sequence.elmur.layer import Layer, Rows

if TYPE_CHECKING:
    from prospect_rl.agents.sequence.elmur.elmur import Elmur


@struct.dataclass
class Carry:
    """What crosses from one segment to the next."""

    slots: Array
    """[N, M, D]"""
    written: Array
    """[M] int32 time of the last write, the same in all layers; -1: never."""
    time: Array
    """[] int32 of the next segment's first step."""


@struct.dataclass
class Held:
    """What changes once a segment."""

    carry: Carry
    rows: tuple[Rows, ...]
    """Keys and values [M, H, d] of the slots, a layer each."""


@struct.dataclass
class Running:
    """Of the running segment, the newest token first."""

    own: tuple[Rows, ...]
    """Keys and values [L, H, d] of its tokens, a layer each."""
    out: tuple[Array, ...]
    """[L, D] what each layer gave."""


class ElmurTrunk(Trunk):
    """A stack of layers with a memory each."""

    config: Any = None
    """An `Elmur`, for its fields."""

    def setup(self) -> None:
        """The parts."""
        c: Elmur = self.config
        self.layers = [Layer(c) for _ in range(c.layers)]
        shape, normal = (c.heads, c.width // c.heads), nn.initializers.normal(0.02)
        self.pair = self.param("content", normal, shape), self.param("place", normal, shape)

    def start(self, key: Key) -> Carry:
        """Fresh noise in all slots."""
        c = self.config
        noise = c.sigma * jax.random.normal(key, (c.layers, c.slots, c.width))
        return Carry(noise, jnp.full(c.slots, -1, jnp.int32), jnp.int32(0))

    def times(self, carry: Carry, length: Array | int) -> Array:
        """[L] of the tokens of a segment, of which `length` are there."""
        steps = jnp.arange(self.context)
        return carry.time + (steps if self.config.positions == "forward" else length - 1 - steps)

    def shift(self, carry: Carry) -> Array | int:
        """What the official code adds to relative steps."""
        return carry.time if self.config.sinusoid_offset else 0

    def segment(self, carry: Carry, tokens: Array, length: Array | int | None = None) -> tuple[Array, Carry]:
        """All layers, then the writes."""
        steps, times = jnp.arange(self.context), self.times(carry, self.context if length is None else length)
        back, ages = steps[:, None] - steps, times[:, None] - carry.written
        x, slots = tokens[:, 0], []
        for layer, memory in zip(self.layers, carry.slots, strict=True):
            own, rows = layer.attention.project(x), layer.read.project(memory)
            x = layer.tokens(x, own, rows, back, back >= 0, self.pair, ages, self.shift(carry))
            slots.append(layer.rewritten(memory, carry.written, x, times))
        return x, self.after(carry, slots)

    def after(self, carry: Carry, slots: list[Array]) -> Carry:
        """The carry with new slots, which are dated with the segment's end."""
        time = carry.time + self.context
        now = jnp.arange(len(carry.written)) == jnp.argmin(carry.written)
        written = jnp.where(now | (not self.config.lru), time - 1, carry.written)
        return Carry(jnp.stack(slots), written, time)

    # --- step by step --------------------------------------------------------------------------------

    def open(self, key: Key) -> Any:
        """An empty cache; with the official positions an empty window."""
        c, carry = self.config, self.start(key)
        if c.positions == "official":
            return super().open(key)
        empty = jnp.zeros((c.context, c.heads, c.width // c.heads))
        running = Running(((empty, empty),) * c.layers, (jnp.zeros((c.context, c.width)),) * c.layers)
        return Cached(Held(carry, self.projected(carry.slots)), running, jnp.int32(0))

    def projected(self, slots: Array) -> tuple[Rows, ...]:
        """What `Held.rows` is for slots [N, M, D]."""
        return tuple(layer.read.project(memory) for layer, memory in zip(self.layers, slots, strict=True))

    def step(self, memory: Any, token: Array) -> tuple[Array, Any]:
        """All layers for one token."""
        if not isinstance(memory, Cached):
            return super().step(memory, token)
        held, running, at = memory.held, memory.window, memory.count
        carry, own, out, x = held.carry, [], [], token
        seen = (jnp.arange(self.context) <= at)[None]
        ages = (carry.time + at - carry.written)[None]
        for layer, before, given, rows in zip(self.layers, running.own, running.out, held.rows, strict=True):
            mine = jax.tree.map(pushed, before, layer.attention.project(x))
            x = layer.tokens(x, mine, rows, None, seen, self.pair, ages, self.shift(carry))
            own.append(mine)
            out.append(pushed(given, x))
        return x[0], Cached(held, Running(tuple(own), tuple(out)), at + 1)

    def turn(self, window: Running, held: Held) -> Held:
        """The writes after a full segment."""
        carry = held.carry
        times = self.times(carry, self.context)
        parts = zip(self.layers, carry.slots, window.out, strict=True)
        slots = [layer.rewritten(memory, carry.written, x[::-1], times) for layer, memory, x in parts]
        carry = self.after(carry, slots)
        return Held(carry, self.projected(carry.slots))


def pushed(rows: Array, row: Array) -> Array:
    """`rows` [L, ...] with `row` [1, ...] before them, without the last: then a row's place says how old it is."""
    return jnp.concatenate([row, rows[:-1]])
