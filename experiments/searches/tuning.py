"""Interface to Ray Tune: its ASHA scheduler decides which trials stop. Trials and their state are stored by `Study`.

Tune's own state is never read: it writes into a folder that is deleted after the search, and neither its checkpoints
nor its restore are used, because they are pickles and not written atomically.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from prospect_rl.experiments.run.signals import listening
from prospect_rl.experiments.searches.study import Study, scores, worth
from prospect_rl.experiments.sweeps.child import Child, End
from prospect_rl.experiments.sweeps.sweep import CRASHES, Progress
from prospect_rl.experiments.sweeps.workers import worker_environment

PULSE = 1.0
"""Seconds after which a step returns without a new row; only then can Tune stop a trial."""
QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files beside our own
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a step without news reports nothing
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `Stop` ends a search
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # `Study` has them
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_THRESHOLD_S": "1000000",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


class Runner(tune.Trainable):
    """An actor that supervises a child process with a trial's run; a step reports at most one metrics row.

    The last row is reported when the run has finished. Errors are reported, not raised, because Tune would retry.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Start or resume the run."""
        self._trial = json.loads(config["trial"])
        self._child, self._end = Child(self._trial["environment"], self._trial["limit"]), None
        self._told, self._crashes = 0, 0
        self._child.start(self._trial["message"])

    def step(self) -> dict[str, Any]:
        """Return {row, score}, or {} if there is no new row; adds `done` at the end, and `error` for an error."""
        try:
            new = self._new()
            if not new and self._end is None:
                self._end = self._wait()
                new = self._new()
        except ValueError as error:
            return {"error": str(error), "done": True}
        if self._end and self._end.error is not None:
            return {"error": self._end.error, "done": True}
        row = {"row": self._told + 1, "score": new[0]} if new else {}
        self._told += len(new[:1])
        return row | ({"done": True} if self._end and len(new) <= 1 else {})

    def _new(self) -> list[float]:
        """Scores that have not been reported."""
        found = scores(Path(self._trial["message"]["out"]), self._trial["metric"], self._trial["seeds"])
        return found[self._told : None if self._end else self._trial["evals"] - 1]

    def _wait(self) -> End | None:
        end = self._child.wait(PULSE)
        if end is None or not end.crashed or self._crashes == CRASHES:
            return end
        self._crashes += 1
        self._child.start(self._trial["message"])
        return None

    def cleanup(self) -> None:
        """Let the child process save, and end it."""
        self._child.interrupt()
        self._child.close()


class Judge(ASHAScheduler):
    """ASHA over metrics rows; records its decisions in a study, which restores earlier ones."""

    def __init__(self, study: Study, tell: Callable[[], None]) -> None:
        search = study.search
        super().__init__(
            time_attr="row", metric="worth", mode="max", max_t=search.evals, grace_period=search.grace,
            reduction_factor=search.reduction,
        )  # fmt: skip
        self._study, self._tell = study, tell
        for number, row, value in study.history():
            known = SimpleNamespace(trial_id=f"trial-{number}")
            if row == 1:
                self.on_trial_add(None, known)  # type: ignore[arg-type]
            super().on_trial_result(None, known, {"row": row, "worth": value})  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[Any, ...]:
        return ASHAScheduler, ()  # Tune pickles its scheduler for a restore that is never used

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Continue or stop; a stop is written to disk before it takes effect."""
        number = number_of(trial)
        self._study.running.add(number)
        decision = super().on_trial_result(tune_controller, trial, self._with_worth(result))
        if decision == TrialScheduler.STOP:
            self._study.stop(number, result["row"])
        self._tell()
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Record the end of a trial, unless it was stopped by the scheduler."""
        super().on_trial_complete(tune_controller, trial, self._with_worth(result))
        if (number := number_of(trial)) not in self._study.stopped:
            self._study.end(number, result.get("error"))
        self._tell()

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Record that a trial's actor died too often."""
        self._study.end(number_of(trial), "its worker died again and again")

    def _with_worth(self, result: dict[str, Any]) -> dict[str, Any]:
        return result | {"worth": worth(self._study.search, result["score"])} if "score" in result else result


class Stop(tune.Stopper):
    """Stops all trials, which save, when a signal has arrived."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped

    def __reduce__(self) -> tuple[Any, ...]:
        return tune.Stopper, ()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stop a single trial because of its results."""
        return False

    def stop_all(self) -> bool:
        """Whether a signal has arrived."""
        return self._stopped()


def number_of(trial: Any) -> int:
    """The number of the trial that belongs to Tune's trial object."""
    return json.loads(trial.config["trial"])["number"]


def folder_of(trial: Any) -> str:
    """A short folder name: Tune's default contains the whole configuration."""
    return trial.trial_id


def run(
    study: Study, *, workers: int | None, nice: bool = False, limit: float | None = None,
    display: Callable[[Progress], None] | None = None, share: float = 1.0,
) -> None:  # fmt: skip
    """Run the trials that have not ended, `workers` at once (None: as many as the cluster has CPUs).

    share: of a GPU for each trial, if the search is for one. Ray must be connected. Raises
    KeyboardInterrupt after SIGINT or SIGTERM, once the trials have saved.
    """
    waiting, begun = [trial for trial in study.trials if not study.over(trial)], study.progress()

    def tell() -> None:
        if display:
            display(study.progress(begun))

    tell()
    if not waiting:
        return
    search, storage = study.search, study.folder / ".tune"
    needs = {"cpu": 1} | ({"gpu": share} if study.device == "gpu" else {})
    facts = {
        "limit": limit,
        "environment": worker_environment(study.device, share),
        "metric": search.metric,
        "seeds": search.seeds,
        "evals": search.evals,
    }
    each = [{"number": t.number, "message": {**t.job.message, "nice": nice}, **facts} for t in waiting]
    os.environ.update(QUIET)
    shutil.rmtree(storage, ignore_errors=True)
    try:
        with listening() as stopped:
            tuner = tune.Tuner(
                tune.with_resources(Runner, needs),
                param_space={"trial": tune.grid_search([json.dumps(one) for one in each])},
                tune_config=tune.TuneConfig(
                    scheduler=Judge(study, tell), max_concurrent_trials=workers, trial_dirname_creator=folder_of
                ),
                run_config=tune.RunConfig(
                    name="trials", storage_path=str(storage), verbose=0, stop=Stop(stopped),
                    failure_config=tune.FailureConfig(max_failures=CRASHES),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            )  # fmt: skip
            tuner.fit()
            if stopped():
                raise KeyboardInterrupt
    finally:
        shutil.rmtree(storage, ignore_errors=True)
