"""Steps a second of the hard maze, acting with SERENE's 5-5-5-2 policies included, on one core.

At 200 policies (a generation of novelty search) and at 12 (a step of an emitter).
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp

from prospect_rl import envs
from prospect_rl.agents.evolution.random_search import RandomSearch
from prospect_rl.envs.api import Array, Env, Key
from prospect_rl.envs.rollout import episodes
from prospect_rl.experiments import bench

TARGETS: bench.Targets = {"steps_per_s": ("at least", 4.5e6), "steps_per_s_12": ("at least", 2.5e6)}

SECONDS = 3.0
"""Seconds of repeated measurement; the best counts, because other load on the machine can only slow it down."""


def measure() -> dict[str, float]:
    """Steps per second at both sizes, and the seconds of compilation."""
    steps, compiling = bench.start(rollout, 200).result()
    steps_12, _ = bench.start(rollout, 12).result()
    return {"steps_per_s": steps, "steps_per_s_12": steps_12, "compile_s": compiling}


def rollout(
    population: int, seconds: float = SECONDS, env_id: str = "maze/hard", hidden: tuple[int, ...] = (5, 5)
) -> tuple[float, float]:
    """(steps per second, seconds of compilation) for `population` random policies in an environment of fixed length."""
    env = envs.make(env_id)
    agent = RandomSearch(population=population, hidden=hidden).bind(env.spec)

    @jax.jit
    def play(env: Env, key: Key) -> tuple[Array, Array]:
        genomes = agent.random_genomes(key, population)
        played = episodes(env, agent, genomes, jnp.ones(population, bool), key, key, population=population)
        return played.returns, played.descriptor

    jax.config.update("jax_enable_compilation_cache", False)
    begun = time.perf_counter()
    compiled = play.lower(env, jax.random.key(0)).compile()
    compiling = time.perf_counter() - begun
    jax.block_until_ready(compiled(env, jax.random.key(0)))
    best, until, seed = float("inf"), time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        seed += 1
        begun = time.perf_counter()
        jax.block_until_ready(compiled(env, jax.random.key(seed)))
        best = min(best, time.perf_counter() - begun)
    return population * env.spec.horizon / best, compiling
