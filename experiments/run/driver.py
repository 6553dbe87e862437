"""The driver: brings an agent the experience it wants, and keeps what happens.

    repeat   a chunk: one call of a jitted program, a few seconds of iterations (`experiments.run.program`)
             at a mark of the budget: evaluate, append a row of metrics
             save a checkpoint

A run in a folder is exact: killed at any moment and started again, it ends with the same bits.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Dataset, Env, Tree
from prospect_rl.envs.data import datasets
from prospect_rl.envs.threads import threads
from prospect_rl.experiments.run import checkpoint
from prospect_rl.experiments.run.callbacks import SaveBest
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.durable import finite
from prospect_rl.experiments.run.exams import METRIC
from prospect_rl.experiments.run.finish import finish
from prospect_rl.experiments.run.folder import Folder, data_hashes
from prospect_rl.experiments.run.hooks import Audience, Callback, Moment, Progress
from prospect_rl.experiments.run.lock import Lock
from prospect_rl.experiments.run.machine import make_folder, versions
from prospect_rl.experiments.run.program import INVALID, Program, RunState
from prospect_rl.experiments.run.result import Interrupted, Result
from prospect_rl.experiments.run.rows import row_of
from prospect_rl.experiments.run.signals import listening

LONGEST_CHUNK = 10.0
"""Seconds; a signal is answered after a chunk, and a kill loses at most one (and the pause between two saves)."""
GROWTH = 4
"""A chunk has at most this many times the iterations of the one before it."""
SAVE_EVERY, SAVE_SHARE = 5.0, 0.1
"""Seconds between checkpoints, and the share of a run's time that they may take; the end has one anyway."""
IDLE = 10_000
"""Iterations without an evaluation after which a run is taken to hang."""
NOT_FINITE = (
    f"some policies had a return or a behaviour descriptor that is not finite ({INVALID} counts them): "
    "none of them is stored, nor selected while there are enough others"
)


class Spent(NamedTuple):
    """What the chunks since the last checkpoint took."""

    seconds: float = 0.0
    used: int = 0
    chunks: int = 0


def train_run(
    run: Run,
    *,
    out: Path | str | None = None,
    dataset: Dataset | None = None,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
    chunk_s: float = 5.0,
) -> Result:
    """`train` for a `Run`."""
    run.check(dataset)
    with warnings.catch_warnings(record=True) as warned:
        env = run.make_env()
        for exam in run.exams:
            run.make_env(**exam.fields)  # a mistake shows now, not after training
        agent = run.agent.bind(env.spec)
        if dataset is not None:
            datasets.check(dataset)
        elif run.dataset:
            dataset = run.dataset.make()  # checked where it was made
        if dataset is not None:
            datasets.check_fits(dataset, env.spec)
        data = agent.prepare(dataset) if dataset is not None else None
    for one in warned if progress is None else ():  # else they are shown as the run's notices
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    program = Program(agent, env, run.seeds, eval_episodes=run.eval_episodes, dataset=data)
    if any(exam.best for exam in run.exams):
        callbacks = [*callbacks, SaveBest(METRIC)]
    audience = Audience(callbacks)
    driver = _Driver(run, program, env, dataset, progress, audience, min(chunk_s, LONGEST_CHUNK))
    driver.notices += [str(one.message) for one in warned]
    if out is None:
        with closing(audience):
            return driver.go(None, lambda: False)
    folder = Folder(Path(out))
    make_folder(folder.path)
    with Lock(folder.path) as lock, listening() as stopped, closing(audience):
        driver.notices += folder.open(run, data_hashes(program.banks, dataset))

        def should_stop() -> bool:
            if not lock.held:
                raise ValueError(f"{folder.path} has been taken over by another process")
            return stopped()

        return driver.go(folder, should_stop)


