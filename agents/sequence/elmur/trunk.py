"""ELMUR's layers as a trunk: over whole segments, and step by step with a cache.

With forward positions a token's features do not depend on later tokens, so the stepper caches keys and values of the
current segment, and those of the memory, which change once per segment. The official positions count back from the
newest token: every step changes all of them, so the window is run again (see `Trunk.step`).

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
    """The memory that passes from one segment to the next."""

    slots: Array
    """[N, M, D] memory slots of all layers."""
    written: Array
    """[M] int32 time of the last write in steps, the same in all layers; -1 for never."""
    time: Array
    """[] int32 time in steps of the next segment's first step."""


@struct.dataclass
class Held:
    """The part of the stepper's memory that changes once per segment."""

    carry: Carry
    """The carry before the current segment."""
    rows: tuple[Rows, ...]
    """Keys and values [M, H, d] of the slots, one pair for each layer."""


@struct.dataclass
class Running:
    """The cache of the current segment, the newest token first."""

    own: tuple[Rows, ...]
    """Keys and values [L, H, d] of its tokens, one pair for each layer."""
    out: tuple[Array, ...]
    """Outputs [L, D] of each layer for its tokens."""


class ElmurTrunk(Trunk):
    """A trunk of layers that each have a memory."""

    config: Any = None
    """Agent (an `Elmur`) whose fields configure the layers."""

    def setup(self) -> None:
        """Make the layers and relative position parameters."""
        c: Elmur = self.config
        self.layers = [Layer(c) for _ in range(c.layers)]
        shape, normal = (c.heads, c.width // c.heads), nn.initializers.normal(0.02)
        self.pair = self.param("content", normal, shape), self.param("place", normal, shape)

    def start(self, key: Key) -> Carry:
        """A carry with random noise in all slots."""
        c = self.config
        noise = c.sigma * jax.random.normal(key, (c.layers, c.slots, c.width))
        return Carry(noise, jnp.full(c.slots, -1, jnp.int32), jnp.int32(0))

    def times(self, carry: Carry, length: Array | int) -> Array:
        """The times [L] of the tokens of a segment, the first `length` of them valid."""
        steps = jnp.arange(self.context)
        return carry.time + (steps if self.config.positions == "forward" else length - 1 - steps)

    def shift(self, carry: Carry) -> Array | int:
        """The shift of relative steps that the official code adds."""
        return carry.time if self.config.sinusoid_offset else 0

    def segment(self, carry: Carry, tokens: Array, length: Array | int | None = None) -> tuple[Array, Carry]:
        """All layers, then the memory writes."""
        steps, times = jnp.arange(self.context), self.times(carry, self.context if length is None else length)
        back, ages = steps[:, None] - steps, times[:, None] - carry.written
        x, slots = tokens[:, 0], []
        for layer, memory in zip(self.layers, carry.slots, strict=True):
            own, rows = layer.attention.project(x), layer.read.project(memory)
            x = layer.tokens(x, own, rows, back, back >= 0, self.pair, ages, self.shift(carry))
            slots.append(layer.rewritten(memory, carry.written, x, times))
        return x, self.after(carry, slots)

    def after(self, carry: Carry, slots: list[Array]) -> Carry:
        """The carry with new slots, whose write time is the segment's end."""
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
        """Keys and values of the slots [N, M, D], as in `Held.rows`."""
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
            mine = jax.tree.map(push_front, before, layer.attention.project(x))
            x = layer.tokens(x, mine, rows, None, seen, self.pair, ages, self.shift(carry))
            own.append(mine)
            out.append(push_front(given, x))
        return x[0], Cached(held, Running(tuple(own), tuple(out)), at + 1)

    def end_segment(self, window: Running, held: Held) -> Held:
        """The memory writes after a full segment."""
        carry = held.carry
        times = self.times(carry, self.context)
        parts = zip(self.layers, carry.slots, window.out, strict=True)
        slots = [layer.rewritten(memory, carry.written, x[::-1], times) for layer, memory, x in parts]
        carry = self.after(carry, slots)
        return Held(carry, self.projected(carry.slots))


def push_front(rows: Array, row: Array) -> Array:
    """`rows` [L, ...] with `row` [1, ...] in front and the last row dropped: a row's index is its age."""
    return jnp.concatenate([row, rows[:-1]])
