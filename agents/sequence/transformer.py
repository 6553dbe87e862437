"""Transformer baselines: a sliding window, Transformer-XL's cache, memory tokens, and a valve that retains them.

    bc_transformer   the last L steps only
    trxl             segments of L steps; each layer also attends to the states of `cache` tokens before them
    rmt              segments between two copies of R memory tokens; the output of the second one is the next memory
    rate             both, and the next memory is Attention(old memory -> relu(output of the second copy))

Memory tokens attend to each other in both directions, and to the cache; the first copy sees no step, the second all.
Source: Vaswani et al. 2017; Dai et al. 2019 (arXiv 1901.02860); Bulatov et al. 2022 (arXiv 2207.06881); Cherepanov et
al. 2024 (RATE, arXiv 2306.09459). Norms come after the residuals. Only tokens of steps enter a cache.

Shapes: L steps of a segment with G tokens each, N layers, C tokens of a cache, R memory tokens, D width, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.agents.api import Array, Key, hyper
from prospect_rl.agents.nn.trunk import Trunk
from prospect_rl.agents.sequence.attention import Attention, FeedForward, RelativeAttention, apply_dropout, norm
from prospect_rl.agents.sequence.imitation import SequenceBC


@struct.dataclass
class Carry:
    """The memory that passes from one segment to the next."""

    cache: Array
    """[N, C, D] inputs of each layer, the newest last."""
    filled: Array
    """[] int32 number of cache rows that are filled."""
    memory: Array
    """[R, D] memory tokens for the next segment."""


class Block(nn.Module):
    """A transformer layer: relative attention and a feed-forward layer, each followed by a norm."""

    width: int
    """Number of features of a token (D)."""
    heads: int
    """Number of attention heads (H)."""
    ffn: int
    """Number of neurons in the feed-forward layer."""
    dropout: float
    """Share of activations that are set to zero in training (0-1)."""

    @nn.compact
    def __call__(
        self, x: Array, past: Array, steps: np.ndarray, seen: Array, pair: tuple[Array, Array], span: tuple[int, int]
    ) -> Array:
        """The output [Q, D] for x [Q, D] after past rows [C, D]; see `RelativeAttention`."""
        attention = RelativeAttention(self.width, self.heads, self.dropout)
        rows = attention.project(jnp.concatenate([past, x]))
        x = norm("layer")(
            x + apply_dropout(self, attention(x, rows, jnp.asarray(steps), seen, pair, span), self.dropout)
        )
        return norm("layer")(x + apply_dropout(self, FeedForward(self.ffn)(x), self.dropout))


class Transformer(Trunk):
    """A transformer trunk with an optional cache, memory tokens and a valve."""

    layers: int = 2
    """Number of transformer layers (N)."""
    heads: int = 2
    """Number of attention heads (H)."""
    ffn: int = 128
    """Number of neurons in the feed-forward layers."""
    dropout: float = 0.0
    """Share of activations that are set to zero in training (0-1)."""
    cache: int = 0
    """Number of tokens in the cache (C)."""
    memories: int = 0
    """Number of memory tokens (R)."""
    valve: int = 0
    """Number of heads of the valve; 0 means no valve: the output is the next memory."""

    def setup(self) -> None:
        """Make the layers and learned memory tokens."""
        self.blocks = [Block(self.width, self.heads, self.ffn, self.dropout) for _ in range(self.layers)]
        shape, normal = (self.heads, self.width // self.heads), nn.initializers.normal(0.02)
        self.pair = self.param("content", normal, shape), self.param("place", normal, shape)
        if self.memories:
            self.memory = self.param("memory", normal, (self.memories, self.width))
        if self.valve:
            self.gate = Attention(self.width, self.valve)

    def start(self, key: Key) -> Carry:
        """An empty cache and the learned initial memory."""
        memory = self.memory if self.memories else jnp.zeros((0, self.width))
        return Carry(jnp.zeros((self.layers, self.cache, self.width)), jnp.int32(0), memory)

    def segment(self, carry: Carry, tokens: Array, length: Array | int | None = None) -> tuple[Array, Carry]:
        """All layers over the sequence memory, segment, memory."""
        memories, count = self.memories, self.context * self.tokens
        x = jnp.concatenate([carry.memory, tokens.reshape(count, self.width), carry.memory])
        place = np.arange(-self.cache, len(x))
        steps = place[self.cache :, None] - place
        seen = jnp.asarray(attention_mask(count, memories, self.cache)) & (place >= -carry.filled)
        cache, span = [], (int(steps.min()), int(steps.max()))
        for block, past in zip(self.blocks, carry.cache, strict=True):
            cache.append(jnp.concatenate([past, x[memories : memories + count]])[count:])
            x = block(x, past, steps, seen, self.pair, span)
        new = x[memories + count :]
        if self.valve:
            new = self.gate(carry.memory, self.gate.project(nn.relu(new)))
        filled = jnp.minimum(carry.filled + count, self.cache)
        features = x[memories : memories + count].reshape(self.context, self.tokens, self.width)[:, -1]
        return features, Carry(jnp.stack([rows[len(rows) - self.cache :] for rows in cache]), filled, new)


def attention_mask(count: int, memories: int, cache: int) -> np.ndarray:
    """The mask [Q, K] bool: what memory, segment (`count` tokens) and memory see of the cache and of themselves."""
    size = count + 2 * memories
    kind = np.repeat([0, 1, 2], [memories, count, memories])
    ahead = np.arange(size)[:, None] < np.arange(size)
    same_memory = (kind[:, None] == kind) & (kind != 1)
    return np.concatenate([np.ones((size, cache), bool), ~ahead | same_memory], axis=1)


@dataclass(frozen=True, kw_only=True)
class BCTransformer(SequenceBC):
    """Behaviour cloning with a transformer over the newest `context` steps."""

    context: int = hyper(30, least=1)
    """Number of last steps that the transformer attends to (L)."""
    segments: int = hyper(1, least=1)
    """Number of segments in a training window, each learned independently."""
    layers: int = hyper(2, least=1)
    """Number of layers of the transformer (N)."""
    heads: int = hyper(2, least=1)
    """Number of heads of every attention layer; the width must be a multiple of twice this number."""
    ffn: int = hyper(128, least=1)
    """Number of hidden neurons of the feed-forward layers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % (2 * self.heads):
            raise ValueError(f"width must be a multiple of 2 * heads = {2 * self.heads}, not {self.width}")

    @property
    def trunk(self) -> Transformer:
        """A transformer over a sliding window."""
        return self.transformer(slides=True)

    def transformer(self, **fields: Any) -> Transformer:
        """The transformer with this agent's layers and a subclass's further fields."""
        return Transformer(
            self.width, self.context, len(self.token_names),
            layers=self.layers, heads=self.heads, ffn=self.ffn, dropout=self.dropout, **fields,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrXL(BCTransformer):
    """Behaviour cloning with Transformer-XL: segments, and a cache of the states before them."""

    context: int = hyper(10, least=1)
    """Number of environment steps in a segment (L)."""
    segments: int = hyper(3, least=1)
    """Number of segments in a training window (S)."""
    cache: int = hyper(20, least=1)
    """Number of tokens before a segment that each layer attends to (C)."""

    @property
    def trunk(self) -> Transformer:
        """A transformer with segments and a cache."""
        return self.transformer(cache=self.cache)


@dataclass(frozen=True, kw_only=True)
class RMT(BCTransformer):
    """Behaviour cloning with the recurrent memory transformer: memory tokens around every segment."""

    context: int = hyper(10, least=1)
    """Number of environment steps in a segment (L)."""
    segments: int = hyper(3, least=1)
    """Number of segments in a training window (S)."""
    memories: int = hyper(10, least=1)
    """Number of memory tokens (R)."""

    @property
    def trunk(self) -> Transformer:
        """A transformer with segments between memory tokens."""
        return self.transformer(memories=self.memories)