class _Driver:
    """One run on its way: the run state and where it stands among its marks."""

    def __init__(
        self, run: Run, program: Program, env: Env, dataset: Dataset | None, progress: Progress | None,
        audience: Audience, chunk_s: float,
    ) -> None:  # fmt: skip
        self.run, self.program, self.env, self.chunk_s = run, program, env, chunk_s
        self.data = {f"data/{name}": x for name, x in datasets.count(dataset).items()} if dataset is not None else {}
        self.progress, self.audience = progress, audience
        self.marks = run.marks
        self.mark = 0
        self.metrics: dict[str, np.ndarray] = {}
        self.rows: list[dict[str, Any]] = []
        self.notices: list[str] = []
        self.length = 0
        self.score: float | None = None
        self.limits = dict.fromkeys(range(len(program.wants)), 1)
        self.save_every, self.saved, self.saved_at = SAVE_EVERY, time.monotonic(), (-1, 0)
        self.told, self.spent = (0, 0), Spent()

    def go(self, folder: Folder | None, stopped: Callable[[], bool]) -> Result:
        """From the newest checkpoint, or from the beginning, to the end."""
        state = self._resume(folder) if folder else None
        state = self.program.init() if state is None else state
        phase, idle = self.program.phase(state), 0
        if self.notices:  # there may be no chunk to tell them after
            self._tell(state, int(np.min(state.used)))
        reason = self._ask(folder, state)
        if folder and self.mark < self.run.evals and reason is None:
            folder.reopen()
        while self.mark < self.run.evals and reason is None:
            if folder and stopped():
                self._save(folder, state)
                raise Interrupted(self._result(state, interrupted=True))
            state, (iterations, advanced, used, phase, broken) = self._chunk(state, phase)
            idle, self.score = 0 if advanced else idle + iterations, None
            while self.mark < self.run.evals and used >= self.marks[self.mark] and not broken:
                state = self._row(folder, state)
            due = time.monotonic() - self.saved >= self.save_every
            if folder and (broken or due or self.mark == self.run.evals):
                self._save(folder, state)
            self._tell(state, used)
            if broken or idle > IDLE:
                raise ValueError(self._why(state, broken))
            reason = self._ask(folder, state)
        result = self._result(state, stopped=reason if self.mark < self.run.evals else None)
        if folder and folder.result is None:
            self._save(folder, state)
            result = finish(self.run, self.program, state, folder, result, stopped)
        if folder and stopped():  # in the last chunk: whoever runs several runs must not start the next one
            raise Interrupted(result)
        return result

    # --- one chunk -----------------------------------------------------------------------------------

    def _chunk(self, state: RunState, phase: int) -> tuple[RunState, tuple[int, int, int, int, int]]:
        """(state, (iterations, budget used in it, budget used, next phase, broken))."""
        limit, begun, before = self.limits[phase], time.monotonic(), int(np.min(state.used))
        state, status, figures = self.program.advance(state, phase, self.marks[self.mark], limit)
        (iterations, used, following, broken), figures = np.asarray(status).tolist(), jax.device_get(figures)
        seconds = max(time.monotonic() - begun, 1e-6)
        if iterations:
            counted = {INVALID: self.metrics.get(INVALID, 0) + figures[INVALID]} if INVALID in figures else {}
            self.metrics |= figures | counted
            self.limits[phase] = max(1, min(GROWTH * limit, int(self.chunk_s * iterations / seconds)))
        self.spent = Spent(self.spent.seconds + seconds, self.spent.used + used - before, self.spent.chunks + 1)
        return state, (iterations, used - before, used, following, broken)

    def _tell(self, state: RunState, used: int) -> None:
        if self.progress is None:
            return
        rows, notices = self.told
        self.progress({
            "iteration": int(np.max(state.iteration)), "used": min(used, self.run.budget), "budget": self.run.budget,
            "unit": self.program.unit, "rows": self.rows[rows:], "notices": self.notices[notices:],
        })  # fmt: skip
        self.told = (len(self.rows), len(self.notices))

    def _ask(self, folder: Folder | None, state: RunState) -> str | None:
        """Why a callback wants the run to end here, if one does."""
        try:
            return self.audience.tell(self._moment(folder, state)) if self.audience.callbacks else None
        except Exception:
            if folder:
                self._save(folder, state)
            raise

    def _moment(self, folder: Folder | None, state: RunState) -> Moment:
        def behaviour() -> Tree:
            # A copy: the program may hand on arrays of the state, which the next chunk writes over.
            first = 0 if self.program.batched else ...
            return jax.tree.map(lambda x: jnp.array(x[first], copy=True), self.program.behaviour(state))

        def save(where: Path, score: float | None) -> Path:
            return checkpoint.save(where, state, self._manifest(state) | {"score": score})

        return Moment(
            self.run, folder.path if folder else None, self.program.agent, self.env, int(np.max(state.iteration)),
            min(int(np.min(state.used)), self.run.budget), self.program.unit, self.rows, [], behaviour, save,
        )  # fmt: skip

    def _why(self, state: RunState, broken: int) -> str:
        iteration = int(np.max(state.iteration))
        if not broken:
            return f"nothing was evaluated in the last {IDLE} iterations before iteration {iteration}"
        losses = {name: x for name, x in self.metrics.items() if name.startswith("learn/loss")}
        bad = [name for name, x in losses.items() if np.isnan(x).any()]
        return f"{', '.join(bad)} became NaN at iteration {iteration}: the run has stopped"

    # --- rows ----------------------------------------------------------------------------------------

    def _row(self, folder: Folder | None, state: RunState) -> RunState:
        """Evaluate at the mark that has been reached, and keep a row for every seed."""
        figures = {**self.program.evaluate(state, self.mark), **dict(sorted(self.metrics.items()))}
        facts = {"iteration": state.iteration, "used": state.used}
        ended = state.streams.ended if state.streams is not None else {}
        host: Tree = jax.device_get((facts, figures, ended, state.ledger))
        rows = []
        for s, seed in enumerate(self.run.seeds):
            one = jax.tree.map(lambda x, s=s: x[s], host) if self.program.batched else host
            rows.append(finite(row_of(seed, self.marks[self.mark], self.program.unit, *one) | self.data))
        if failed := sum(row.get("collect/failed", 0) for row in rows):
            self.notices.append(f"{failed} episodes were cut short by the simulator: {self.env.failure()}")
        for row in rows:
            self._tell_once(self.program.agent.notices(row))
            if row.get(INVALID):
                self._tell_once([NOT_FINITE])
        scores = [row["eval/return"] for row in rows]
        self.score = None if None in scores else float(np.mean(scores))
        self.mark += 1
        self.rows += rows
        if folder:
            self.length = folder.append(rows)
        if (streams := state.streams) is None:
            return state
        return replace(state, streams=replace(streams, ended=jax.tree.map(jnp.zeros_like, streams.ended)))

    def _tell_once(self, notices: list[str]) -> None:
        self.notices += [text for text in notices if text not in self.notices]

    # --- files ---------------------------------------------------------------------------------------

    def _resume(self, folder: Folder) -> RunState | None:
        """The newest whole checkpoint; None in a new folder."""
        template = self.program.template()
        found = checkpoint.newest(folder.checkpoints, template, self.run.hash, self.notices.append)
        if found is None:
            if folder.result is not None:
                raise ValueError(f"{folder.path} holds a finished run whose checkpoints are gone")
            folder.cut(0)
            return None
        tree, manifest = found
        self.length = manifest["metrics_bytes"]
        self.notices += folder.mend(self.length)
        # None stands for NaN
        self.metrics = {name: np.asarray(x, np.float32) for name, x in manifest["metrics"].items()}
        self.rows, self.saved_at = folder.cut(self.length), (manifest["iteration"], self.length)
        reached = self.rows[-1]["mark"] if self.rows else 0  # of other marks, where the run had a smaller budget
        self.mark = sum(mark <= reached for mark in self.marks)
        # JAX may share the memory of a NumPy array, and the programs write in place: copy.
        return jax.tree.map(lambda x: jnp.array(x, copy=True), tree)

    def _save(self, folder: Folder, state: RunState) -> None:
        """A checkpoint of this very state, unless there is one."""
        begun, iteration = time.monotonic(), int(np.max(state.iteration))
        if (iteration, self.length) == self.saved_at:
            return
        checkpoint.save(folder.checkpoints, state, self._manifest(state))
        self.saved, self.saved_at = time.monotonic(), (iteration, self.length)
        self.save_every = max(SAVE_EVERY, (self.saved - begun) / SAVE_SHARE)
        facts = {"iteration": iteration, **self.spent._asdict(), "save_seconds": self.saved - begun}
        folder.time({**facts, "speed": self.spent.used / self.spent.seconds if self.spent.chunks else None})
        self.spent = Spent()

    def _manifest(self, state: RunState) -> dict[str, Any]:
        return {
            "config_hash": self.run.hash, "iteration": int(np.max(state.iteration)), "used": int(np.min(state.used)),
            "mark": self.mark, "metrics_bytes": self.length, "score": self.score, "versions": versions(),
            "threads": threads(), "metrics": finite({name: x.tolist() for name, x in self.metrics.items()}),
        }  # fmt: skip

    def _result(self, state: RunState, *, interrupted: bool = False, stopped: str | None = None) -> Result:
        digest = checkpoint.digest({"agent": state.agent, "ledger": state.ledger})
        return Result(
            state.agent, self.program.behaviour(state), self.rows, state.ledger, self.program.agent, self.env,
            interrupted, digest, self.notices, stopped,
        )  # fmt: skip
