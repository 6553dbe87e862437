"""One layer of ELMUR: tokens attend to each other and read the memory; the memory reads the tokens and is rewritten.

    h = norm(x + SelfAttention(x))                         causal, relative, within the segment alone
    h = norm(h + Attention(h -> m, bias E[t - p_j]))       the read: all M slots, the empty ones too
    h = norm(h + FFN(h))                                   what the next layer gets
    u = norm(m_j + Attention(m_j -> h, bias E[p_j - t]))   the write, of ONE slot j: the first empty, else the oldest
    u = norm(u + FFN'(u))
    m_j <- lam u + (1 - lam) m_j                           an empty slot is replaced

Source: Cherepanov et al. 2025, arXiv 2510.07151 (token track, memory track, LRU update); official code
CognitiveAISystems/RATE, offline_rl_baselines/ELMUR/model.py, `ELMURLayer`. Slots do not meet in the write, so only the
one that is kept is computed.
Shapes: Q tokens that ask, L of a segment, M slots, D width, H heads, d = D / H, E experts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array
from prospect_rl.agents.sequence.attention import Attention, Dense, FeedForward, RelativeAttention, dropped, norm

if TYPE_CHECKING:
    from prospect_rl.agents.sequence.elmur.elmur import Elmur

REACH = 1024
"""Longer times than this between a token and a write share a bias."""
Rows = tuple[Array, Array]
"""Keys and values [K, H, d]."""


class Layer(nn.Module):
    """See the head of this file; written for one stream."""

    config: Elmur

    def setup(self) -> None:
        """The parts."""
        c = self.config
        self.attention = RelativeAttention(c.width, c.heads, c.attention_dropout)
        self.read = Attention(c.width, c.heads, c.attention_dropout)
        self.write = Attention(c.width, c.heads, c.attention_dropout)
        self.bias = self.param("bias", nn.initializers.normal(c.bias_std), (2 * REACH - 1, c.heads))
        self.norms = [norm(c.norm) for _ in range(5)]
        self.token_ffn, self.slot_ffn = (Experts(c) if c.experts else FeedForward(c.ffn) for _ in range(2))

    def bias_of(self, ages: Array) -> Array:
        """[H, ...] the bias for times [...] between a token and a write."""
        return jnp.moveaxis(self.bias[jnp.clip(ages, 1 - REACH, REACH - 1) + REACH - 1], -1, 0)

    def tokens(
        self, x: Array, own: Rows, slots: Rows, steps: Array | None, seen: Array, pair: tuple[Array, Array],
        ages: Array, shift: Array | int,
    ) -> Array:  # fmt: skip
        """The layer's output [Q, D] for x [Q, D].

        own: of the segment's tokens; slots: of the memory; ages [Q, M]: of the slots; steps, seen, pair, shift: see
        `RelativeAttention`.
        """
        rate, span = self.config.dropout, (0, self.config.context - 1)
        found = self.attention(x, own, steps, seen, pair, span, shift)
        x = self.norms[0](x + dropped(self, found, rate))
        x = self.norms[1](x + dropped(self, self.read(x, slots, self.bias_of(ages)), rate))
        return self.norms[2](x + dropped(self, self.token_ffn(x), rate))

    def candidates(self, slots: Array, ages: Array, x: Array) -> Array:
        """What slots [M, D] would become, from the layer's output x [L, D]; ages [M, L]: p_j - t."""
        c = self.config
        seen = self.write(slots, self.write.project(x), self.bias_of(ages))
        new = self.norms[3](slots + dropped(self, seen, c.dropout))
        new = self.norms[4](new + dropped(self, self.slot_ffn(new), c.dropout))
        return dropped(self, new, c.memory_dropout)

    def rewritten(self, slots: Array, written: Array, x: Array, times: Array) -> Array:
        """The slots [M, D] after a segment with output x [L, D] at `times` [L]; written [M]: when, -1 for never."""
        c = self.config
        if not c.lru:
            return self.candidates(slots, written[:, None] - times, x)
        oldest = jnp.argmin(written)  # never written is older than any time
        slot, when = slots[oldest], written[oldest]
        new = self.candidates(slot[None], (when - times)[None], x)[0]
        share = jnp.where(when < 0, 1.0, c.lam).astype(x.dtype) if c.first_write == "replace" else c.lam
        return jnp.where((jnp.arange(len(slots)) == oldest)[:, None], share * new + (1 - share) * slot, slots)


class Experts(nn.Module):
    """[N, D] -> [N, D]: SwiGLU experts behind a router, and some that see every row. Off unless `experts` is set.

    The gates of the K best experts are those of a softmax over all, brought to sum 1; where K is 1 the gate is 1 and
    the router learns nothing. Sows (share of assignments, mean selected gate) [2, E] for the balance loss.
    """

    config: Elmur

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The output [N, D]."""
        c = self.config
        chosen = max(1, c.top_k - c.shared_experts)
        scores = jax.nn.softmax(Dense(c.experts, use_bias=False)(x), axis=-1)
        # exactly K, also among equals
        picked = jnp.sum(jax.nn.one_hot(jax.lax.top_k(scores, chosen)[1], c.experts, dtype=x.dtype), axis=-2)
        gates = scores * picked / jnp.sum(scores * picked, axis=-1, keepdims=True)
        self.sow("sown", "balance", jnp.stack([jnp.mean(picked, axis=0) / chosen, jnp.mean(gates, axis=0)]))
        routed = jnp.stack([swiglu(c.expert_ffn, x) for _ in range(c.experts)])
        shared = sum((swiglu(c.shared_ffn, x) for _ in range(c.shared_experts)), jnp.zeros_like(x))
        return jnp.einsum("ne,end->nd", gates, routed) + shared


def swiglu(hidden: int, x: Array) -> Array:
    """[..., D] a layer with a gate, without biases; makes its weights in the module that calls it."""
    gate, value = (Dense(hidden, use_bias=False)(x) for _ in range(2))
    return Dense(x.shape[-1], use_bias=False)(nn.silu(gate) * value)
