"""Count-based exploration: a bonus that falls with the number of visits.

Source: Strehl and Littman 2008 (MBIE-EB), b = 1 / sqrt(N); episodic as in RIDE's and NovelD's baselines.
View: the full state by default (`view`), which is more than the policy observes; state this with any result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key, Segment, Tree, hyper
from prospect_rl.agents.online.exploration.bonus import Counting, ended
from prospect_rl.agents.ops import visits
from prospect_rl.agents.ops.minibatches import Figures


@dataclass(frozen=True, kw_only=True)
class Count(Counting):
    """PPO with the bonus b = 1 / sqrt(N(s')) (MBIE-EB), where N counts visits in the episode or in the run.

    N includes the current visit, so the first visit has bonus 1. The first state of an episode is counted when it is
    entered again. View: the full state, or with view=obs the policy's own observation.
    """

    beta: float = hyper(0.005, least=0, traced=True)
    """Weight of the exploration bonus relative to the reward; with .01 a long episode earns more bonus than finishing
    an easy task earns reward."""
    scope: Literal["episode", "run"] = "run"
    """Which visits count: those of the stream's current episode, or those of all streams in the whole run."""
    run_slots: int = hyper(2**18, least=2)
    """Number of slots in the table of visits of all streams (scope=run); a power of two."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.run_slots & (self.run_slots - 1):
            raise ValueError(f"run_slots must be a power of two, not {self.run_slots}")

    def begin(self, key: Key) -> Tree:
        """Empty tables, with no visits."""
        if self.scope == "run":
            return jnp.zeros(self.run_slots, jnp.int32)
        return visits.episodic(self.num_envs, self.slots)

    def bonus(self, bonus_state: Tree, data: Segment, key: Key) -> tuple[Array, Tree, Figures]:
        """The bonus 1 / sqrt(N)."""
        ids = self.ids(data.steps)
        if self.scope == "run":
            bonus_state, counts = visits.count(bonus_state, ids)
            return counts**-0.5, bonus_state, {"bonus/used": visits.used(bonus_state)}
        bonus_state, counts = visits.count_episodic(bonus_state, ids, ended(data.steps))
        return counts**-0.5, bonus_state, {"bonus/new": jnp.mean(counts == 1)}
