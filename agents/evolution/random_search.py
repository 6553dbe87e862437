"""Random search: evaluates new random policies in every generation; the baseline of all archive agents."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array, Episodes, Key, Rollouts, Tree, hyper
from prospect_rl.agents.evolution.neuroevolution import Neuroevolution
from prospect_rl.agents.evolution.rows import areas_of
from prospect_rl.agents.ops import archive as archives
from prospect_rl.agents.ops.archive import Archive


@struct.dataclass
class State:
    """The best policy so far."""

    genome: Array
    """[G] genome of the best policy so far."""
    fitness: Array
    """[] fitness of the best policy so far."""
    best: Array
    """[areas] best fitness in each reward area."""


@dataclass(frozen=True, kw_only=True)
class RandomSearch(Neuroevolution):
    """Random search: `population` random policies in each generation, of which the best is kept."""

    population: int = hyper(200, least=1)
    """Number of random policies in a generation."""

    @property
    def wants(self) -> Rollouts:
        """One episode of each policy."""
        return Rollouts(self.population)

    def init(self, key: Key) -> State:
        """A state without a policy."""
        return State(jnp.zeros(self.genes), jnp.float32(-jnp.inf), jnp.zeros(max(self.bound.areas, 1)))

    def explore(self, state: State, key: Key, phase: int = 0) -> tuple[Tree, Array]:
        """New random genomes for a generation."""
        return self.random_genomes(key, self.population), jnp.ones(self.population, bool)

    def exploit(self, state: State) -> Tree:
        """The best policy so far."""
        return state.genome

    def learn(self, state: State, data: Episodes, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """Keep the best policy so far."""
        top = jnp.argmax(data.fitness)
        better = data.fitness[top] > state.fitness
        found = Archive({"fitness": data.fitness, "area": areas_of(data)}, jnp.int32(self.population), jnp.int32(0))
        best = jnp.maximum(state.best, archives.best_by_area(found, self.bound.areas))
        genome = jnp.where(better, data.behaviour[top], state.genome)
        state = State(genome, jnp.maximum(data.fitness[top], state.fitness), best)
        return state, {"archive/best": state.best}
