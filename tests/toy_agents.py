"""One tiny agent for each of the three wants; their figures can be worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Agent, Batches, Nothing, Rollouts, Segments


@dataclass(frozen=True, kw_only=True)
class Evolver(Agent):
    """Two phases: two generations that explore, one smaller one that climbs (and covers nothing)."""

    sigma: float = 0.3
    vmap_seeds: ClassVar[bool] = False

    @property
    def wants(self):
        return Rollouts(8), Rollouts(4, covers=False)

    def init(self, key):
        genomes = jax.random.normal(key, (16, 2))
        return {"genomes": genomes, "fitness": jnp.full(16, -jnp.inf), "cursor": jnp.int32(0), "turn": jnp.int32(0)}

    def phase(self, state):
        return jnp.where(state["turn"] % 3 == 2, 1, 0)

    def explore(self, state, key, phase=0):
        size = (8, 4)[phase]
        k_parent, k_noise = jax.random.split(key)
        parents = state["genomes"][jax.random.randint(k_parent, (size,), 0, 16)]
        # In phase 1 the first of four takes no part.
        active = jnp.ones(8, bool) if phase == 0 else jnp.arange(4) > 0
        return parents + self.sigma * jax.random.normal(k_noise, parents.shape), active

    def exploit(self, state):
        return state["genomes"][jnp.argmax(state["fitness"])]

    def act(self, behaviour, memory, inputs, key):
        return jnp.tanh(behaviour), memory, ()

    def learn(self, state, data, key, phase=0):
        slots = (state["cursor"] + jnp.arange(data.fitness.shape[0])) % 16
        fitness = jnp.where(data.active, data.fitness, -jnp.inf)
        state = {
            "genomes": state["genomes"].at[slots].set(data.behaviour),
            "fitness": state["fitness"].at[slots].set(fitness),
            "cursor": (state["cursor"] + slots.shape[0]) % 16,
            "turn": state["turn"] + 1,
        }
        name = ("learn/spread", "learn/climb")[phase]
        return state, {name: jnp.std(data.behaviour), "archive/best": jnp.max(state["fitness"])[None]}

    def report(self, state):
        return {"genomes": state["genomes"]}


@dataclass(frozen=True, kw_only=True)
class InStep(Evolver):
    """All seeds of it are in the same phase."""

    vmap_seeds: ClassVar[bool] = True
    in_step: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Trainer(Evolver):
    """An evolver that works for five iterations without experience after every third generation."""

    @property
    def wants(self):
        return *super().wants, Nothing()

    def init(self, key):
        return super().init(key) | {"left": jnp.int32(0)}

    def phase(self, state):
        return jnp.where(state["left"] > 0, 2, super().phase(state))

    def learn(self, state, data, key, phase=0):
        if phase == 2:
            assert data is None
            genomes = state["genomes"] + 0.01 * jax.random.normal(key, state["genomes"].shape)
            return state | {"genomes": genomes, "left": state["left"] - 1}, {"learn/left": state["left"]}
        after, metrics = super().learn(state, data, key, phase)
        return after | {"left": jnp.where(after["turn"] % 3 == 0, 5, 0)}, metrics


@dataclass(frozen=True, kw_only=True)
class Walker(Agent):
    """Segments of 7 steps (episodes have 10), a memory of what was seen, a small replay."""

    rate: float = 0.05
    poison: int = -1
    """From this iteration on the loss is NaN."""
    vmap_seeds: ClassVar[bool] = True

    @property
    def wants(self):
        return Segments(num_envs=3, length=7)

    def init(self, key):
        return {
            "weights": jax.random.normal(key, (2, 2)), "replay": jnp.zeros((64, 2)), "cursor": jnp.int32(0),
            "count": jnp.uint32(0), "half": jnp.zeros(3, jnp.bfloat16),
        }  # fmt: skip

    def explore(self, state, key, phase=0):
        return {"weights": state["weights"], "noise": jnp.float32(0.5)}, jnp.ones((), bool)

    def exploit(self, state):
        return {"weights": state["weights"], "noise": jnp.float32(0.0)}

    def memory(self, behaviour, key):
        return 0.01 * jax.random.normal(key, (2,))

    def act(self, behaviour, memory, inputs, key):
        memory = 0.9 * memory + inputs.obs
        noise = behaviour["noise"] * jax.random.normal(key, (2,))
        return jnp.clip(memory @ behaviour["weights"] + noise, -1, 1), memory, {"memory": memory}

    def learn(self, state, data, key, phase=0):
        obs = data.steps.next_obs.reshape(-1, 2)
        slots = (state["cursor"] + jnp.arange(21)) % 64
        replay = state["replay"].at[slots].set(obs)
        drawn = replay[jax.random.randint(key, (8,), 0, 64)]
        step = self.rate * jnp.mean(drawn) * jnp.mean(data.steps.reward + 0.1)
        state = {
            "weights": state["weights"] + step, "replay": replay, "cursor": (state["cursor"] + 21) % 64,
            "count": state["count"] + 1, "half": state["half"] + jnp.bfloat16(0.5),
        }  # fmt: skip
        loss = jnp.where((self.poison >= 0) & (state["count"] > self.poison), jnp.nan, step)
        return state, {"learn/loss_step": loss, "learn/pair": jnp.mean(state["weights"], axis=0)}


@dataclass(frozen=True, kw_only=True)
class Cloner(Agent):
    """Regression of actions on observations."""

    rate: float = 0.1

    @property
    def wants(self):
        return Batches(size=4, updates=5)

    def init(self, key):
        return jax.random.normal(key, (2, 2))

    def exploit(self, state):
        return state

    def act(self, behaviour, memory, inputs, key):
        return jnp.clip(inputs.obs @ behaviour, -1, 1), memory, ()

    def learn(self, state, data, key, phase=0):
        def loss(weights, rows):
            return jnp.mean((rows["obs"] @ weights - rows["action"]) ** 2)

        def update(weights, rows):
            value, slope = jax.value_and_grad(loss)(weights, rows)
            return weights - self.rate * slope, value

        state, losses = jax.lax.scan(update, state, data.rows)
        return state, {"learn/loss": jnp.mean(losses)}
