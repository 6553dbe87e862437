"""Novelty search: keeps the policies whose behaviour differs most from all seen so far, regardless of reward.

Source: Lehman & Stanley 2011, as SERENE's official code does it (GPaolo/SERENE, core/evolvers/ns.py and
base_evolver.py). A generation:
    O <- `offspring` mutated children of every member of P; evaluate them
    novelty of P and O against P + O + A (the smallest distance is left out, the next k are averaged)
    A <- A + `additions` random members of O
    P <- the most novel of P + O
Shapes: M population, G genes, d descriptor dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array, Episodes, Key, Rollouts, Tree, hyper
from prospect_rl.agents.evolution.described import Described
from prospect_rl.agents.evolution.rows import Rows, archive_metrics, best_genome, full_notice, join, take
from prospect_rl.agents.ops import archive as archives
from prospect_rl.agents.ops.archive import Archive


@struct.dataclass
class State:
    """Population and novelty archive."""

    population: Rows
    """The current population, rows as in `agents.evolution.rows`."""
    archive: Archive
    """The novelty archive of sampled children."""
    started: Array
    """[] bool whether the first population has been evaluated."""


@dataclass(frozen=True, kw_only=True)
class NoveltySearch(Described):
    """Novelty search with an archive of sampled offspring."""

    in_step: ClassVar[bool] = True

    population: int = hyper(100, least=2)
    """Number of policies in the population (M in the paper)."""
    offspring: int = hyper(2, least=1)
    """Number of mutated children that each policy has in a generation."""
    additions: int = hyper(5, least=0)
    """Number of children that are added to the novelty archive in each generation (N_Q in the paper)."""
    neighbours: int = hyper(15, least=1)
    """Number of nearest neighbours whose mean distance is a policy's novelty (k in the paper)."""
    selection: Literal["random", "best"] = "random"
    """Which children enter the archive: `random` samples them, `best` takes the most novel."""
    archive_capacity: int = hyper(16384, least=1)
    """Largest number of policies in the novelty archive; later ones are dropped and counted as `archive/overflow`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.additions > (most := self.population * self.offspring):
            raise ValueError(f"additions must be at most the {most} offspring of a generation, not {self.additions}")

    @property
    def wants(self) -> tuple[Rollouts, ...]:
        """Phase 0 evaluates the first population, phase 1 a generation of offspring."""
        return Rollouts(self.population), Rollouts(self.population * self.offspring)

    def empty_rows(self, count: int) -> Rows:
        """Rows of policies that have not been evaluated."""
        return self.empty_archive(count).rows

    def init(self, key: Key) -> State:
        """A population of random genomes and an empty archive."""
        population = self.empty_rows(self.population) | {"genome": self.random_genomes(key, self.population)}
        return State(population, self.empty_archive(self.archive_capacity), jnp.zeros((), bool))

    def phase(self, state: State) -> Array:
        """0 until the first population has been evaluated, then 1."""
        return state.started.astype(jnp.int32)

    def explore(self, state: Tree, key: Key, phase: int = 0) -> tuple[Tree, Array]:
        """The first population, or mutated children of the population."""
        genomes = state.population["genome"]
        if phase == 1:
            genomes = self.mutate(key, jnp.repeat(genomes, self.offspring, axis=0))
        return genomes, jnp.ones(genomes.shape[0], bool)

    def learn(self, state: State, data: Episodes, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """One generation of novelty search."""
        if phase == 0:
            state = State(self.describe(state, data), state.archive, jnp.ones((), bool))
        else:
            children = self.describe(state, data)
            population, archive = self.generation(state.population, children, state.archive, [], key)
            state = State(population, archive, state.started)
        return state, archive_metrics(self.bound, state.archive)

    def generation(
        self, population: Rows, children: Rows, archive: Archive, more: Sequence[tuple[Array, Array]], key: Key
    ) -> tuple[Rows, Archive]:
        """The next population, and the archive with some of the children.

        more: further references for the novelty, as (descriptors [m, d], count) (SERENE's reward archive).
        """
        both = join(population, children)
        references = [(both["descriptor"], both["fitness"].shape[0]), (archive.rows["descriptor"], archive.count)]
        novelty = archives.novelty(both["descriptor"], [*references, *more], self.neighbours)
        novelty = jnp.where(jnp.isfinite(both["fitness"]), novelty, -jnp.inf)  # a failed episode is not novel
        archive = self.add_to_archive(archive, children, novelty[-children["fitness"].shape[0] :], key)
        return take(both, self.survivors(both, novelty, key)), archive

    def survivors(self, both: Rows, novelty: Array, key: Key) -> Array:
        """Which of population and children (`both`) are the next population, [M]."""
        return jax.lax.top_k(novelty, self.population)[1]

    @property
    def archived(self) -> int:
        """Number of children that a generation adds to the archive."""
        return self.additions

    def add_to_archive(self, archive: Archive, children: Rows, novelty: Array, key: Key) -> Archive:
        """The archive with some of the children; children with a failed episode are never added."""
        valid, count = jnp.isfinite(children["fitness"]), novelty.shape[0]
        rank = jax.random.permutation(key, count) if self.selection == "random" else jnp.argsort(-novelty)
        rank = rank[jnp.argsort(~valid[rank], stable=True)[: self.archived]]
        return archives.append(archive, take(children, rank), valid[rank])

    def exploit(self, state: Tree) -> Tree:
        """The archived policy with the highest fitness; while none is archived, a valid one of the population."""
        first = jnp.argmax(jnp.isfinite(state.population["fitness"]))
        return jnp.where(state.archive.count > 0, best_genome(state.archive), state.population["genome"][first])

    def notices(self, row: Mapping[str, Any]) -> list[str]:
        """A notice where the archive is full."""
        full = row["archive/overflow"] > 0 and row["archive/size"] >= self.archive_capacity
        return [full_notice("novelty archive", "archive_capacity", self.archive_capacity)] if full else []

    def report(self, state: State) -> dict[str, Array]:
        """The archive, and which of its rows are filled."""
        return {**state.archive.rows, "filled": state.archive.filled}
