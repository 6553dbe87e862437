"""Evaluations a second on the hard maze in features of pictures, on one core: novelty search, our AURORA, QDax's.

The same untrained encoder of 32 x 32 grey pictures, 200 policies a generation, and no training on either side. Needs
the extra `qd`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

from prospect_rl import envs
from prospect_rl.agents import Aurora, UntrainedStax
from prospect_rl.agents.api import Agent
from prospect_rl.envs.api import Array, Key
from prospect_rl.envs.rollout import episodes
from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops
from prospect_rl.experiments.run.program import Program

TARGETS: bench.Targets = {"ratio_to_qdax": ("at least", 1.0)}

BATCH, GENERATIONS = 200, 10
"""Policies in a generation, and generations in a measurement, of which the best counts."""
CAPACITY, THRESHOLD, TARGET = 4096, 0.05, 2000
"""Rows of QDax's repertoire, its first threshold, and the size to which it is controlled."""


def measure() -> dict[str, float]:
    """Evaluations a second of all three, and ours over QDax's."""
    if find_spec("qdax") is None:
        raise ValueError("aurora needs qdax: install the extra qd")
    novelty = UntrainedStax(emits=False, emitter_capacity=1, population=BATCH // 2)
    own = Aurora(training="never", batch=BATCH, archive_capacity=CAPACITY, target_size=TARGET)
    ours, aurora = (bench.start(speed, agent).result() for agent in (novelty, own))
    theirs = bench.start(original).result()
    return {
        "evals_per_s": ours, "evals_per_s_aurora": aurora, "evals_per_s_qdax": theirs, "ratio_to_qdax": ours / theirs,
        "ratio_of_aurora_to_qdax": aurora / theirs,
    }  # fmt: skip


def maze() -> Any:
    """The hard maze with a robot that small pictures show."""
    return envs.make("maze/hard", robot_drawn=1 / 30)


def speed(agent: Agent) -> float:
    """Evaluations a second of the driver's program of an agent."""
    env = maze()
    program = Program(agent.bind(env.spec), env, (0,), eval_episodes=1, dataset=None)
    state = program.advance(program.init(), 0, 2**30, 1)[0]

    def turn() -> None:
        nonlocal state
        state, status, _ = program.advance(state, 1, 2**30, GENERATIONS)
        jax.block_until_ready(status)

    return loops.best_of(turn, BATCH * GENERATIONS)


def repertoires() -> Any:
    """QDax's module of unstructured repertoires, with a mistake mended.

    In 0.5 fitnesses are [rows, 1], so that the descriptors that children are compared with become [rows, rows, d], in
    which no child has a neighbour. Their diagonal is what is meant.
    """
    module: Any = import_module("qdax.core.containers.unstructured_repertoire")
    nearest = module.get_cells_indices

    def mended(children: Array, stored: Array, k: int) -> Any:
        rows = jnp.arange(stored.shape[0])
        return nearest(children, stored[rows, rows] if stored.ndim == 3 else stored, k)

    module.get_cells_indices = mended
    return module


def original() -> float:
    """Evaluations a second of QDax's AURORA with mutation alone, its size controlled once in a measurement."""
    env, _ = maze(), repertoires()
    agent = Aurora(training="never").bind(env.spec)
    learner = agent.learner(jax.random.key(0))

    def score(genomes: Array, key: Key) -> tuple[Array, Array, dict[str, Array]]:
        played = episodes(env, agent, genomes, jnp.ones(BATCH, bool), key, key, population=BATCH, frames=1)
        pictures = agent.look(jax.tree.map(lambda x: x[:, 0, 0], played.frames))
        return played.fitness, played.descriptor, {"observations": pictures.reshape(BATCH, -1)}

    def encode(pictures: Array, about: Any) -> Array:
        return agent.net.encode(learner.params, pictures.reshape(-1, agent.size, agent.size, agent.channels))

    emitter = import_module("qdax.core.emitters.standard_emitters").MixingEmitter(
        lambda x, key: agent.mutate(key, x), lambda x, y, key: x, 0.0, BATCH
    )
    about = SimpleNamespace(model_params=learner.params)
    aurora = import_module("qdax.core.aurora").AURORA(
        score, emitter, lambda repertoire: {}, encode, lambda *args: about, "observations"
    )
    key = jax.random.key(0)
    genomes = agent.random_genomes(key, BATCH)
    repertoire, state, *_ = aurora.init(genomes, about, jnp.float32(THRESHOLD), CAPACITY, key)

    @jax.jit
    def run(repertoire: Any, key: Key) -> Any:
        def step(repertoire: Any, key: Key) -> tuple[Any, None]:
            return aurora.update(repertoire, state, key, about)[0], None

        repertoire = jax.lax.scan(step, repertoire, jax.random.split(key, GENERATIONS))[0]
        # its controller changes all entries of `l_value`, which is a vector of one number
        controlled = repertoire.replace(l_value=repertoire.l_value[0])
        return aurora.container_size_control(controlled, TARGET, jnp.int32(0))[0]

    def turn() -> None:
        nonlocal repertoire, key
        key = jax.random.fold_in(key, 1)
        repertoire = jax.block_until_ready(run(repertoire, key))

    return loops.best_of(turn, BATCH * GENERATIONS)
