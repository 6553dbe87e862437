"""Examinations: whole episodes of a finished agent in its environment with other fields (see `api.Exam`).

They may last for minutes, so they run in chunks of a few seconds between which a signal is answered, and each is kept
in the run's exams.json as soon as it is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.agents.api import Agent
from prospect_rl.envs.api import Array, Env, Inputs, Key, Tree
from prospect_rl.envs.rollout import first_inputs, fold_in, next_inputs, reset_if, step_if
from prospect_rl.experiments.run import checkpoint
from prospect_rl.experiments.run.callbacks import best_folder
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.run.program import EXAM, Program, RunState, split_env, stream

CHUNK_S = 5.0
GROWTH = 8
METRIC = "eval/success"
"""What decides which state was the best (ties: the first), and it is measured in the run's own environment alone."""
Figures = dict[str, float]


@struct.dataclass
class Sitting:
    """E episodes under way, side by side. What has ended goes on unheeded: only its figures stand still."""

    t: Array
    """[] int32 steps so far."""
    live: Array
    """[E] bool."""
    keys: Array
    """[E] of each episode's steps."""
    stream: tuple[Tree, Tree, Inputs]
    """(state, memory, inputs), leading [E]."""
    returns: Array
    length: Array
    success: Array
    """[E] figures of the episodes so far."""


def examine(run: Run, program: Program, state: RunState, folder: Folder, stopped: Callable[[], bool]) -> bool:
    """Sit all exams of a run that are not in its folder's exams.json; False where a signal came first."""
    known: dict[str, list[Figures]] = folder.exams
    for exam in run.exams:
        room, titles = Room(program.agent, run.make_env(**exam.fields), exam.episodes), ["exam"]
        for title in [*titles, "exam_best"] if exam.best else titles:
            name, figures = f"{title}/{exam.name}", []
            if name in known:
                continue
            behaviour = program.behaviour(state if title == "exam" else _best(program, folder, run.hash))
            for s, seed in enumerate(run.seeds):
                one = jax.tree.map(lambda x, s=s: x[s], behaviour) if program.batched else behaviour
                sat = room.sit(one, stream(EXAM, seed), stopped)
                if sat is None:
                    return False
                figures.append({f"{name}/{what}": x for what, x in sat.items()})
            known[name] = figures
            folder.keep_exams(known)
    return True


def _best(program: Program, folder: Folder, config_hash: str) -> RunState:
    """The state that `SaveBest` has kept: the newest of its checkpoints."""
    named = checkpoint.last(best_folder(folder.path, METRIC), config_hash)
    return jax.tree.map(jnp.asarray, checkpoint.rebuild(named, program.template()))


class Room:
    """The compiled programs of one exam: E episodes at once in one environment.

    An agent that is bound to the run's environment may sit in one whose spec differs in its horizon alone.
    """

    def __init__(self, agent: Agent, env: Env, episodes: int) -> None:
        self._agent, self._numbers = agent, jnp.arange(episodes)
        self._arrays, self._rebuild = split_env(env)
        self._begin = jax.jit(self._begin_of)
        self._advance = jax.jit(self._advance_of, donate_argnums=0)

    def sit(self, behaviour: Tree, key: Key, stopped: Callable[[], bool]) -> Figures | None:
        """Means over whole episodes of a behaviour; None where a signal came first."""
        sitting, limit, done = self._begin(behaviour, key, self._arrays), 64, 0
        while bool(jnp.any(sitting.live)):
            if stopped():
                return None
            begun = time.monotonic()
            sitting = self._advance(sitting, behaviour, self._arrays, jnp.int32(done + limit))
            done = int(sitting.t)
            seconds = max(time.monotonic() - begun, 1e-6)
            limit = max(1, min(GROWTH * limit, int(CHUNK_S * limit / seconds)))
        found = {"return": sitting.returns, "length": sitting.length, "success": sitting.success}
        return {what: float(np.mean(np.asarray(x))) for what, x in found.items()}

    def _begin_of(self, behaviour: Tree, key: Key, arrays: Tree) -> Sitting:
        env = self._rebuild(arrays)

        def one(number: Array) -> tuple[Tree, Tree, Inputs]:
            state, obs = reset_if(env, jnp.ones((), bool), fold_in(fold_in(key, 0), number))
            memory = self._agent.memory(behaviour, fold_in(fold_in(key, 1), number))
            return state, memory, first_inputs(env.spec, obs)

        zeros, keys = jnp.zeros(self._numbers.shape), jax.vmap(fold_in, (None, 0))(fold_in(key, 2), self._numbers)
        return Sitting(jnp.int32(0), zeros == 0, keys, jax.vmap(one)(self._numbers), zeros, zeros, zeros)

    def _advance_of(self, sitting: Sitting, behaviour: Tree, arrays: Tree, until: Array) -> Sitting:
        env = self._rebuild(arrays)

        def one(live: Array, key: Key, stream: tuple[Tree, Tree, Inputs], t: Array) -> Any:
            state, memory, inputs = stream
            k_act, k_step = (fold_in(key, 2 * t + i) for i in (0, 1))
            action, memory, _ = self._agent.act(behaviour, memory, inputs, k_act)
            state, step = step_if(env, live, state, action, k_step)
            return (state, memory, next_inputs(step.obs, action, step.reward)), step

        def body(s: Sitting) -> Sitting:
            stream, step = jax.vmap(one, (0, 0, 0, None))(s.live, s.keys, s.stream, s.t)
            return Sitting(
                s.t + 1, s.live & ~(step.terminated | step.truncated), s.keys, stream,
                s.returns + jnp.where(s.live, step.reward, 0.0), s.length + s.live,
                jnp.where(s.live, step.info["success"].astype(jnp.float32), s.success),
            )  # fmt: skip

        return jax.lax.while_loop(lambda s: (s.t < until) & jnp.any(s.live), body, sitting)
