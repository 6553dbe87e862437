"""The driver: the host-side loop of a run.

    repeat   run a chunk: one call of a jitted program, a few seconds of iterations (`experiments.run.program`)
             at a mark of the budget: evaluate and append a metrics row
             save a checkpoint

Resuming is exact: a run with a folder that is killed at any moment and started again ends with the same bits. Several
runs that are one program (`experiments.run.together`) share this loop, each with its own rows and checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Dataset, Tree
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.finish import finish
from prospect_rl.experiments.run.hooks import Callback, Progress
from prospect_rl.experiments.run.member import Member
from prospect_rl.experiments.run.prepare import make, opened
from prospect_rl.experiments.run.program import INVALID, Program, RunState
from prospect_rl.experiments.run.result import Interrupted, Result

LONGEST_CHUNK = 10.0
"""Longest chunk in seconds: signals are handled between chunks, and a kill loses the work since the last save."""
GROWTH = 4
"""A chunk has at most this many times the iterations of the previous one."""
SAVE_EVERY, SAVE_SHARE = 5.0, 0.1
"""Least seconds between checkpoints, and the share of a run's time that saving may take; the end is always saved."""
IDLE = 100_000
"""Number of iterations that use no budget after which a run is considered stuck: the training of a model, a phase that
wants nothing, takes thousands at most."""


class Spent(NamedTuple):
    """Resources used by the chunks since the last checkpoint."""

    seconds: float = 0.0
    """Wall-clock time in seconds."""
    used: int = 0
    """Budget used, in its own units."""
    chunks: int = 0
    """Number of chunks that ran."""


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
    made = make(run, dataset, quiet=progress is not None)
    program = Program(made.agent, made.env, run.seeds, eval_episodes=run.eval_episodes, dataset=made.data)
    member = Member(run, made.agent, made.env, made.dataset, callbacks)
    driver = Driver(program, [member], progress, chunk_s)
    member.notices += made.warned
    with opened([member], None if out is None else [Path(out)], program, made.dataset) as stopped:
        return driver.go(stopped)[0]


