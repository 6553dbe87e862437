"""Answers of a decoder through the kernel, against a plain scan with the same decoder, on one core.

4 layers of 128 numbers, 256 texts of 24 tokens, the last 12 of them the decoder's own. The plain scan is what one
writes first: it runs the decoder over the whole text for each new token, without a cache or an environment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from prospect_rl.experiments import bench

TARGETS: bench.Targets = {"ratio_to_scan": ("at least", 2.0)}
TEXTS, SPOKEN = 256, 12
TURNS = 5


def measure() -> dict[str, float]:
    """Tokens per second that the policy speaks, both ways, and their ratio."""
    ours, plain = bench.start(rates).result()
    return {"ratio_to_scan": ours / plain, "tokens_per_s": ours, "tokens_per_s_scan": plain}


def rates() -> tuple[float, float]:
    """Tokens per second through the kernel and by a plain scan, measured in turn; the best of each."""
    from prospect_rl import agents, envs
    from prospect_rl.envs import rollout

    env = envs.make("text/sort", length=SPOKEN - 1)
    agent = agents.GRPO(prompts=TEXTS // 8, group=8).bind(env.spec)
    state = agent.init(jax.random.key(0))
    behaviour, active = agent.explore(state, jax.random.key(1))
    active = jnp.broadcast_to(active, TEXTS)

    def kernel(behaviour: Any, key: Any) -> Any:
        return rollout.episodes(
            env, agent, behaviour, active, key, key, population=TEXTS, group=8, starts="fresh", shared=True,
            keep_steps=True,
        ).steps  # fmt: skip

    problems = jax.vmap(lambda key: env.reset(key)[0].text)(jax.random.split(jax.random.key(2), TEXTS))
    network: Any = agent.network

    def scan(behaviour: Any, key: Any) -> Any:
        def speak(texts: Any, t: Any) -> tuple[Any, Any]:
            logits = jax.vmap(lambda text: network.apply(behaviour.params, text)[0][t - 1])(texts)
            token = jax.random.categorical(jax.random.fold_in(key, t), logits)
            return texts.at[:, t].set(token), jax.nn.log_softmax(logits)[jnp.arange(TEXTS), token]

        return jax.lax.scan(speak, problems, jnp.arange(SPOKEN, 2 * SPOKEN))

    ways, found = (jax.jit(kernel), jax.jit(scan)), [0.0, 0.0]
    for turn in range(1 + TURNS):
        for i, way in enumerate(ways):
            took = seconds(way, behaviour, jax.random.key(turn))
            found[i] = max(found[i], TEXTS * SPOKEN / took) if turn else 0.0  # the first turn compiles
    return found[0], found[1]


def seconds(way: Callable[..., Any], *args: Any) -> float:
    """Seconds of a call."""
    begun = time.perf_counter()
    jax.block_until_ready(way(*args))
    return time.perf_counter() - begun
