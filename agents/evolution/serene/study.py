"""The authors' study of emitters: a few rewarding ancestors, and how far their emitters climb side by side.

Source: GPaolo/STAX, analysis/Untitled.ipynb (see docs/methods/serene.md). Novelty search runs until `ancestors`
policies have earned something; the most novel of them become emitters, and everything else is theirs. The search before
is the same, bit for bit, for every kind of emitter with the same seed: then so are the ancestors and the budget that is
left.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import jax.numpy as jnp

from prospect_rl.agents.api import Array, hyper
from prospect_rl.agents.evolution.serene.serene import Serene, State
from prospect_rl.agents.ops.emitters import Emitter


@dataclass(frozen=True, kw_only=True)
class EmitterStudy(Serene):
    """`ancestors` emitters that climb side by side to the end of the budget."""

    default_run = None

    ancestors: int = hyper(5, least=1)
    """Number of rewarded policies from which an emitter is started, one emitter for each."""

    idle: ClassVar[tuple[str, ...]] = ("chunk", "max_emitter_steps", "compat")
    """Fields of SERENE that decide nothing here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for f in fields(self):
            if f.name in self.idle and getattr(self, f.name) != f.default:
                raise ValueError(f"{f.name} decides nothing in this study: leave it at {f.default!r}")

    @property
    def crowded(self) -> bool:
        """There are no chunks."""
        return False

    @property
    def trials(self) -> int:
        """All emitters run as trials that never end."""
        return self.ancestors

    def _explored(self, state: State) -> Array:
        """Whether there are enough ancestors."""
        return jnp.sum(state.rewards.rows["candidate"]) >= self.ancestors

    def _tried(self, trials: Emitter) -> Array:
        """Never."""
        return jnp.zeros((), bool)

    def _metrics(self, state: State) -> dict[str, Array]:
        """Beside the archives': fitness of the emitters' members, in the mean and at best, and how far it rose."""
        fitness = jnp.where(state.trials.active[:, None], state.trials.members["fitness"], 0.0)
        figures = {
            "emitters/mean": jnp.mean(fitness),
            "emitters/best": jnp.mean(jnp.max(fitness, axis=1)),
            "emitters/improvement": jnp.mean(state.trials.improvement),
            "emitters/steps": state.trials.steps[0],
        }
        return super()._metrics(state) | figures
