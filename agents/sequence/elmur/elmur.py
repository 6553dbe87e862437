"""ELMUR: layers with an external memory, written once per segment, that clone an expert from windows of episodes.

    for each segment of L steps, in every layer:   tokens attend to each other and read M slots of memory
                                                   then ONE slot is rewritten: an empty one, else the oldest
    behaviour cloning over S segments, gradients through K of them (see `agents.sequence.imitation`)

Source: "ELMUR: External Layer Memory with Update/Rewrite for Long-Horizon RL Problems", 2025, arXiv 2510.07151. The
layer: layer.py; the trunk and its stepper: trunk.py; paper and official code compared with ours: docs/methods/elmur.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, hyper
from prospect_rl.agents.sequence.attention import Norm
from prospect_rl.agents.sequence.elmur.trunk import ElmurTrunk
from prospect_rl.agents.sequence.imitation import SequenceBC


@dataclass(frozen=True, kw_only=True)
class Elmur(SequenceBC):
    """Behaviour cloning with a memory in every layer, of which each segment rewrites one slot."""

    layers: int = hyper(2, least=1)
    """Number of layers of the network (N)."""
    heads: int = hyper(2, least=1)
    """Number of heads of every attention layer; the width must be a multiple of twice this number."""
    ffn: int = hyper(128, least=1)
    """Number of hidden neurons of the feed-forward layers, if there are no experts."""
    slots: int = hyper(2, least=1)
    """Number of memory slots in each layer (M)."""
    lam: float = hyper(0.5, least=0, most=1)
    """Weight of the new content when a memory slot is rewritten, from 0 to 1 (lambda in the paper)."""
    sigma: float = hyper(0.02, least=0)
    """Standard deviation of the noise that fills empty memory slots."""
    lru: bool = True
    """Whether only the least recently used slot is rewritten after a segment; if not, all slots are replaced."""
    first_write: Literal["replace", "blend"] = "replace"
    """What the first write into an empty slot does: `replace` it (the paper), or `blend` it with lam as any other write
    (the official code)."""
    positions: Literal["forward", "official"] = "forward"
    """How tokens are numbered in time: `forward` in order, or backward from the newest one (`official`, as in the
    official code)."""
    sinusoid_offset: bool = False
    """Whether relative sinusoids are shifted by the start time of a segment, as in the official code."""
    bias_std: float = hyper(0.02, least=0)
    """Initial standard deviation of the relative biases; the official code has 1."""
    norm: Norm = "layer"
    """Kind of normalisation in every layer: LayerNorm or RMSNorm."""
    attention_dropout: float = hyper(0.0, least=0, below=1)
    """Share of attention weights that are set to zero in training (0-1)."""
    memory_dropout: float = hyper(0.0, least=0, below=1)
    """Share of a slot's new content that is set to zero in training (0-1)."""
    experts: int = hyper(0, least=0)
    """Number of routed experts in each feed-forward layer (E); 0 means a plain layer without experts."""
    top_k: int = hyper(2, least=1)
    """Number of experts that process each token, including the shared ones."""
    shared_experts: int = hyper(1, least=0)
    """Number of experts that process every token."""
    expert_ffn: int = hyper(128, least=1)
    """Number of hidden neurons of a routed expert."""
    shared_ffn: int = hyper(128, least=1)
    """Number of hidden neurons of a shared expert."""
    balance: float = hyper(0.1, least=0)
    """Weight of the loss that balances tokens over the experts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % (2 * self.heads):
            raise ValueError(f"width must be a multiple of 2 * heads = {2 * self.heads}, not {self.width}")
        if self.experts and max(1, self.top_k - self.shared_experts) > self.experts:
            raise ValueError(f"top_k - shared_experts must be at most the {self.experts} experts")

    @property
    def trunk(self) -> ElmurTrunk:
        """The stack of ELMUR's layers."""
        return ElmurTrunk(self.width, self.context, config=self)

    def penalty(self, sown: dict[str, Any]) -> Array | float:
        """The load balancing loss: weight E sum_e f_e G_e, summed over all feed-forward layers that route."""
        if not self.experts:
            return 0.0
        return self.balance * self.experts * sum(jnp.sum(x[0] * x[1]) for x in jax.tree.leaves(sown))
