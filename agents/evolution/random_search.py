"""Random search: fresh random policies in every generation. The floor under every archive agent."""

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
    fitness: Array
    best: Array
    """[areas] best fitness in each reward area."""


@dataclass(frozen=True, kw_only=True)
class RandomSearch(Neuroevolution):
    """`population` newborn policies a generation; the best is kept."""

    population: int = hyper(200, least=1)
    """Policies in a generation."""

    @property
    def wants(self) -> Rollouts:
        """One episode of each policy."""
        return Rollouts(self.population)

    def init(self, key: Key) -> State:
        """No policy yet."""
        return State(jnp.zeros(self.genes), jnp.float32(-jnp.inf), jnp.zeros(max(self.bound.areas, 1)))

    def explore(self, state: State, key: Key, phase: int = 0) -> tuple[Tree, Array]:
        """A fresh generation."""
        return self.newborn(key, self.population), jnp.ones(self.population, bool)

    def exploit(self, state: State) -> Tree:
        """The best policy so far."""
        return state.genome

    def learn(self, state: State, data: Episodes, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """Keep the best."""
        top = jnp.argmax(data.fitness)
        better = data.fitness[top] > state.fitness
        found = Archive({"fitness": data.fitness, "area": areas_of(data)}, jnp.int32(self.population), jnp.int32(0))
        best = jnp.maximum(state.best, archives.best_by_area(found, self.bound.areas))
        genome = jnp.where(better, data.behaviour[top], state.genome)
        state = State(genome, jnp.maximum(data.fitness[top], state.fitness), best)
        return state, {"archive/best": state.best}
