"""A hyper-parameter search that an experiment declares: its trials and their state on disk.

    $PROSPECT_RUNS/<experiment>/search/
        search.json                         the declaration; a folder with a different one is rejected
        trial-007-<hash>/seed-1000/         an ordinary run with its checkpoints
        stopped.json                        trial -> the row at which it was stopped permanently
        best.json, <experiment>_best.py     the best trial, see `experiments.searches.winner`

A search is resumed from these files alone: the rows of finished and stopped trials are replayed to the scheduler,
and the other trials continue from their checkpoints. `experiments.searches.tuning` is the interface to Ray Tune.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prospect_rl.experiments.api import GPU, Experiment, seeds_name
from prospect_rl.experiments.reports.records import value_of
from prospect_rl.experiments.run import durable
from prospect_rl.experiments.search_space import Search
from prospect_rl.experiments.sweeps.job import Job, Outcome, cell, make_job, on, read_lines
from prospect_rl.experiments.sweeps.sweep import Progress

if TYPE_CHECKING:
    from prospect_rl.experiments.run.config import Run

FIRST_SEED = 1000
"""First seed of trials. Tiers use seeds from 0 on, so that the best trial is compared on seeds it has not used."""
WORST = -1e30
"""Value of a missing score; finite, because the scheduler computes percentiles."""


@dataclass(frozen=True)
class Trial:
    """One draw from the search space, and its run."""

    number: int
    """Number of the trial, from 0."""
    settings: Mapping[str, Any]
    """Field -> value, for fields that differ from the base agent; empty for trial 0."""
    job: Job
    """The job of the trial's run."""
    run: Run
    """The run of the trial."""

    def scores(self, search: Search) -> list[float]:
        """The mean of the metric at each mark that all seeds have reached."""
        return scores(self.job.out, search.metric, len(self.job.seeds))


def scores(out: Path, metric: str, seeds: int) -> list[float]:
    """Mean of a metric over a run's seeds, at each mark that all of them have reached; NaN if a seed has no value.

    Raises ValueError if the rows do not have the metric.
    """
    marks: dict[int, list[float]] = {}
    for row in read_lines(out / "metrics.jsonl"):
        if metric not in row:
            raise ValueError(f"its rows have no {metric!r}; they have {', '.join(n for n in row if '/' in n)}")
        marks.setdefault(row["mark"], []).append(float(value_of(metric, row[metric])))
    return [float(np.mean(values)) for _, values in sorted(marks.items()) if len(values) == seeds]


def worth(search: Search, score: float) -> float:
    """A score for comparison: higher is better, whatever direction the search has."""
    return WORST if math.isnan(score) else score if search.better == "higher" else -score


