"""CMA-ME: CMA-ES searches ("emitters") that feed a MAP-Elites grid.

Source: Fontaine et al. 2020 (arXiv 1912.02400), with the settings of SERENE's official code
(GPaolo/SERENE, core/evolvers/cma_me.py).

    a pool of emitters, each a normal distribution around a random genome
    repeat   the emitters that have stored least sample a generation each; evaluate; insert into the grid
             an emitter that stored something learns from its generation
             an emitter that stored nothing restarts around a random elite

`ranking` is the objective of an emitter. "optimising" is the one emitter of SERENE's official code, a weak form of
CMA-ME: it maximises the reward, and a tie with the elite of a cell counts as stored. "improvement" is the emitter that
the paper recommends and pyribs ships, the stronger baseline: first the points that filled empty cells, by reward, then
those that raised a cell's reward, by the gain; a tie does not count as stored.

Deviations. (1) `parallel` emitters run at once; the official code runs one, which leaves a batch of 6 to evaluate
(`parallel=1` is that). Within a batch the grid is filled in order, but the choice of emitters is made once.
(2) Genes are clipped; the official bounds resample up to 100 times first. (3) The eigendecomposition is made every few
generations (`eigen_every`). (4) An emitter that reaches the limits of float32 restarts. (5) "improvement" learns from
the better half of a generation, pyribs by default from the points that improved the grid.

Shapes: G genes, E emitters of the pool, K = parallel of them running, B points each, P = K B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array, Episodes, Key, Rollouts, Spec, hyper
from prospect_rl.agents.evolution.neuroevolution import Neuroevolution
from prospect_rl.agents.evolution.rows import rows_of, take
from prospect_rl.agents.ops import cmaes, grid


@struct.dataclass
class State:
    """The grid and the pool of emitters."""

    grid: grid.Grid
    """The MAP-Elites grid with the elites."""
    emitters: cmaes.CMAES
    """The pool of CMA-ES states; every leaf leads with [E]."""
    stored: Array
    """[E] int32 number of genomes that each emitter has stored since it started."""
    restarts: Array
    """[] int32 number of emitter restarts so far."""


@dataclass(frozen=True, kw_only=True)
class CMAME(Neuroevolution):
    """CMA-ME: evolution strategies that fill a MAP-Elites grid."""

    ranking: Literal["optimising", "improvement"] = "optimising"
    """What emitters maximise: the reward (SERENE's official baseline), or the improvement of the grid (the stronger
    one)."""
    emitters: int = hyper(100, least=1)
    """Number of emitters in the pool."""
    parallel: int = hyper(15, least=1)
    """Number of emitters that run at once (official: 1)."""
    batch: int = hyper(6, least=4, alias="batch_size")
    """Number of policies in a generation of an emitter."""
    step_size: float = hyper(0.5, above=0)
    """Initial standard deviation of each network weight in a new emitter."""
    eigen_every: int = hyper(0, least=0)
    """Number of generations of an emitter between two eigendecompositions; 0 means as Hansen's tutorial advises."""
    bins: int = hyper(50, least=2)
    """Number of the grid's cells along each dimension of the descriptor."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parallel > self.emitters:
            raise ValueError(f"parallel must be at most the number of emitters ({self.emitters}), not {self.parallel}")

    def misfit(self, spec: Spec) -> str | None:
        """Needs a behaviour descriptor with few dimensions."""
        return super().misfit(spec) or grid.unfit(spec.descriptor, self.bins)

    @property
    def wants(self) -> Rollouts:
        """One generation of each running emitter."""
        return Rollouts(self.parallel * self.batch)

    def init(self, key: Key) -> State:
        """An empty grid, and emitters around random genomes, which are not evaluated (as in the official code)."""
        emitters = jax.vmap(lambda mean: cmaes.init(mean, self.step_size))(self.random_genomes(key, self.emitters))
        cells = grid.empty(self.bound.descriptor, self.bins, self.genes)
        return State(cells, emitters, jnp.zeros(self.emitters, jnp.int32), jnp.int32(0))

    def running(self, state: State) -> Array:
        """[K] the emitters that have stored the fewest genomes; ties go to the first."""
        return jax.lax.top_k(-state.stored, self.parallel)[1]

    def explore(self, state: State, key: Key, phase: int = 0) -> tuple[Array, Array]:
        """A generation of each running emitter [P, G]."""
        emitters = take(state.emitters, self.running(state))
        noise = jax.random.normal(key, (self.parallel, self.batch, self.genes))
        points = self.clip(jax.vmap(cmaes.sample)(emitters, noise))
        return points.reshape(-1, self.genes), jnp.ones(self.parallel * self.batch, bool)

    def exploit(self, state: State) -> Array:
        """The elite with the highest fitness [G]."""
        return grid.best(state.grid)

    def learn(self, state: State, data: Episodes, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """Insert the batch into the grid, then update or restart each running emitter."""
        rows, shape = rows_of(data), (self.parallel, self.batch)
        before = state.grid.rows["fitness"][grid.cells(state.grid, rows["descriptor"])]
        cells, added = grid.insert(state.grid, rows, data.active)
        score = rows["fitness"].reshape(shape)
        if self.ranking == "improvement":
            added, score = improvement(score, before.reshape(shape), added.reshape(shape))
        stored = jnp.sum(added.reshape(shape), axis=1, dtype=jnp.int32)

        running = self.running(state)
        updated = jax.vmap(cmaes.tell)(take(state.emitters, running), rows["genome"].reshape(*shape, -1), score)
        updated = decompose_due(updated, self.eigen_every or cmaes.decompose_every(self.genes, self.batch))
        k_elite, k_new = jax.random.split(key)
        elites = jnp.where(cells.size > 0, grid.draw(cells, k_elite, shape[0]), self.random_genomes(k_new, shape[0]))
        fresh = jax.vmap(lambda mean: cmaes.init(mean, self.step_size))(elites)
        restarted = (stored == 0) | jax.vmap(cmaes.stopped)(updated)
        emitters = jax.tree.map(
            lambda pool, a, b: pool.at[running].set(jnp.where(restarted.reshape(-1, *[1] * (a.ndim - 1)), a, b)),
            state.emitters, fresh, updated,
        )  # fmt: skip
        count = jnp.where(restarted, 0, state.stored[running] + stored)
        restarts = state.restarts + jnp.sum(restarted, dtype=jnp.int32)
        state = State(cells, emitters, state.stored.at[running].set(count), restarts)
        metrics = {"learn/stored": jnp.sum(stored), "learn/restarts": restarts}
        return state, {**grid.summary(cells, self.bound.areas), **metrics}

    def report(self, state: State) -> dict[str, Array]:
        """The elites, leading [C], and which cells are filled."""
        return {**state.grid.rows, "filled": state.grid.filled}


def improvement(fitness: Array, before: Array, added: Array) -> tuple[Array, Array]:
    """Which points improved the grid, and the rank of each point in its generation [K, B] each (higher is better).

    before: fitness of the point's cell, -inf where it was empty. Points that filled an empty cell rank first, by
    fitness; then those that raised a cell's fitness, by the gain; then the rest, by the gain too (the paper's
    improvement
    emitter).
    """
    new = added & ~jnp.isfinite(before)
    better = added & (fitness > before)
    kind = new.astype(jnp.int32) + better
    order = jnp.lexsort((jnp.where(jnp.isfinite(before), fitness - before, fitness), kind), axis=-1)
    return better, jnp.argsort(order, axis=-1).astype(fitness.dtype)


def decompose_due(emitters: cmaes.CMAES, every: int) -> cmaes.CMAES:
    """Update the eigendecomposition of the emitters [K] whose last one was `every` generations ago or earlier.

    A loop over those emitters only: under `vmap` a condition would compute all of them.
    """
    due = emitters.generation - emitters.decomposed >= every
    order = jnp.argsort(~due, stable=True)

    def renew(i: Array, emitters: cmaes.CMAES) -> cmaes.CMAES:
        one = cmaes.decompose(take(emitters, order[i]))
        return jax.tree.map(lambda all_, x: all_.at[order[i]].set(x), emitters, one)

    return jax.lax.fori_loop(0, jnp.sum(due), renew, emitters)