class Driver:
    """Drives the runs of one program, which have the same marks: their state and progress."""

    def __init__(
        self, program: Program, members: Sequence[Member], progress: Progress | None, chunk_s: float,
        rows: int | None = None,
    ) -> None:  # fmt: skip
        """`rows`: stop, unfinished, after this many rows; None continues to the end."""
        self.program, self.members, self.progress = program, list(members), progress
        self.chunk_s = min(chunk_s, LONGEST_CHUNK)
        self.run = members[0].run
        """One of the runs: budget, marks and evaluations are the same for all."""
        self.until = self.run.evals if rows is None else min(rows, self.run.evals)
        self.marks, self.mark = self.run.marks, 0
        self.metrics: dict[str, np.ndarray] = {}
        self.limits = dict.fromkeys(range(len(program.wants)), 1)
        self.save_every, self.saved = SAVE_EVERY, time.monotonic()
        self.spent = Spent()

    @property
    def going(self) -> list[Member]:
        """The runs that have not failed."""
        return [member for member in self.members if member.failed is None]

    @property
    def in_folders(self) -> bool:
        """Whether the runs have folders; either all or none have."""
        return self.members[0].folder is not None

    def go(self, stopped: Callable[[], bool], most: int | None = None) -> list[Result]:
        """Run from the newest checkpoints, or from the start, to the end; returns the results of all runs.

        most: for several runs, the iterations of the newest checkpoint that all of them have (see `together`).
        """
        state = self._resume(most) if self.in_folders else None
        state = self.program.init() if state is None else state
        phase, idle = self.program.phase(state), 0
        if any(member.notices for member in self.members):  # there may be no chunk after which to report them
            self._report(int(np.max(state.iteration)), int(np.min(state.used)))
        self._mark_failed(state)
        reason = self._run_callbacks(state)
        if self.in_folders and self.mark < self.run.evals and reason is None:
            for member in self.members:
                member.files.reopen()
        while self.mark < self.until and reason is None and self.going:
            if stopped():
                self._save(state)
                raise Interrupted(*self._results(state, interrupted=True))
            state, (iterations, advanced, used, phase, broken) = self._chunk(state, phase)
            idle = 0 if advanced else idle + iterations
            for member in self.members:
                member.score = None
            self._mark_failed(state)
            while self.mark < self.until and used >= self.marks[self.mark] and not broken:
                state = self._row(state)
            if broken or time.monotonic() - self.saved >= self.save_every or self.mark == self.until:
                self._save(state)
            self._report(int(np.max(state.iteration)), used)
            if (broken and not self.program.several) or idle > IDLE:
                raise ValueError(self._failure(self.members[0], state, broken))
            reason = self._run_callbacks(state)
        return self._end(state, reason, stopped)

    def _end(self, state: RunState, reason: str | None, stopped: Callable[[], bool]) -> list[Result]:
        """The results; also writes the final files of the runs that have ended."""
        results = self._results(state, stopped=reason if self.mark < self.run.evals else None)
        if self.in_folders and (self.mark == self.run.evals or reason is not None):
            for i, member in enumerate(self.members):
                if member.failed is None and member.files.result is None:
                    self._save(state)
                    results[i] = self._finish(member, state, results[i], stopped)
        if self.in_folders and stopped():  # in the last chunk: a caller with more runs must not start the next one
            raise Interrupted(*results)
        return results

    def _finish(self, member: Member, state: RunState, result: Result, stopped: Callable[[], bool]) -> Result:
        program = self.program
        if program.several:  # exams and reports are of one run
            run = member.run
            program = Program(
                member.agent, member.env, run.seeds, eval_episodes=run.eval_episodes, dataset=self.program.world[1]
            )
            state = jax.tree.map(jnp.asarray, member.own(state))
        return finish(member.run, program, state, member.files, result, stopped)

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

    def _report(self, iteration: int, used: int) -> None:
        if self.progress is None:
            return
        news = [member.news() for member in self.members]
        self.progress({
            "iteration": iteration, "used": min(used, self.run.budget), "budget": self.run.budget,
            "unit": self.program.unit, "rows": [row for rows, _ in news for row in rows],
            "notices": list(dict.fromkeys(text for _, notices in news for text in notices)),
        })  # fmt: skip

    def _run_callbacks(self, state: RunState) -> str | None:
        """Call the callbacks; returns the reason if one of them ends the run (never for several runs)."""
        reasons = []
        for member in self.going:
            if not member.callbacks.callbacks:
                continue
            own, metrics = member.own(state), member.own(self.metrics)
            try:
                behaviour = lambda member=member: member.own(self.program.behaviour(state))  # noqa: E731
                reasons.append(member.run_callbacks(own, self.mark, metrics, behaviour))
            except Exception:
                if self.in_folders:
                    self._save(state)
                raise
        return next((reason for reason in reasons if reason), None)

    def _mark_failed(self, state: RunState) -> None:
        """In a program of several runs, mark and save those with a NaN loss as failed, so that they are not rerun."""
        if not self.program.several:
            return
        for member in self.going:
            if np.any(np.asarray(member.own(state.broken))):
                member.failed = self._failure(member, state, 1)
                if member.must_save(int(np.max(state.iteration))):
                    member.save(member.own(jax.device_get(state)), self.mark, member.own(self.metrics))

    def _failure(self, member: Member, state: RunState, broken: int) -> str:
        iteration = int(np.max(state.iteration))
        if not broken:
            return f"nothing was evaluated in the last {IDLE} iterations before iteration {iteration}"
        losses = {name: member.own(x) for name, x in self.metrics.items() if name.startswith("learn/loss")}
        bad = [name for name, x in losses.items() if np.isnan(x).any()]
        return f"{', '.join(bad)} became NaN at iteration {iteration}: the run has stopped"

    # --- rows ----------------------------------------------------------------------------------------

    def _row(self, state: RunState) -> RunState:
        """Evaluate at the mark that has been reached, and add a metrics row for every seed."""
        figures = {**self.program.evaluate(state, self.mark), **dict(sorted(self.metrics.items()))}
        facts = {"iteration": state.iteration, "used": state.used}
        ended = state.streams.ended if state.streams is not None else {}
        host: Tree = jax.device_get((facts, figures, ended, state.ledger))
        for member in self.going:
            member.add(self.marks[self.mark], *member.own(host))
        self.mark += 1
        if (streams := state.streams) is None:
            return state
        return replace(state, streams=replace(streams, ended=jax.tree.map(jnp.zeros_like, streams.ended)))

    # --- files ---------------------------------------------------------------------------------------

    def _resume(self, most: int | None) -> RunState | None:
        """The state of the newest intact checkpoints of one iteration; None in new folders."""
        template = self.program.template()
        own = jax.eval_shape(self.members[0].own, template)
        found = [member.resume(own, most) for member in self.members]
        there = [pair for pair in found if pair is not None]
        while len({manifest["iteration"] for _, manifest in there}) > 1:
            most = min(manifest["iteration"] for _, manifest in there)
            there = [pair for member in self.members if (pair := member.resume(own, most)) is not None]
        if not there:
            return None
        if len(there) < len(self.members):
            raise ValueError("some of the runs have no checkpoint where the others have one: run them one by one")
        places = {member.go_on(manifest) for member, (_, manifest) in zip(self.members, there, strict=True)}
        if len(places) > 1:
            raise ValueError("the runs have rows at different marks: run them one by one")
        self.mark = places.pop()
        # None stands for NaN
        read = lambda facts: {name: np.asarray(x, np.float32) for name, x in facts["metrics"].items()}  # noqa: E731
        self.metrics = self._joined([read(manifest) for _, manifest in there])
        # Copy, because JAX may share memory with a NumPy array and the programs write in place.
        return jax.tree.map(lambda x: jnp.array(x, copy=True), self._joined([tree for tree, _ in there]))

    def _joined(self, parts: list[Tree]) -> Tree:
        """Join the parts of all runs; the inverse of `Member.own`."""
        if not self.program.several:
            return parts[0]
        join = np.stack if isinstance(self.members[0].part, int) else np.concatenate
        return jax.tree.map(lambda *x: join(x), *parts)

    def _save(self, state: RunState) -> None:
        """Save a checkpoint of the current state of every run that continues, unless it is already saved."""
        iteration = int(np.max(state.iteration))
        due = [member for member in self.going if member.must_save(iteration)]
        if not due:
            return
        begun, host = time.monotonic(), jax.device_get(state) if self.program.several else state
        for member in due:
            member.save(member.own(host), self.mark, member.own(self.metrics))
        self.saved = time.monotonic()
        self.save_every = max(SAVE_EVERY, (self.saved - begun) / SAVE_SHARE)
        share = len(due)  # the time of the program is divided equally among its runs
        spent = self.spent._replace(seconds=self.spent.seconds / share)
        facts = {"iteration": iteration, **spent._asdict(), "save_seconds": (self.saved - begun) / share}
        for member in due:
            member.files.log_timing({**facts, "speed": spent.used / spent.seconds if spent.chunks else None})
        self.spent = Spent()

    def _results(self, state: RunState, *, interrupted: bool = False, stopped: str | None = None) -> list[Result]:
        behaviour, own = self.program.behaviour(state), lambda tree: tree
        if self.program.several:
            state, behaviour, own = *jax.device_get((state, behaviour)), lambda tree: jax.tree.map(jnp.asarray, tree)
        return [
            m.result(own(m.own(state)), own(m.own(behaviour)), interrupted=interrupted, stopped=stopped)
            for m in self.members
        ]  # fmt: skip