class Study:
    """A search and its folder. Only to be used while holding the folder's `Lock`."""

    def __init__(self, experiment: Experiment, folder: Path, trials: int | None = None, device: str = "cpu") -> None:
        """`trials`: number of trials, by default as declared. Raises ValueError if a trial's settings are invalid.

        device: kind of device of all trials; "auto" for the one that the agent is faster on.
        """
        from prospect_rl.experiments.run.choice import chosen

        if experiment.search is None:
            raise ValueError(f"{experiment.name} declares no search")
        self.experiment, self.search, self.folder = experiment, experiment.search, folder.resolve()
        tier = experiment.trial({})
        asked = GPU if self.search.tier == GPU else device
        self.device = chosen(asked, tier.agents[self.search.label], self.search.env, self.search.seeds)
        base = cell(tier, self.search.label, self.search.env, self._seeds, self.device)
        self._base, self._spec = base, base.make_env().spec
        self.trials = [self._trial(number) for number in range(trials or self.search.trials)]
        self.stopped: dict[int, int] = {}
        self.failed: dict[int, str] = {}
        self.running: set[int] = set()

    @property
    def _seeds(self) -> tuple[int, ...]:
        return tuple(range(FIRST_SEED, FIRST_SEED + self.search.seeds))

    def _trial(self, number: int) -> Trial:
        search, settings = self.search, self.search.draw(number)
        try:
            run = cell(self.experiment.trial(settings), search.label, search.env, self._seeds, self.device)
            run.check(None)
            run.agent.bind(self._spec)
        except ValueError as error:
            raise ValueError(f"trial {number} ({shown(settings)}) cannot be: {error}") from None
        payload = on({
            "experiment": self.experiment.reference, "trial": settings, "label": search.label, "env": search.env,
            "seeds": list(self._seeds),
        }, self.device)  # fmt: skip
        out = self.folder / f"trial-{number:03}-{run.hash[:8]}" / seeds_name(self._seeds)
        return Trial(number, settings, replace(make_job(payload, out, run), label=f"trial {number}"), run)

    def open(self) -> None:
        """Write the declaration, or compare it with the existing one, and read which trials were stopped.

        Raises ValueError, listing every differing key, if the folder belongs to another search.
        """
        told = durable.fields_of(self.search, leave_out=("trials", "tier", "env_fields"))  # these are in the base
        declared = {"base": self._base.config(), **told}
        path = self.folder / "search.json"
        if not path.exists():
            durable.write(path, durable.dumps(declared, indent=1).encode())
        if changed := durable.differences(durable.read_object(path), declared):
            raise ValueError(
                f"{self.folder} holds another search: {', '.join(changed)}; move the folder away to start again"
            )
        path = self.folder / "stopped.json"
        if path.exists():
            self.stopped = {int(number): row for number, row in durable.read_object(path).items()}

    # --- decisions of the scheduler ----------------------------------------------------------------------

    def stop(self, number: int, row: int) -> None:
        """Record on disk that a trial was stopped at a row, counted from 1."""
        self.stopped[number] = row
        facts = {str(n): r for n, r in sorted(self.stopped.items())}
        durable.write(self.folder / "stopped.json", durable.dumps(facts, indent=1).encode())
        self.running.discard(number)

    def end(self, number: int, error: str | None) -> None:
        """Record that a trial ended, or failed with an error."""
        self.running.discard(number)
        if error is not None:
            self.failed[number] = error

    # --- progress ----------------------------------------------------------------------------------------

    def over(self, trial: Trial) -> bool:
        """Whether a trial has finished or was stopped, so that it never runs again."""
        return trial.number in self.stopped or trial.job.finished()

    def history(self) -> Iterator[tuple[int, int, float]]:
        """(trial, row, worth) of all ended trials, row by row, to restore the state of the scheduler."""
        told = []
        for trial in filter(self.over, self.trials):
            rows = trial.scores(self.search)[: self.stopped.get(trial.number)]
            told += [(row, trial.number, worth(self.search, score)) for row, score in enumerate(rows, 1)]
        return ((number, row, value) for row, number, value in sorted(told))

    def last(self, trial: Trial) -> tuple[int, float]:
        """(number of rows, last score) of a trial; NaN if it has none."""
        found = trial.scores(self.search)[: self.stopped.get(trial.number)]
        return len(found), found[-1] if found else math.nan

    def state(self, trial: Trial) -> str:
        """The state of a trial: stopped, failed, finished or unfinished."""
        if trial.number in self.stopped:
            return "stopped"
        return "failed" if trial.number in self.failed else "finished" if trial.job.finished() else "unfinished"

    def best(self) -> Trial | None:
        """The finished trial with the best last score; of equal ones the first."""
        ended = [(trial, self.last(trial)[1]) for trial in self.trials if self.state(trial) == "finished"]
        ended = [(trial, score) for trial, score in ended if not math.isnan(score)]
        return max(ended, key=lambda pair: (worth(self.search, pair[1]), -pair[0].number))[0] if ended else None

    def progress(self, begun: Progress | None = None) -> Progress:
        """The progress for a display; `begun` is the first progress of this call."""
        ended = [trial.job for trial in self.trials if self.over(trial) and trial.number not in self.failed]
        failed = [(trial.job, self.failed[trial.number]) for trial in self.trials if trial.number in self.failed]
        running = tuple(trial.job for trial in self.trials if trial.number in self.running)
        before = begun.outcome.skipped if begun else ended
        outcome = Outcome(before, [job for job in ended if job not in before], failed)
        now = Progress(len(self.trials), outcome, running, len(self.trials) - len(ended) - len(failed) - len(running))
        return replace(now, started=begun.started) if begun else now


def shown(settings: Mapping[str, Any]) -> str:
    """Settings as a short text."""
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "the agent as it is"
