"""The base of agents that keep evaluated policies as rows, each with a descriptor that others are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from prospect_rl.agents.api import Episodes, Spec, Tree
from prospect_rl.agents.evolution.neuroevolution import Neuroevolution
from prospect_rl.agents.evolution.rows import Rows, rows_of
from prospect_rl.agents.ops import archive as archives
from prospect_rl.agents.ops.archive import Archive


@dataclass(frozen=True, kw_only=True)
class Described(Neuroevolution):
    """Base of agents whose rows have descriptors; what these are, and further columns, are hooks."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs a flat observation, bounded real actions and a behaviour descriptor."""
        return super().misfit(spec) or (None if spec.descriptor else "it needs a behaviour descriptor")

    @property
    def dimensions(self) -> int:
        """Number of descriptor dimensions (d)."""
        assert self.bound.descriptor is not None
        return self.bound.descriptor.size

    @property
    def columns(self) -> dict[str, Tree]:
        """Columns that rows have besides the usual ones, each given by the value of an empty row."""
        return {}

    def empty_archive(self, capacity: int, **columns: Tree) -> Archive:
        """An empty archive of the agent's rows, with further columns."""
        return archives.empty(capacity, self.genes, self.dimensions, **self.columns, **columns)

    def describe(self, state: Tree, data: Episodes) -> Rows:
        """The evaluated policies as rows; their column `descriptor` is what novelty compares."""
        return rows_of(data)
