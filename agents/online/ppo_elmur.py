"""PPO on ELMUR's layers: a memory with slots in the place of the GRU, for tasks whose cue lies far back.

Not in the paper. Streams are played again from the memories with which their segments began, episodes that begin in
mid-segment from an empty one (slots of zeros, so that nothing is drawn), and gradients flow through all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from prospect_rl.agents.api import DefaultRun, hyper
from prospect_rl.agents.online.ppo import PPO
from prospect_rl.agents.sequence.elmur.elmur import Elmur
from prospect_rl.agents.sequence.elmur.trunk import ElmurTrunk


@dataclass(frozen=True, kw_only=True)
class ElmurPPO(PPO):
    """Proximal policy optimisation whose policy and value remember by ELMUR's layers."""

    default_run = DefaultRun("popgym/RepeatFirstEasy", 81_920)

    learning_rate: float = hyper(1e-3, above=0)
    """Learning rate of the Adam optimiser."""
    entropy: float = hyper(0.01, least=0)
    """Weight of the entropy bonus in the loss, which keeps the policy exploring."""
    width: int = hyper(64, least=2)
    """Number of features of each token in ELMUR's layers."""
    context: int = hyper(10, least=1)
    """Number of environment steps in a segment, after which a memory slot is written."""
    layers: int = hyper(2, least=1)
    """Number of layers of the ELMUR network."""
    heads: int = hyper(2, least=1)
    """Number of heads of every attention; twice as many divide the width."""
    ffn: int = hyper(128, least=1)
    """Number of hidden neurons of ELMUR's feed-forward layers."""
    slots: int = hyper(2, least=1)
    """Number of memory slots in each layer."""
    blend: float = hyper(0.5, least=0, most=1)
    """Share of the new content when a memory slot is rewritten (ELMUR's lambda)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recurrent:
            raise ValueError(f"recurrent must be 0, not {self.recurrent}: ELMUR takes the place of the GRU")

    @property
    def core(self) -> ElmurTrunk:
        """The layers."""
        config = Elmur(
            width=self.width, context=self.context, layers=self.layers, heads=self.heads, ffn=self.ffn,
            slots=self.slots, lam=self.blend, sigma=0.0,
        )  # fmt: skip
        return config.trunk
