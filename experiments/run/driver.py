"""The driver: the host-side loop of a run.

    repeat   run a chunk: one call of a jitted program, a few seconds of iterations (`experiments.run.program`)
             at a mark of the budget: evaluate and append a metrics row
             save a checkpoint

Resuming is exact: a run with a folder that is killed at any moment and started again ends with the same bits.
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
from prospect_rl.experiments.run.hooks import Callback, CallbackList, Progress, Snapshot
from prospect_rl.experiments.run.lock import Lock
from prospect_rl.experiments.run.machine import make_folder, versions
from prospect_rl.experiments.run.program import INVALID, Program, RunState
from prospect_rl.experiments.run.result import Interrupted, Result
from prospect_rl.experiments.run.rows import row_of
from prospect_rl.experiments.run.signals import listening

LONGEST_CHUNK = 10.0
"""Longest chunk in seconds: signals are handled between chunks, and a kill loses the work since the last save."""
GROWTH = 4
"""A chunk has at most this many times the iterations of the previous one."""
SAVE_EVERY, SAVE_SHARE = 5.0, 0.1
"""Least seconds between checkpoints, and the share of a run's time that saving may take; the end is always saved."""
IDLE = 10_000
"""Number of iterations that use no budget after which a run is considered stuck."""
NOT_FINITE = (
    f"some policies had a return or a behaviour descriptor that is not finite (counted by {INVALID}): "
    "they are never stored, and not selected as long as there are enough others"
)


class Spent(NamedTuple):
    """Resources used by the chunks since the last checkpoint."""

    seconds: float = 0.0
    """Wall-clock time in seconds."""
    used: int = 0
    """Budget used by these chunks."""
    chunks: int = 0
    """Number of these chunks."""


def train_run(
    run: Run,
    *,
    out: Path | str | None = None,
    dataset: Dataset | None = None,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
    chunk_s: float = 5.0,
) -> Result:
    """Train the agent of a `Run`; `train` is the more convenient form.

    Args:
        run: The configuration.
        out: Folder of the run, where it resumes; None writes no files.
        dataset: A dataset object, for a run that does not name one.
        progress: Function that is called after every chunk with a dict, see `train`.
        callbacks: Observers of the run, see `experiments.run.hooks`.
        chunk_s: Target duration of a chunk in seconds, at most 10.

    Returns:
        The final agent state, the behaviour to deploy and the metrics rows. Raises as `train` does.

    Example:
        >>> result = train_run(Run(TD3(), "mujoco/hopper", seeds=(1,), budget=100_000), out="run")
    """
    run.check(dataset)
    with warnings.catch_warnings(record=True) as warned:
        env = run.make_env()
        for exam in run.exams:
            run.make_env(**exam.fields)  # report an invalid exam now, not after training
        agent = run.agent.bind(env.spec)
        if dataset is not None:
            datasets.check(dataset)
        elif run.dataset:
            dataset = run.dataset.make()  # already checked when it was built
        if dataset is not None:
            datasets.check_fits(dataset, env.spec)
        data = agent.prepare(dataset) if dataset is not None else None
    for one in warned if progress is None else ():  # otherwise they are shown as notices of the run
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    program = Program(agent, env, run.seeds, eval_episodes=run.eval_episodes, dataset=data)
    if any(exam.best for exam in run.exams):
        callbacks = [*callbacks, SaveBest(METRIC)]
    observers = CallbackList(callbacks)
    driver = _Driver(run, program, env, dataset, progress, observers, min(chunk_s, LONGEST_CHUNK))
    driver.notices += [str(one.message) for one in warned]
    if out is None:
        with closing(observers):
            return driver.go(None, lambda: False)
    folder = Folder(Path(out))
    make_folder(folder.path)
    with Lock(folder.path) as lock, listening() as stopped, closing(observers):
        driver.notices += folder.open(run, data_hashes(program.banks, dataset))

        def should_stop() -> bool:
            if not lock.held:
                raise ValueError(f"{folder.path} has been taken over by another process")
            return stopped()

        return driver.go(folder, should_stop)


