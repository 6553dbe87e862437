"""Behaviour cloning of the best episodes only ("k % BC" in other papers' tables).

It is the baseline of all agents that can tell which episodes have the highest returns.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from prospect_rl.agents.api import Dataset, DefaultRun, hyper
from prospect_rl.agents.offline.base import per_row, returns_of, select_rows
from prospect_rl.agents.offline.bc import BC


@dataclass(frozen=True, kw_only=True)
class FilteredBC(BC):
    """Behaviour cloning of the episodes with the highest returns."""

    default_run = DefaultRun("maze2d/large", 100_000, "maze2d/large/waypoints")

    keep: float = hyper(0.1, above=0, most=1)
    """Share of the data's episodes that is cloned (0-1), at least one; of equal returns the earlier ones."""

    def prepare(self, dataset: Dataset) -> Dataset:
        """The dataset with the best episodes only."""
        returns = returns_of(dataset)
        if self.keep < 1 and len(returns) > 1 and returns.min() == returns.max():
            warnings.warn(f"all returns are {returns[0]:g}: the first episodes are cloned, not the best", stacklevel=2)
        best = np.zeros(len(returns), bool)
        best[np.argsort(-returns, kind="stable")[: max(1, round(self.keep * len(returns)))]] = True
        return select_rows(dataset, per_row(dataset, best))
