"""Shared code of the benchmarks of off-policy and offline agents: training loops and bare updates in HalfCheetah.

One environment, one update per step on 256 rows, two layers of 256 units. A rate is the best of several repetitions.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp

from prospect_rl.experiments import bench
from prospect_rl.experiments.run.compiler import COMPILER
from prospect_rl.experiments.run.machine import enable_compilation_cache
from prospect_rl.experiments.run.program import Program

TASK, THEIRS = "mujoco/half_cheetah", "HalfCheetah-v5"
WARM_UP = 300
"""Number of steps without updates, before the timing starts."""
TURNS, STEPS = 5, 250
ROUNDS = 2
"""Number of times that the alternatives of a benchmark are measured in turn."""
BATCH, WIDTH = 256, 256


def agent_of(name: str, **fields: Any) -> Any:
    """A registered agent, bound to the task."""
    from prospect_rl import agents, envs

    return agents.make(name, learning_starts=WARM_UP, **fields).bind(envs.make(TASK).spec)


def best_of(turn: Callable[[], Any], steps: int) -> float:
    """Steps per second of the best repetition; `turn` executes `steps` of them. The first call is not timed."""
    turn()
    best = 0.0
    for _ in range(TURNS):
        begun = time.perf_counter()
        turn()
        best = max(best, steps / (time.perf_counter() - begun))
    return best


def loop(name: str, **fields: Any) -> float:
    """Iterations per second of the driver's program: act, store, sample, update."""
    from prospect_rl import envs

    enable_compilation_cache()
    program = Program(agent_of(name, **fields), envs.make(TASK), (0,), eval_episodes=1, dataset=None)
    run = program.advance(program.init(), 0, 2**30, 2 * WARM_UP)[0]

    def turn() -> None:
        nonlocal run
        run, status, _ = program.advance(run, 0, 2**30, STEPS)
        jax.block_until_ready(status)

    return best_of(turn, STEPS)


def bare(name: str) -> float:
    """Updates per second on one fixed batch, without environment and replay."""
    agent = agent_of(name)
    return updates(agent, experience(*agent.sizes), STEPS)


def experience(obs: int, action: int) -> Any:
    """A random batch of transitions."""
    from prospect_rl.agents.ops.replay import Experience

    keys = jax.random.split(jax.random.key(2), 4)
    seen, following = (jax.random.normal(key, (BATCH, obs)) for key in keys[:2])
    acted = jax.random.uniform(keys[2], (BATCH, action), minval=-1)
    return Experience(seen, acted, jax.random.normal(keys[3], (BATCH,)), jnp.zeros(BATCH), following)


def updates(agent: Any, batch: Any, steps: int) -> float:
    """Updates per second of a bound agent on one fixed batch, with `steps` updates per repetition."""
    enable_compilation_cache()

    def many(learner: Any, key: Any) -> Any:
        return jax.lax.fori_loop(0, steps, lambda i, x: agent.update(x, batch, jax.random.fold_in(key, i))[0], learner)

    learner, go = agent.begin(jax.random.key(0)), jax.jit(many, compiler_options=COMPILER)
    return best_of(lambda: jax.block_until_ready(go(learner, jax.random.key(1))), steps)


def products() -> float:
    """Floating-point operations per second of consecutive products [256, 256] x [256, 256]."""

    def chain(x: Any, weights: Any) -> Any:
        return jax.lax.fori_loop(0, STEPS, lambda _, x: x @ weights, x)

    x, weights = jnp.ones((BATCH, WIDTH)), jnp.eye(WIDTH)
    go = jax.jit(chain, compiler_options=COMPILER)
    return best_of(lambda: jax.block_until_ready(go(x, weights)), 2 * STEPS * BATCH * WIDTH**2)


def pass_of(name: str) -> float:
    """Number of floating-point operations of a critic's forward pass for a batch."""
    obs, action = agent_of(name).sizes
    return 2.0 * BATCH * ((obs + action) * WIDTH + WIDTH**2 + WIDTH)


def rival(library: str, name: str) -> float:
    """Steps per second of `stable_baselines3` or its JAX version `sbx`. Needs the extra `rivals`."""
    warnings.simplefilter("ignore")
    import gymnasium

    try:
        cls = getattr(import_module(library), name)
    except ImportError:
        raise ValueError(f"this benchmark needs {library}: install the extra rivals") from None
    model = cls(
        "MlpPolicy", gymnasium.make(THEIRS), learning_starts=WARM_UP, batch_size=BATCH, train_freq=1, gradient_steps=1,
        learning_rate=3e-4, policy_kwargs={"net_arch": [WIDTH, WIDTH]}, verbose=0,
    )  # fmt: skip
    model.learn(2 * WARM_UP)
    return best_of(lambda: model.learn(STEPS, reset_num_timesteps=False), STEPS)


def race(ways: dict[str, tuple[Any, ...]], *, cores: int) -> dict[str, float]:
    """The best rate of each alternative (a function and its arguments), each run in a new process on `cores` cores."""
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, (work, *args) in ways.items():
            best[name] = max(best[name], bench.start(work, *args, cores=cores).result())
    return best


def against_rivals(name: str, passes: float) -> dict[str, float]:
    """Compare an agent's loop with other libraries, its bare update, and the matrix products alone, on two cores.

    passes: number of a critic's forward passes that need as many operations as all products of an update.
    """
    found = race({
        "ours": (loop, name), "bare": (bare, name), "sbx": (rival, "sbx", name.upper()),
        "sb3": (rival, "stable_baselines3", name.upper()), "flops": (products,),
    }, cores=2)  # fmt: skip
    floor = found["flops"] / (passes * pass_of(name))
    return {
        "ratio_to_sbx": found["ours"] / found["sbx"], "ratio_to_sb3": found["ours"] / found["sb3"],
        "share_of_bare": found["ours"] / found["bare"], "share_of_products": found["ours"] / floor,
        "steps_per_s": found["ours"], "steps_per_s_sbx": found["sbx"], "steps_per_s_sb3": found["sb3"],
        "bare_updates_per_s": found["bare"], "gflops_of_products": found["flops"] / 1e9,
    }  # fmt: skip
