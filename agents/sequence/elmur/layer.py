"""One layer of ELMUR: tokens attend to each other and read the memory; the memory reads the tokens and is rewritten.

    h = norm(x + SelfAttention(x))                         causal, relative, within the segment alone
    h = norm(h + Attention(h -> m, bias E[t - p_j]))       the read: all M slots, the empty ones too
    h = norm(h + FFN(h))                                   the input of the next layer
    u = norm(m_j + Attention(m_j -> h, bias E[p_j - t]))   the write, of ONE slot j: the first empty, else the oldest
    u = norm(u + FFN'(u))
    m_j <- lam u + (1 - lam) m_j                           an empty slot is replaced

Source: Cherepanov et al. 2025, arXiv 2510.07151 (token track, memory track, LRU update); official code
CognitiveAISystems/RATE, offline_rl_baselines/ELMUR/model.py, `ELMURLayer`. Slots are written independently, so only
the slot that changes is computed.
Shapes: Q query tokens, L of a segment, M slots, D width, H heads, d = D / H, E experts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array
from prospect_rl.agents.sequence.attention import (
    Attention,
    Dense,
    FeedForward,
    RelativeAttention,
    apply_dropout,
    norm,
)

if TYPE_CHECKING:
    from prospect_rl.agents.sequence.elmur.elmur import Elmur

REACH = 1024
"""Longest time in steps between a token and a write with a bias of its own; longer times share one."""
Rows = tuple[Array, Array]
"""Keys and values [K, H, d]."""


class Layer(nn.Module):
    """One layer (see the module's docstring), written for one stream."""

    config: Elmur
    """Agent whose fields configure the layer."""

    def setup(self) -> None:
        """Make the parts of the layer."""
        c = self.config
        self.attention = RelativeAttention(c.width, c.heads, c.attention_dropout)
        self.read = Attention(c.width, c.heads, c.attention_dropout)
        self.write = Attention(c.width, c.heads, c.attention_dropout)
        self.bias = self.param("bias", nn.initializers.normal(c.bias_std), (2 * REACH - 1, c.heads))
        self.norms = [norm(c.norm) for _ in range(5)]
        self.token_ffn, self.slot_ffn = (Experts(c) if c.experts else FeedForward(c.ffn) for _ in range(2))

    def bias_of(self, ages: Array) -> Array:
        """The bias [H, ...] for times [...] between a token and a write."""
        return jnp.moveaxis(self.bias[jnp.clip(ages, 1 - REACH, REACH - 1) + REACH - 1], -1, 0)

    def tokens(
        self, x: Array, own: Rows, slots: Rows, steps: Array | None, seen: Array, pair: tuple[Array, Array],
        ages: Array, shift: Array | int,
    ) -> Array:  # fmt: skip
        """The layer's output [Q, D] for x [Q, D].

        own: keys and values of the segment's tokens; slots: those of the memory; ages [Q, M]: time since each slot's
        write; steps, seen, pair, shift: see `RelativeAttention`.
        """
        rate, span = self.config.dropout, (0, self.config.context - 1)
        found = self.attention(x, own, steps, seen, pair, span, shift)
        x = self.norms[0](x + apply_dropout(self, found, rate))
        x = self.norms[1](x + apply_dropout(self, self.read(x, slots, self.bias_of(ages)), rate))
        return self.norms[2](x + apply_dropout(self, self.token_ffn(x), rate))

    def candidates(self, slots: Array, ages: Array, x: Array) -> Array:
        """The new content of slots [M, D], from the layer's output x [L, D]; ages [M, L]: p_j - t."""
        c = self.config
        seen = self.write(slots, self.write.project(x), self.bias_of(ages))
        new = self.norms[3](slots + apply_dropout(self, seen, c.dropout))
        new = self.norms[4](new + apply_dropout(self, self.slot_ffn(new), c.dropout))
        return apply_dropout(self, new, c.memory_dropout)

    def rewritten(self, slots: Array, written: Array, x: Array, times: Array) -> Array:
        """The slots [M, D] after a segment with output x [L, D] at `times` [L]; written [M]: write times or -1."""
        c = self.config
        if not c.lru:
            return self.candidates(slots, written[:, None] - times, x)
        oldest = jnp.argmin(written)  # an empty slot (-1) is the oldest
        slot, when = slots[oldest], written[oldest]
        new = self.candidates(slot[None], (when - times)[None], x)[0]
        share = jnp.where(when < 0, 1.0, c.lam).astype(x.dtype) if c.first_write == "replace" else c.lam
        return jnp.where((jnp.arange(len(slots)) == oldest)[:, None], share * new + (1 - share) * slot, slots)


class Experts(nn.Module):
    """A mixture of SwiGLU experts: [N, D] -> [N, D]; used where `experts` is above 0.

    The gates of the K best experts are those of a softmax over all, normalised to sum 1; where K is 1 the gate is 1 and
    the router does not learn. Shared experts process every row. Sows (share of assignments, mean selected gate) [2, E]
    for the balance loss.
    """

    config: Elmur
    """Agent whose fields configure the experts."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The output [N, D]."""
        c = self.config
        chosen = max(1, c.top_k - c.shared_experts)
        scores = jax.nn.softmax(Dense(c.experts, use_bias=False)(x), axis=-1)
        # exactly K, even with ties
        picked = jnp.sum(jax.nn.one_hot(jax.lax.top_k(scores, chosen)[1], c.experts, dtype=x.dtype), axis=-2)
        gates = scores * picked / jnp.sum(scores * picked, axis=-1, keepdims=True)
        self.sow("sown", "balance", jnp.stack([jnp.mean(picked, axis=0) / chosen, jnp.mean(gates, axis=0)]))
        routed = jnp.stack([swiglu(c.expert_ffn, x) for _ in range(c.experts)])
        shared = sum((swiglu(c.shared_ffn, x) for _ in range(c.shared_experts)), jnp.zeros_like(x))
        return jnp.einsum("ne,end->nd", gates, routed) + shared


def swiglu(hidden: int, x: Array) -> Array:
    """A gated layer without biases, [..., D] -> [..., D]; its weights belong to the calling module."""
    gate, value = (Dense(hidden, use_bias=False)(x) for _ in range(2))
    return Dense(x.shape[-1], use_bias=False)(nn.silu(gate) * value)
