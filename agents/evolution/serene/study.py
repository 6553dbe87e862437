"""The authors' study of emitters: a few rewarded ancestors, and how far their emitters improve in parallel.

Source: GPaolo/STAX, analysis/Untitled.ipynb (see docs/methods/serene.md). Novelty search runs until `ancestors`
policies have been rewarded; the most novel of them become emitters, which get the rest of the budget. The search before
is the same, bit for bit, for every kind of emitter with the same seed, and so are the ancestors and the remaining
budget.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import jax.numpy as jnp

from prospect_rl.agents.api import Array, hyper
from prospect_rl.agents.evolution.serene.serene import Serene
from prospect_rl.agents.evolution.serene.state import State
from prospect_rl.agents.ops.emitters import Emitter


@dataclass(frozen=True, kw_only=True)
class EmitterStudy(Serene):
    """Study of emitters: `ancestors` emitters run in parallel to the end of the budget."""

    default_run = None

    ancestors: int = hyper(5, least=1)
    """Number of rewarded policies from which an emitter is started, one emitter for each."""

    unused_fields: ClassVar[tuple[str, ...]] = ("chunk", "max_emitter_steps", "compat")
    """Fields of SERENE that have no effect here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for f in fields(self):
            if f.name in self.unused_fields and getattr(self, f.name) != f.default:
                raise ValueError(f"{f.name} has no effect in this study: leave it at {f.default!r}")

    @property
    def trials_fill_chunk(self) -> bool:
        """False, as there are no chunks."""
        return False

    @property
    def trials(self) -> int:
        """Number of emitters, which run as trials that never end."""
        return self.ancestors

    def _explore_over(self, state: State) -> Array:
        """Whether there are enough rewarded ancestors."""
        return jnp.sum(state.rewards.rows["candidate"]) >= self.ancestors

    def _trials_over(self, trials: Emitter) -> Array:
        """Never: trials run to the end of the budget."""
        return jnp.zeros((), bool)

    def _metrics(self, state: State) -> dict[str, Array]:
        """The archives' metrics, mean and best fitness of the emitters' members, and how far it rose."""
        fitness = jnp.where(state.trials.active[:, None], state.trials.members["fitness"], 0.0)
        figures = {
            "emitters/mean": jnp.mean(fitness),
            "emitters/best": jnp.mean(jnp.max(fitness, axis=1)),
            "emitters/improvement": jnp.mean(state.trials.improvement),
            "emitters/steps": state.trials.steps[0],
        }
        return super()._metrics(state) | figures
