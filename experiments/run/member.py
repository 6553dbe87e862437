"""The state of one run on the host, alone or as one of several in a program: its rows, notices and files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.api import Agent, wants_of
from prospect_rl.envs.api import Dataset, Env, Tree
from prospect_rl.envs.data import datasets
from prospect_rl.envs.threads import threads
from prospect_rl.experiments.run import checkpoint
from prospect_rl.experiments.run.callbacks import SaveBest
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.durable import finite
from prospect_rl.experiments.run.exams import METRIC
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.run.hooks import Callback, CallbackList, Snapshot
from prospect_rl.experiments.run.machine import versions
from prospect_rl.experiments.run.program import INVALID, UNITS, RunState
from prospect_rl.experiments.run.result import Result
from prospect_rl.experiments.run.rows import row_of

NOT_FINITE = (
    f"some policies had a return or a behaviour descriptor that is not finite (counted by {INVALID}): "
    "they are never stored, and not selected as long as there are enough others"
)


class Member:
    """A run with its rows, notices and folder. A `state` is always this run's part of the program's state."""

    def __init__(
        self, run: Run, agent: Agent, env: Env, dataset: Dataset | None = None, callbacks: Sequence[Callback] = (),
        part: int | slice | None = None,
    ) -> None:  # fmt: skip
        """`part`: its rows of the program's leading axis; None if the program has one run. `agent` is bound."""
        self.run, self.agent, self.env, self.part = run, agent, env, part
        self.data = {f"data/{name}": x for name, x in datasets.count(dataset).items()} if dataset is not None else {}
        best = [SaveBest(METRIC)] if any(exam.best for exam in run.exams) else []
        self.callbacks = CallbackList([*callbacks, *best])
        self.unit = UNITS[type(wants_of(agent)[0])]
        self.folder: Folder | None = None
        self.rows: list[dict[str, Any]] = []
        self.notices: list[str] = []
        self.length = 0
        self.score: float | None = None
        self.saved_at = (-1, 0)
        self.failed: str | None = None
        """Why this run has failed while others continue; None if it has not."""
        self._reported = (0, 0)

    @property
    def files(self) -> Folder:
        """The folder of the run, which must have one."""
        assert self.folder
        return self.folder

    def own(self, tree: Tree) -> Tree:
        """This run's part of a tree of the program."""
        return tree if self.part is None else jax.tree.map(lambda x: x[self.part], tree)

    def news(self) -> tuple[list[dict[str, Any]], list[str]]:
        """(rows, notices) added since the last call."""
        (rows, notices), self._reported = self._reported, (len(self.rows), len(self.notices))
        return self.rows[rows:], self.notices[notices:]

    # --- rows ----------------------------------------------------------------------------------------

    def add(self, mark: int, facts: Tree, figures: dict[str, Any], ended: dict[str, Any], ledger: Tree) -> None:
        """Add a metrics row for every seed at a mark, and append them to the folder."""
        rows, several = [], len(self.run.seeds) > 1
        for s, seed in enumerate(self.run.seeds):
            host: Tree = (facts, figures, ended, ledger)
            one = jax.tree.map(lambda x, s=s: x[s], host) if several else host
            rows.append(finite(row_of(seed, mark, self.unit, *one) | self.data))
        if failed := sum(row.get("collect/failed", 0) for row in rows):
            self.notices.append(f"{failed} episodes were cut short by the simulator: {self.env.failure()}")
        for row in rows:
            self._add_notices(self.agent.notices(row))
            if row.get(INVALID):
                self._add_notices([NOT_FINITE])
        scores = [row["eval/return"] for row in rows]
        self.score = None if None in scores else float(np.mean(scores))
        self.rows += rows
        if self.folder:
            self.length = self.folder.append(rows)

    def _add_notices(self, notices: list[str]) -> None:
        self.notices += [text for text in notices if text not in self.notices]

    # --- files ---------------------------------------------------------------------------------------

    def resume(self, template: RunState, most: int | None = None) -> tuple[RunState, dict[str, Any]] | None:
        """(state, manifest) of the newest intact checkpoint of at most `most` iterations; None in a new folder.

        The caller copies the state, because JAX may share memory with a NumPy array and the programs write in place.
        """
        report = lambda text: self._add_notices([text])  # noqa: E731
        found = checkpoint.newest(self.files.checkpoints, template, self.run.hash, report, most=most)
        if found is None:
            if self.files.result is not None:
                raise ValueError(f"{self.files.path} contains a finished run whose checkpoints are missing")
            self.files.truncate(0)
        return found

    def go_on(self, manifest: dict[str, Any]) -> int:
        """Truncate the folder's rows to those of a checkpoint; returns the number of marks that are reached."""
        # First, because the newer manifests count rows that are removed now.
        checkpoint.forget(self.files.checkpoints, manifest["iteration"])
        self.length = manifest["metrics_bytes"]
        self.notices += self.files.restore_rows(self.length)
        self.rows, self.saved_at = self.files.truncate(self.length), (manifest["iteration"], self.length)
        reached = self.rows[-1]["mark"] if self.rows else 0  # marks differ if the run is extended from a smaller budget
        return sum(mark <= reached for mark in self.run.marks)

    def must_save(self, iteration: int) -> bool:
        """Whether this state has not been saved yet."""
        return self.folder is not None and (iteration, self.length) != self.saved_at

    def save(self, state: RunState, mark: int, metrics: dict[str, np.ndarray]) -> None:
        """Save a checkpoint of this state."""
        checkpoint.save(self.files.checkpoints, state, self._manifest(state, mark, metrics))
        self.saved_at = (int(np.max(state.iteration)), self.length)

    def _manifest(self, state: RunState, mark: int, metrics: dict[str, np.ndarray]) -> dict[str, Any]:
        return {
            "config_hash": self.run.hash, "iteration": int(np.max(state.iteration)), "used": int(np.min(state.used)),
            "mark": mark, "metrics_bytes": self.length, "score": self.score, "versions": versions(),
            "threads": threads(), "metrics": finite({name: x.tolist() for name, x in metrics.items()}),
        }  # fmt: skip

    # --- callbacks and results ------------------------------------------------------------------------

    def run_callbacks(
        self, state: RunState, mark: int, metrics: dict[str, np.ndarray], behaviour: Callable[[], Tree]
    ) -> str | None:
        """Call the callbacks; returns the reason if one ends the run. `behaviour` returns the policy to deploy."""

        def shipped() -> Tree:
            # Copy: the program may return arrays of the state, which the next chunk overwrites.
            first = 0 if len(self.run.seeds) > 1 else ...
            return jax.tree.map(lambda x: jnp.array(x[first], copy=True), behaviour())

        def save(where: Any, score: float | None) -> Any:
            return checkpoint.save(where, state, self._manifest(state, mark, metrics) | {"score": score})

        now = Snapshot(
            self.run, self.folder.path if self.folder else None, self.agent, self.env, int(np.max(state.iteration)),
            min(int(np.min(state.used)), self.run.budget), self.unit, self.rows, [], shipped, save,
        )  # fmt: skip
        return self.callbacks.notify(now)

    def result(self, state: RunState, behaviour: Tree, *, interrupted: bool, stopped: str | None) -> Result:
        """The result of the run so far."""
        digest = checkpoint.digest({"agent": state.agent, "ledger": state.ledger})
        return Result(
            state.agent, behaviour, self.rows, state.ledger, self.agent, self.env, interrupted, digest, self.notices,
            self.failed or stopped,
        )  # fmt: skip
