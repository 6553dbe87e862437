"""MAP-Elites: mutates a random elite and keeps the best policy in every cell of descriptor space.

Source: Mouret & Clune 2015, arXiv 1504.04909, with the settings of SERENE's official code (GPaolo/SERENE,
core/evolvers/map_elites.py).

    the first batch is random genomes
    repeat   draw parents uniformly over the filled cells, mutate every gene, evaluate
             a child replaces the elite of its cell if its reward is at least as high

Shapes: G genes, P = batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Episodes, Key, Rollouts, Spec, hyper
from prospect_rl.agents.evolution.neuroevolution import Neuroevolution
from prospect_rl.agents.evolution.rows import rows_of
from prospect_rl.agents.ops import grid


@dataclass(frozen=True, kw_only=True)
class MAPElites(Neuroevolution):
    """MAP-Elites on a grid, without crossover; the state is the grid."""

    batch: int = hyper(100, least=1, alias="batch_size")
    """Number of policies that are evaluated in a generation."""
    bins: int = hyper(50, least=2)
    """Number of the grid's cells along each dimension of the descriptor."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs a behaviour descriptor with few dimensions."""
        return super().misfit(spec) or grid.unfit(spec.descriptor, self.bins)

    @property
    def wants(self) -> Rollouts:
        """One episode of each policy of the batch."""
        return Rollouts(self.batch)

    def init(self, key: Key) -> grid.Grid:
        """An empty grid of cells."""
        return grid.empty(self.bound.descriptor, self.bins, self.genes)

    def explore(self, state: grid.Grid, key: Key, phase: int = 0) -> tuple[Array, Array]:
        """Mutated random elites [P, G]; random genomes while the grid is empty."""
        k_parent, k_child, k_new = jax.random.split(key, 3)
        children = self.mutate(k_child, grid.draw(state, k_parent, self.batch))
        genomes = jnp.where(state.size > 0, children, self.random_genomes(k_new, self.batch))
        return genomes, jnp.ones(self.batch, bool)

    def exploit(self, state: grid.Grid) -> Array:
        """The elite with the highest fitness [G]."""
        return grid.best(state)

    def learn(self, state: grid.Grid, data: Episodes, key: Key, phase: int = 0) -> tuple[grid.Grid, dict[str, Array]]:
        """Insert the batch into the grid."""
        state, added = grid.insert(state, rows_of(data), data.active)
        return state, {**grid.summary(state, self.bound.areas), "learn/stored": jnp.sum(added)}

    def report(self, state: grid.Grid) -> dict[str, Array]:
        """The elites, leading [C], and which cells are filled."""
        return {**state.rows, "filled": state.filled}