class _Driver:
    """The loop of one run, and its position among the marks of the budget."""

    def __init__(
        self, run: Run, program: Program, env: Env, dataset: Dataset | None, progress: Progress | None,
        observers: CallbackList, chunk_s: float,
    ) -> None:  # fmt: skip
        self.run, self.program, self.env, self.chunk_s = run, program, env, chunk_s
        self.data = {f"data/{name}": x for name, x in datasets.count(dataset).items()} if dataset is not None else {}
        self.progress, self.observers = progress, observers
        self.marks = run.marks
        self.mark = 0
        self.metrics: dict[str, np.ndarray] = {}
        self.rows: list[dict[str, Any]] = []
        self.notices: list[str] = []
        self.length = 0
        self.score: float | None = None
        self.limits = dict.fromkeys(range(len(program.wants)), 1)
        self.save_every, self.saved, self.saved_at = SAVE_EVERY, time.monotonic(), (-1, 0)
        self.reported, self.spent = (0, 0), Spent()

    def go(self, folder: Folder | None, stopped: Callable[[], bool]) -> Result:
        """Run to the end, from the newest checkpoint or from the beginning."""
        state = self._resume(folder) if folder else None
        state = self.program.init() if state is None else state
        phase, idle = self.program.phase(state), 0
        if self.notices:  # there may be no chunk after which to report them
            self._report(state, int(np.min(state.used)))
        reason = self._run_callbacks(folder, state)
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
            self._report(state, used)
            if broken or idle > IDLE:
                raise ValueError(self._failure(state, broken))
            reason = self._run_callbacks(folder, state)
        result = self._result(state, stopped=reason if self.mark < self.run.evals else None)
        if folder and folder.result is None:
            self._save(folder, state)
            result = finish(self.run, self.program, state, folder, result, stopped)
        if folder and stopped():  # a signal during the last chunk: the caller must not start its next run
            raise Interrupted(result)
        return result

    # --- one chunk -----------------------------------------------------------------------------------

    def _chunk(self, state: RunState, phase: int) -> tuple[RunState, tuple[int, int, int, int, int]]:
        """(state, (iterations, budget used in this chunk, budget used, next phase, broken))."""
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

    def _report(self, state: RunState, used: int) -> None:
        if self.progress is None:
            return
        rows, notices = self.reported
        self.progress({
            "iteration": int(np.max(state.iteration)), "used": min(used, self.run.budget), "budget": self.run.budget,
            "unit": self.program.unit, "rows": self.rows[rows:], "notices": self.notices[notices:],
        })  # fmt: skip
        self.reported = (len(self.rows), len(self.notices))

    def _run_callbacks(self, folder: Folder | None, state: RunState) -> str | None:
        """Call the callbacks; returns the reason if one of them ends the run."""
        try:
            return self.observers.notify(self._snapshot(folder, state)) if self.observers.callbacks else None
        except Exception:
            if folder:
                self._save(folder, state)
            raise

    def _snapshot(self, folder: Folder | None, state: RunState) -> Snapshot:
        def behaviour() -> Tree:
            # Copy: the program may return arrays of the state, which the next chunk overwrites.
            first = 0 if self.program.batched else ...
            return jax.tree.map(lambda x: jnp.array(x[first], copy=True), self.program.behaviour(state))

        def save(where: Path, score: float | None) -> Path:
            return checkpoint.save(where, state, self._manifest(state) | {"score": score})

        return Snapshot(
            self.run, folder.path if folder else None, self.program.agent, self.env, int(np.max(state.iteration)),
            min(int(np.min(state.used)), self.run.budget), self.program.unit, self.rows, [], behaviour, save,
        )  # fmt: skip

    def _failure(self, state: RunState, broken: int) -> str:
        iteration = int(np.max(state.iteration))
        if not broken:
            return f"nothing was evaluated in the last {IDLE} iterations before iteration {iteration}"
        losses = {name: x for name, x in self.metrics.items() if name.startswith("learn/loss")}
        bad = [name for name, x in losses.items() if np.isnan(x).any()]
        return f"{', '.join(bad)} became NaN at iteration {iteration}: the run has stopped"

    # --- rows ----------------------------------------------------------------------------------------

    def _row(self, folder: Folder | None, state: RunState) -> RunState:
        """Evaluate at the mark that has been reached, and add a metrics row for every seed."""
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
            self._add_notices(self.program.agent.notices(row))
            if row.get(INVALID):
                self._add_notices([NOT_FINITE])
        scores = [row["eval/return"] for row in rows]
        self.score = None if None in scores else float(np.mean(scores))
        self.mark += 1
        self.rows += rows
        if folder:
            self.length = folder.append(rows)
        if (streams := state.streams) is None:
            return state
        return replace(state, streams=replace(streams, ended=jax.tree.map(jnp.zeros_like, streams.ended)))

    def _add_notices(self, notices: list[str]) -> None:
        self.notices += [text for text in notices if text not in self.notices]

    # --- files ---------------------------------------------------------------------------------------

    def _resume(self, folder: Folder) -> RunState | None:
        """The run state of the newest intact checkpoint; None in a new folder."""
        template = self.program.template()
        found = checkpoint.newest(folder.checkpoints, template, self.run.hash, self.notices.append)
        if found is None:
            if folder.result is not None:
                raise ValueError(f"{folder.path} contains a finished run whose checkpoints are missing")
            folder.truncate(0)
            return None
        tree, manifest = found
        self.length = manifest["metrics_bytes"]
        self.notices += folder.restore_rows(self.length)
        # None stands for NaN
        self.metrics = {name: np.asarray(x, np.float32) for name, x in manifest["metrics"].items()}
        self.rows, self.saved_at = folder.truncate(self.length), (manifest["iteration"], self.length)
        reached = self.rows[-1]["mark"] if self.rows else 0  # marks differ if the run is extended from a smaller budget
        self.mark = sum(mark <= reached for mark in self.marks)
        # Copy, because JAX may share memory with a NumPy array and the programs write in place.
        return jax.tree.map(lambda x: jnp.array(x, copy=True), tree)

    def _save(self, folder: Folder, state: RunState) -> None:
        """Save a checkpoint of the current state, unless it is already saved."""
        begun, iteration = time.monotonic(), int(np.max(state.iteration))
        if (iteration, self.length) == self.saved_at:
            return
        checkpoint.save(folder.checkpoints, state, self._manifest(state))
        self.saved, self.saved_at = time.monotonic(), (iteration, self.length)
        self.save_every = max(SAVE_EVERY, (self.saved - begun) / SAVE_SHARE)
        facts = {"iteration": iteration, **self.spent._asdict(), "save_seconds": self.saved - begun}
        folder.log_timing({**facts, "speed": self.spent.used / self.spent.seconds if self.spent.chunks else None})
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
