"""Callbacks that most runs can use: end early, keep the best checkpoint, film the agent as it learns.

    train(agent, "maze/hard", budget=100_000, out="run", callbacks=[EarlyStop("eval/return", threshold=0.9), Video(5)])

All decide by the rows of metrics and by the files that they find, so one object may serve several runs, and a run
that was killed ends with the files of one that was not. Writers for TensorBoard and W&B: `experiments.run.tracking`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.run import checkpoint
from prospect_rl.experiments.run.hooks import Callback, Moment

Better = Literal["higher", "lower"]


def values(rows: Sequence[dict[str, Any]], metric: str) -> list[tuple[int, float]]:
    """(mark, mean of a metric over the seeds) at each mark, in order; NaN where one of them has no number.

    Raises ValueError for a metric that a row does not have.
    """
    marks: dict[int, list[float]] = {}
    for row in rows:
        if metric not in row:
            raise unknown("metric", metric, (name for name in row if "/" in name))
        marks.setdefault(row["mark"], []).append(math.nan if row[metric] is None else row[metric])
    return [(mark, math.fsum(found) / len(found)) for mark, found in marks.items()]


def home(now: Moment) -> Path:
    """The run's folder. Raises ValueError for a run that has none."""
    if now.folder is None:
        raise ValueError("it needs a run with a folder (out=...)")
    return now.folder


def _check_better(better: str) -> None:
    if better not in ("higher", "lower"):
        raise ValueError(f"better must be 'higher' or 'lower', not {better!r}")


@dataclass(frozen=True)
class EarlyStop(Callback):
    """End a run once a metric has reached a threshold, or has not improved for a while: give one of the two.

    The run has then ended but is not finished: its result.json says so and why, its last checkpoint is the state in
    which it ended, and it counts in no report. Without the callback it goes on from there to its full budget, with the
    bits of a run that never ended early.
    """

    metric: str
    """A name in every row of metrics, e.g. `eval/return`; over several seeds their mean counts."""
    threshold: float | None = None
    """End at the first row at which the metric is at least this (at most, where lower is better)."""
    patience: int | None = None
    """End after this many rows in a row that were no better than the best before them."""
    better: Better = "higher"

    def __post_init__(self) -> None:
        if (self.threshold is None) == (self.patience is None):
            raise ValueError("EarlyStop needs either a threshold or a patience")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be a finite number, not {self.threshold}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1, not {self.patience}")
        _check_better(self.better)

    def watch(self, now: Moment) -> str | None:
        """The reason, at and after the first row that gives one."""
        sign, best, since = 1 if self.better == "higher" else -1, -math.inf, 0
        for mark, value in values(now.rows, self.metric):
            if self.threshold is not None and sign * value >= sign * self.threshold:
                return f"{self.metric} reached {value:.6g} at mark {mark}"
            best, since = (sign * value, 0) if sign * value > best else (best, since + 1)
            if self.patience is not None and since >= self.patience:
                return f"{self.metric} has not improved in {since} rows up to mark {mark}"
        return None


def parse_stop(word: str) -> EarlyStop:
    """`METRIC>=VALUE` or `METRIC<=VALUE` from the command line. Raises ValueError for other words."""
    found = re.fullmatch(r"(\S+?)\s*([<>])=\s*([-+.\deE]+)", word.strip())
    if found is None:
        raise ValueError(f"must be METRIC>=VALUE or METRIC<=VALUE, not {word!r}")
    return EarlyStop(found[1], float(found[3]), better="higher" if found[2] == ">" else "lower")


@dataclass(frozen=True)
class SaveBest(Callback):
    """Keep the whole state in which a metric was best: a checkpoint under `best/<metric>/` in the run's folder.

    Its score in the manifest is the metric (negative where lower is better); the second best is kept beside it. Of
    equals the first stays. `experiments.run.reopen.shipped` reads from it what the agent would ship.
    """

    metric: str = "eval/return"
    """A name in every row of metrics; over several seeds their mean counts."""
    better: Better = "higher"

    def __post_init__(self) -> None:
        _check_better(self.better)

    def watch(self, now: Moment) -> None:
        """Save the state that the last row speaks of, if none was better."""
        folder = best_folder(home(now), self.metric)
        if not now.at_row:
            return
        score = values(now.rows, self.metric)[-1][1] * (1 if self.better == "higher" else -1)
        kept = [best for path in checkpoint.steps(folder) if (best := checkpoint.score_of(path)) is not None]
        if score > max(kept, default=-math.inf):
            now.save(folder, score)


def best_folder(run: Path, metric: str = "eval/return") -> Path:
    """Where `SaveBest` keeps its checkpoints, in a run's folder."""
    return run / "best" / metric.replace("/", "-")
