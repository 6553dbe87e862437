"""Exams: whole episodes of a finished agent in its environment with other fields (see `experiments.api.Exam`).

Exams may take minutes: they run in chunks of a few seconds, between which signals are handled, and each result is saved
in the run's exams.json as soon as it is complete.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.agents.api import Agent
from prospect_rl.envs.api import Array, Env, Key, Transitions, Tree
from prospect_rl.envs.rollout.kernel import Stream, acting, advance, begin
from prospect_rl.envs.rollout.keys import EXAMS, Keys
from prospect_rl.experiments.api import Exam
from prospect_rl.experiments.run import checkpoint
from prospect_rl.experiments.run.callbacks import best_folder
from prospect_rl.experiments.run.compiler import options
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.run.keys import EXAM, stream
from prospect_rl.experiments.run.program import Program, RunState, split_env
from prospect_rl.experiments.run.reading import read

CHUNK_S = 5.0
GROWTH = 8
METRIC = "eval/success"
"""Metric that selects the best state (the first, if equal), measured in the run's own environment."""
Figures = dict[str, float]
"""Results of one seed."""


@struct.dataclass
class ExamState:
    """State of E parallel episodes. Ended episodes keep stepping, but their results are ignored.

    For several seeds everything but `t` leads with [S].
    """

    t: Array
    """[] int32 number of steps so far."""
    live: Array
    """[E] bool, whether each episode is still running."""
    keys: Keys
    """Keys of the episodes."""
    stream: Stream
    """The episodes under way, leading [E]."""
    returns: Array
    length: Array
    success: Array
    """[E] results of the episodes so far (return, length, success)."""


OVER_SEEDS: Any = ExamState(None, 0, 0, 0, 0, 0, 0)  # type: ignore[arg-type]
"""Axes of the seeds in an `ExamState`."""


def run_exams(run: Run, program: Program, state: RunState, folder: Folder, stopped: Callable[[], bool]) -> bool:
    """Run all exams that are not in the run's exams.json; returns False if a signal interrupted them."""
    known: dict[str, list[Figures]] = folder.exams
    for exam in run.exams:
        if exam.reads:
            if exam.name not in known:
                if stopped():
                    return False
                known[exam.name] = _read(run, program, state, exam)
                folder.save_exams(known)
            continue
        env, titles = run.make_env(**exam.fields), ["exam"]
        exam_program = ExamProgram(program.agent, env, exam.episodes, several=program.batched)
        keys = jax.vmap(partial(stream, EXAM))(program.seeds) if program.batched else stream(EXAM, run.seeds[0])
        for title in [*titles, "exam_best"] if exam.best else titles:
            name = f"{title}/{exam.name}"
            if name in known:
                continue
            behaviour = program.behaviour(state if title == "exam" else _best(program, folder, run.hash))
            if (found := exam_program.run(behaviour, keys, stopped)) is None:
                return False
            each = {f"{name}/{what}": np.atleast_1d(x).tolist() for what, x in found.items()}
            known[name] = [{what: x[s] for what, x in each.items()} for s in range(len(run.seeds))]
            folder.save_exams(known)
    return True


def _read(run: Run, program: Program, state: RunState, exam: Exam) -> list[Figures]:
    """The figures of an exam that `reads`, of each seed."""
    env, behaviour = run.make_env(**exam.fields), program.behaviour(state)
    each = [
        jax.tree.map(lambda x, s=s: x[s], behaviour) if program.batched else behaviour for s in range(len(run.seeds))
    ]
    return [
        read(program.agent, env, one, seed, episodes=exam.episodes).figures()
        for one, seed in zip(each, run.seeds, strict=True)
    ]


def _best(program: Program, folder: Folder, config_hash: str) -> RunState:
    """The state saved by `SaveBest`: the newest of its checkpoints."""
    named = checkpoint.last(best_folder(folder.path, METRIC), config_hash)
    return jax.tree.map(jnp.asarray, checkpoint.rebuild(named, program.template()))


class ExamProgram:
    """The compiled programs of one exam: E parallel episodes in one environment.

    The agent stays bound to the run's environment; the exam's spec may differ only in its horizon.
    """

    def __init__(self, agent: Agent, env: Env, episodes: int, *, several: bool = False) -> None:
        """`several`: whether behaviours and keys are those of several seeds, leading [S]."""
        self._agent, self._numbers, self._several = agent, jnp.arange(episodes), several
        self._arrays, self._rebuild = split_env(env)
        self._begin = jax.jit(self._begin_of, compiler_options=options("evaluate"))
        self._advance = jax.jit(self._advance_of, donate_argnums=0, compiler_options=options("evaluate"))

    def run(self, behaviour: Tree, key: Key, stopped: Callable[[], bool]) -> dict[str, np.ndarray] | None:
        """Mean return, length and success over whole episodes, [] or [S]; None if a signal interrupted them."""
        state, limit, done = self._begin(behaviour, key, self._arrays), 64, 0
        while bool(jnp.any(state.live)):
            if stopped():
                return None
            begun = time.monotonic()
            state = self._advance(state, behaviour, self._arrays, jnp.int32(done + limit))
            done = int(state.t)
            seconds = max(time.monotonic() - begun, 1e-6)
            limit = max(1, min(GROWTH * limit, int(CHUNK_S * limit / seconds)))
        found = {"return": state.returns, "length": state.length, "success": state.success}
        return {what: np.mean(np.asarray(x), axis=-1) for what, x in found.items()}

    def _begin_of(self, behaviour: Tree, key: Key, arrays: Tree) -> ExamState:
        env = self._rebuild(arrays)

        def begun(behaviour: Tree, key: Key) -> ExamState:
            keys = Keys(key, EXAMS)

            def one(number: Array) -> Stream:
                needed = jnp.ones((), bool)
                return begin(env, self._agent, behaviour, keys.reset(number), keys.memory(number), needed)

            zeros = jnp.zeros(self._numbers.shape)
            return ExamState(jnp.int32(0), zeros == 0, keys, jax.vmap(one)(self._numbers), zeros, zeros, zeros)

        return jax.vmap(begun, out_axes=OVER_SEEDS)(behaviour, key) if self._several else begun(behaviour, key)

    def _advance_of(self, state: ExamState, behaviour: Tree, arrays: Tree, until: Array) -> ExamState:
        env = self._rebuild(arrays)

        def step(s: ExamState, behaviour: Tree) -> ExamState:
            act, keys = acting(self._agent, behaviour), s.keys

            def one(live: Array, number: Array, stream: Stream, t: Array) -> tuple[Stream, Transitions]:
                return advance(env, act, stream, keys.act(number, t), keys.step(number, t), live)

            stream, row = jax.vmap(one, (0, 0, 0, None))(s.live, self._numbers, s.stream, s.t)
            return ExamState(
                s.t + 1, s.live & ~(row.terminated | row.truncated), s.keys, stream,
                s.returns + jnp.where(s.live, row.reward, 0.0), s.length + s.live,
                jnp.where(s.live, row.info["success"].astype(jnp.float32), s.success),
            )  # fmt: skip

        over = jax.vmap(step, (OVER_SEEDS, 0), OVER_SEEDS) if self._several else step
        return jax.lax.while_loop(lambda s: (s.t < until) & jnp.any(s.live), lambda s: over(s, behaviour), state)
