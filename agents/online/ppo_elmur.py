"""PPO with ELMUR's layers: a memory with slots in place of the GRU, for tasks with distant cues.

Not in the paper. Streams are recomputed from the memories at the start of their segments; episodes that start within a
segment from an empty memory (slots of zeros, so nothing is sampled). Gradients flow through the whole segment.
"""

from __future__ import annotations

from dataclasses import dataclass

from prospect_rl.agents.api import DefaultRun, hyper
from prospect_rl.agents.online.ppo import PPO
from prospect_rl.agents.sequence.elmur.elmur import Elmur
from prospect_rl.agents.sequence.elmur.trunk import ElmurTrunk


@dataclass(frozen=True, kw_only=True)
class ElmurPPO(PPO):
    """Proximal policy optimisation with ELMUR's layers as memory of policy and value."""

    default_run = DefaultRun("popgym/RepeatFirstEasy", 81_920)

    learning_rate: float = hyper(1e-3, above=0, traced=True)
    """Learning rate of the Adam optimiser."""
    entropy: float = hyper(0.01, least=0, traced=True)
    """Weight of the entropy bonus in the loss, which keeps the policy exploring."""
    width: int = hyper(64, least=2)
    """Number of features of each token in ELMUR's layers."""
    context: int = hyper(10, least=1)
    """Number of environment steps in a segment, after which a memory slot is written."""
    layers: int = hyper(2, least=1)
    """Number of layers of the ELMUR network."""
    heads: int = hyper(2, least=1)
    """Number of heads of every attention layer; the width must be a multiple of twice this number."""
    ffn: int = hyper(128, least=1)
    """Number of hidden neurons of ELMUR's feed-forward layers."""
    slots: int = hyper(2, least=1)
    """Number of memory slots in each layer."""
    blend: float = hyper(0.5, least=0, most=1)
    """Weight of the new content when a memory slot is rewritten, from 0 to 1 (ELMUR's lambda)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recurrent:
            raise ValueError(f"recurrent must be 0, not {self.recurrent}: ELMUR replaces the GRU")

    @property
    def core(self) -> ElmurTrunk:
        """ELMUR's layers as a trunk."""
        config = Elmur(
            width=self.width, context=self.context, layers=self.layers, heads=self.heads, ffn=self.ffn,
            slots=self.slots, lam=self.blend, sigma=0.0,
        )  # fmt: skip
        return config.trunk
