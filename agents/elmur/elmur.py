"""ELMUR: layers with an external memory, written once a segment, learn an expert's actions from windows of episodes.

    for each segment of L steps, in every layer:   tokens attend to each other and read M slots of memory
                                                   then ONE slot is rewritten: an empty one, else the oldest
    behaviour cloning over S segments, gradients through K of them (see `agents.sequence.imitation`)

Source: "ELMUR: External Layer Memory with Update/Rewrite for Long-Horizon RL Problems", 2025, arXiv 2510.07151. The
layer: `agents.elmur.layer`; the trunk and its stepper: `agents.elmur.trunk`; paper and official code beside ours:
docs/methods/elmur.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from agents.api import Array, hyper
from agents.elmur.trunk import ElmurTrunk
from agents.sequence.attention import Norm
from agents.sequence.imitation import SequenceBC


@dataclass(frozen=True, kw_only=True)
class Elmur(SequenceBC):
    """Behaviour cloning with a memory in every layer, of which a segment rewrites one slot."""

    layers: int = hyper(2, least=1)
    """N"""
    heads: int = hyper(2, least=1)
    """Of every attention; they divide the width."""
    ffn: int = hyper(128, least=1)
    """Hidden width of feed-forward layers, where there are no experts."""
    slots: int = hyper(2, least=1)
    """Of the memory of a layer (M)."""
    lam: float = hyper(0.5, least=0, most=1)
    """Share of the new content when a slot is rewritten (lambda)."""
    sigma: float = hyper(0.02, least=0)
    """Deviation of the noise in empty slots."""
    lru: bool = True
    """False: rewrite all slots, whole, after every segment."""
    first_write: Literal["replace", "blend"] = "replace"
    """An empty slot is replaced (the paper), or blended with lam as any other (the official code)."""
    positions: Literal["forward", "official"] = "forward"
    """Times of tokens: as they go, or counted back from the newest one as the official code has it."""
    sinusoid_offset: bool = False
    """Relative sinusoids move on with a segment's start, as in the official code."""
    bias_std: float = hyper(0.02, least=0)
    """Deviation of the first relative biases; the official code has 1."""
    norm: Norm = "layer"
    """Of every layer: LayerNorm or RMSNorm."""
    attention_dropout: float = hyper(0.0, least=0, below=1)
    """Share of attention weights dropped in training."""
    memory_dropout: float = hyper(0.0, least=0, below=1)
    """Share of a slot's new content dropped in training."""
    experts: int = hyper(0, least=0)
    """Routed experts of each feed-forward layer (E); 0: a plain one."""
    top_k: int = hyper(2, least=1)
    """Experts that a row goes through, the shared ones among them."""
    shared_experts: int = hyper(1, least=0)
    """Experts that every row goes through."""
    expert_ffn: int = hyper(128, least=1)
    """Hidden width of a routed expert."""
    shared_ffn: int = hyper(128, least=1)
    """Hidden width of a shared expert."""
    balance: float = hyper(0.1, least=0)
    """Weight of the loss that spreads rows over experts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % (2 * self.heads):
            raise ValueError(f"width must be a multiple of 2 * heads = {2 * self.heads}, not {self.width}")
        if self.experts and max(1, self.top_k - self.shared_experts) > self.experts:
            raise ValueError(f"top_k - shared_experts must be at most the {self.experts} experts")

    @property
    def trunk(self) -> ElmurTrunk:
        """The layers."""
        return ElmurTrunk(self.width, self.context, config=self)

    def penalty(self, sown: dict[str, Any]) -> Array | float:
        """The balance of experts: weight E sum_e f_e G_e, summed over all feed-forward layers that route."""
        if not self.experts:
            return 0.0
        return self.balance * self.experts * sum(jnp.sum(x[0] * x[1]) for x in jax.tree.leaves(sown))
