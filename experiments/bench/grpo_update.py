"""An iteration of GRPO, 256 answers and four gradient steps, against transformers and eager PyTorch, on one core.

A decoder of 4 layers of 128 numbers sorts eight digits: 9 + 9 tokens a text, 32 problems, 8 answers to each, float32.
The rival samples with `generate` and learns from answers of the same length (grpo_torch.py). `cold_s` is the start of
`hero_text` smoke: to the end of the first iteration, compiling included, imports not. Needs torch and transformers.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench.grpo_torch import Shapes, check, their_seconds

TARGETS: bench.Targets = {"ratio_to_torch": ("at least", 2.0)}
SHAPES = Shapes(vocabulary=12, problem=9, answer=9, layers=4, width=128, heads=4, kv_heads=2, ffn=384)
TEXTS = 256
TURNS = 5


def measure() -> dict[str, float]:
    """Seconds of an update of ours and of the rival. Raises ValueError without torch or transformers."""
    check()
    ours = bench.start(our_seconds, "text/sort", SHAPES, TEXTS, TURNS).result()
    sampling, learning = bench.start(their_seconds, SHAPES, TEXTS, TURNS, 1).result()
    with tempfile.TemporaryDirectory() as cache:
        cold = bench.start(first_iteration, cache).result()
    return {
        "ratio_to_torch": (sampling + learning) / ours, "s_per_update": ours, "s_sampling_torch": sampling,
        "s_learning_torch": learning, "cold_s": cold,
    }  # fmt: skip


def our_seconds(
    task: str | Callable[[], Any], shapes: Shapes, texts: int, turns: int, products: str = "float32"
) -> float:
    """Seconds of the quickest of so many iterations after one that compiles, in a task by its name or maker."""
    from prospect_rl import agents, envs
    from prospect_rl.experiments.run.program import Program

    env = envs.make(task) if isinstance(task, str) else task()
    agent = agents.make(
        "grpo", cold=0, prompts=texts // shapes.group, group=shapes.group, minibatches=shapes.minibatches,
        layers=shapes.layers, width=shapes.width, heads=shapes.heads, kv_heads=shapes.kv_heads, ffn=shapes.ffn,
        products=products,
    )  # fmt: skip
    program = Program(agent.bind(env.spec), env, (0,), eval_episodes=1, dataset=None)
    run, best = program.init(), float("inf")
    for turn in range(1 + turns):
        begun = time.perf_counter()
        run, status, _ = program.advance(run, 0, 2**30, 1)
        jax.block_until_ready(status)
        best = min(best, time.perf_counter() - begun) if turn else best
    return best


def first_iteration(cache: str) -> float:
    """Seconds to the end of the first iteration of HERO in `hero_text` smoke, with a cache of programs of its own."""
    from prospect_rl.experiments.register import load
    from prospect_rl.experiments.run.machine import enable_compilation_cache
    from prospect_rl.experiments.run.program import Program
    from prospect_rl.experiments.sweeps.job import plan, resolve

    os.environ["PROSPECT_CACHE"] = cache
    enable_compilation_cache()
    job = next(job for job in plan(load("hero_text"), "smoke") if job.label == "hero")
    run = resolve(job.payload)
    begun, env = time.perf_counter(), run.make_env()
    program = Program(run.agent.bind(env.spec), env, run.seeds, eval_episodes=1, dataset=None)
    jax.block_until_ready(program.advance(program.init(), 0, 1, 1)[1])
    return time.perf_counter() - begun
