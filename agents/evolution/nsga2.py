"""NSGA-II on (novelty, reward): keeps the policies that no other dominates in both, evenly spread.

Source: Deb et al. 2002 with novelty as an objective; settings of SERENE's official code (GPaolo/SERENE,
core/evolvers/nsga_ii.py). It is novelty search (see there for children, novelty and archive) except for one step:

    P <- P + O by Pareto fronts of (novelty, reward); the last front that fits in part, by crowding distance

While nothing is rewarded the fronts are single points in the order of novelty, and this is novelty search.
Novelty is recomputed for all policies in every generation, so fronts change and dominance is not stored.

Shapes: M population, n = population + children, G genes, d descriptor dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key
from prospect_rl.agents.evolution.novelty_search import NoveltySearch, State
from prospect_rl.agents.evolution.rows import Rows, best_genome, join, take
from prospect_rl.agents.ops import archive as archives
from prospect_rl.agents.ops import pareto
from prospect_rl.agents.ops.archive import Archive


@dataclass(frozen=True, kw_only=True)
class NSGA2(NoveltySearch):
    """Novelty search that selects by novelty and reward together (NSGA-II)."""

    official_crowding: bool = False
    """Whether to repeat a mistake in the crowding distance of SERENE's official code (see
    `agents.ops.pareto.crowding`)."""

    def generation(
        self, population: Rows, children: Rows, archive: Archive, more: Sequence[tuple[Array, Array]], key: Key
    ) -> tuple[Rows, Archive]:
        """The next population, and the archive with some of the children; see `NoveltySearch.generation`."""
        both = join(population, children)
        valid = jnp.isfinite(both["fitness"])  # a failed episode is neither novel nor good
        references = [(both["descriptor"], valid.shape[0]), (archive.rows["descriptor"], archive.count), *more]
        novelty = archives.novelty(both["descriptor"], references, self.neighbours)
        novelty = jnp.where(valid, novelty, -jnp.inf)
        values = jnp.where(valid[:, None], jnp.stack([novelty, both["fitness"]], axis=1), 0.0)
        rank = pareto.fronts(values, valid, enough=self.population)
        spread = pareto.crowding(values, rank, official=self.official_crowding)
        survivors = jnp.lexsort((-spread, rank))[: self.population]
        archive = self.add_to_archive(archive, children, novelty[-children["fitness"].shape[0] :], key)
        return take(both, survivors), archive

    def exploit(self, state: State) -> Array:
        """The policy with the highest fitness in the archive or the population [G]."""
        members = Archive(state.population, jnp.int32(self.population), jnp.int32(0))
        stored = jnp.max(jnp.where(state.archive.filled, state.archive.rows["fitness"], -jnp.inf))
        living = jnp.max(state.population["fitness"])
        return jnp.where(stored > living, best_genome(state.archive), best_genome(members))
