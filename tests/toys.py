"""A tiny environment and one tiny agent for each of the three wants; their figures can be worked out by hand."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl import envs
from prospect_rl.agents.api import Agent, Batches, Rollouts, Segments
from prospect_rl.envs.api import Box, Dataset, Env, Spec, Step, static

MINIGRID = {f"minigrid/{name}-v0" for name in ("DoorKey-5x5", "Dynamic-Obstacles-5x5", "PutNear-6x6-N2")}
"""Ids that stand for all of MiniGrid in fast tests: one that hides, one that moves by chance, one with a mission."""
POPGYM = {
    f"popgym/{name}Easy" for name in ("RepeatPrevious", "Concentration", "MultiarmedBandit", "PositionOnlyPendulum")
}
"""Ids that stand for all of POPGym in fast tests: a deck, a table, one that renews resets, one of control."""


@struct.dataclass
class Point(Env):
    """A point pushed about in a square for ten steps; it pays at the end, near the corner (1, 1)."""

    drift: jax.Array = struct.field(default_factory=lambda: jnp.zeros(2))
    noise: float = static(0.05)
    broken: float = static(9.0)
    """A policy that ends beyond this, along the first axis, earns NaN."""

    @property
    def spec(self) -> Spec:
        return Spec(
            id="test/point", obs=Box((2,)), action=Box((2,), -1.0, 1.0), horizon=10,
            info=("success", "descriptor", "area"), descriptor=Box((2,), -1.0, 1.0), areas=1,
        )  # fmt: skip

    def reset(self, key):
        x = 0.1 * jax.random.normal(key, (2,))
        return (x, jnp.int32(0)), x

    def step(self, state, action, key):
        x, t = state
        x = jnp.clip(x + 0.2 * action + self.drift + self.noise * jax.random.normal(key, (2,)), -1, 1)
        end = (t + 1 >= 10) | (jnp.min(x) > 0.95)
        near = jnp.min(x) > 0.5
        reward = jnp.where(end & near, jnp.min(x), 0.0)
        reward = jnp.where(end & (x[0] > self.broken), jnp.nan, reward)
        info = {"success": end & near, "descriptor": x, "area": jnp.where(end & near, 0, -1)}
        truncated = (t + 1 >= 10) & ~(jnp.min(x) > 0.95)
        return (x, t + 1), Step(obs=x, reward=reward, terminated=jnp.min(x) > 0.95, truncated=truncated, info=info)


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


def dataset() -> Dataset:
    obs = jax.random.rademacher(jax.random.key(5), (40, 2), float)
    ends = jnp.arange(40) % 10 == 9
    rows = {
        "obs": obs, "action": -obs, "reward": jnp.zeros(40), "terminated": jnp.zeros(40, bool),
        "truncated": ends,
    }  # fmt: skip
    return Dataset(rows=rows | {"next_obs": obs}, firsts=jnp.arange(0, 40, 10, dtype=jnp.int32))


@dataclass(frozen=True)
class Cues:
    """A recipe: whole episodes of `probe/memory`, with the right answer at the end."""

    delay: int = 2
    """Of the environment."""
    episodes: int = 8
    """How many."""
    seed: int = 0
    """Of the cues."""
    spoil: str = ""
    """What is wrong with the data."""

    def build(self) -> Dataset:
        length, rng = self.delay + 1, np.random.default_rng(self.seed)
        cue = rng.choice(np.float32([-1, 1]), self.episodes)
        obs = np.zeros((self.episodes, length, 2), np.float32)
        obs[:, 0, 0], obs[:, -1, 1] = cue, 1
        action = np.repeat((cue > 0).astype(np.int32), length)
        last = np.tile(np.arange(length) == self.delay, self.episodes)
        rows = {
            "obs": obs.reshape(-1, 2), "action": action, "reward": last.astype(np.float32), "terminated": last,
            "truncated": np.zeros_like(last),
        }  # fmt: skip
        firsts = np.arange(0, len(last), length, dtype=np.int32)
        if self.spoil in rows:
            del rows[self.spoil]
        elif self.spoil == "nan":
            rows["obs"][5, 1] = np.nan
        elif self.spoil == "length":
            rows["reward"] = rows["reward"][1:]
        elif self.spoil == "both":
            rows["truncated"] = last
        elif self.spoil == "empty":
            rows, firsts = {key: x[:0] for key, x in rows.items()}, firsts[:0]
        elif self.spoil == "firsts":
            firsts = firsts[::-1].copy()
        return Dataset(rows, firsts)


@dataclass(frozen=True)
class Steps:
    """A recipe: random episodes of an environment's spaces, each with its successors; the last ones are cut."""

    env: str = "point/sparse"
    """Its registered id."""
    seed: int = 0
    """Of all that is drawn."""
    successors: bool = True
    """Keep `next_obs`."""
    spoil: str = ""
    """What is wrong with the data."""

    def build(self) -> Dataset:
        lengths, spec = (4, 1, 3), envs.make(self.env).spec
        draw = [jax.vmap(x.sample)(jax.random.split(jax.random.key(self.seed), 11)) for x in (spec.obs, spec.action)]
        seen, action = map(np.asarray, draw)
        ends = np.cumsum(lengths) - 1
        first = np.arange(8) + np.repeat(np.arange(3), lengths)  # an episode of n rows has n + 1 observations
        last = np.isin(np.arange(8), ends)
        rows = {
            "obs": seen[first].copy(), "action": action[:8], "reward": np.linspace(0, 1, 8, dtype=np.float32),
            "terminated": last & (np.arange(8) < 5), "truncated": last & (np.arange(8) >= 5),
            "next_obs": seen[first + 1].copy(),
        }  # fmt: skip
        if not self.successors:
            del rows["next_obs"]
        elif self.spoil == "next":
            rows["next_obs"][0] += 1
        elif self.spoil == "more":
            rows["colour"] = np.zeros(8)
        elif self.spoil == "end":
            rows["truncated"] = np.zeros(8, bool)
        elif self.spoil == "nan":
            rows["obs"][1] = np.nan
        return Dataset(rows, (ends - np.array(lengths) + 1).astype(np.int32))


CASES = {
    # agent, budget, evals, seeds
    "rollouts": (Evolver(), 400, 4, (3,)),
    "segments": (Walker(), 21 * 45, 4, (3,)),
    "segments-seeds": (Walker(), 21 * 45, 4, (3, 5)),
    "batches": (Cloner(), 200, 4, (3,)),
}


def run(case: str, out: Path | None, **options):
    """Train one of the cases."""
    from prospect_rl.experiments import train

    agent, budget, evals, seeds = CASES[case]
    data = dataset() if case == "batches" else None
    settings = {"seeds": seeds, "budget": budget, "evals": evals, "eval_episodes": 2, "dataset": data, **options}
    return train(agent, Point(), out=out, **settings)


if __name__ == "__main__":
    # A process to be killed: python toys.py CASE FOLDER PAUSE, with PAUSE seconds after every chunk of one iteration.
    import time

    from prospect_rl.experiments import Interrupted
    from prospect_rl.experiments.run import driver

    driver.SAVE_EVERY, driver.SAVE_SHARE, driver.GROWTH = 0.0, float("inf"), 1
    try:
        result = run(sys.argv[1], Path(sys.argv[2]), progress=lambda _: time.sleep(float(sys.argv[3])))
    except Interrupted:
        sys.exit(130)
    sys.stdout.write(result.digest)
