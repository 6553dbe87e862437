"""NSGA-II on (novelty, reward): keeps the policies that no other dominates in both, evenly spread.

Source: Deb et al. 2002 with novelty as an objective; settings of SERENE's official code (GPaolo/SERENE,
core/evolvers/nsga_ii.py). It is novelty search (see there for children, novelty and archive) except for one step:

    P <- P + O by Pareto fronts of (novelty, reward); the last front that fits in part, by crowding distance

While nothing is rewarded the fronts are single points in the order of novelty, and this is novelty search.
Novelty is recomputed for all policies in every generation, so fronts change and dominance is not stored.

Shapes: M population, n = population + children, G genes, d descriptor dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key
from prospect_rl.agents.evolution.novelty_search import NoveltySearch, State
from prospect_rl.agents.evolution.rows import Rows, best_genome
from prospect_rl.agents.ops import pareto
from prospect_rl.agents.ops.archive import Archive


@dataclass(frozen=True, kw_only=True)
class NSGA2(NoveltySearch):
    """Novelty search that selects by novelty and reward together (NSGA-II)."""

    official_crowding: bool = False
    """Whether to repeat a mistake in the crowding distance of SERENE's official code (see
    `agents.ops.pareto.crowding`)."""

    def survivors(self, both: Rows, novelty: Array, key: Key) -> Array:
        """The first fronts of (novelty, fitness); a failed episode is neither novel nor good."""
        values = jnp.stack([novelty, both["fitness"]], axis=1)
        return pareto.best(values, jnp.isfinite(both["fitness"]), self.population, official=self.official_crowding)

    def exploit(self, state: State) -> Array:
        """The policy with the highest fitness in the archive or the population [G]."""
        members = Archive(state.population, jnp.int32(self.population), jnp.int32(0))
        stored = jnp.max(jnp.where(state.archive.filled, state.archive.rows["fitness"], -jnp.inf))
        living = jnp.max(state.population["fitness"])
        return jnp.where(stored > living, best_genome(state.archive), best_genome(members))
