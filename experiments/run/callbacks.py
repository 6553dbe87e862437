"""General callbacks: early stopping and keeping the best checkpoint.

    train(agent, "maze/hard", budget=100_000, out="run", callbacks=[EarlyStop("eval/return", threshold=0.9), Video(5)])

They decide from the metrics rows and the files in the run's folder, so that one object can be used for several runs,
and a run that was killed and resumed ends with the same files. See also `experiments.run.video` for videos and
`experiments.run.tracking` for TensorBoard and W&B.
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
from prospect_rl.experiments.run.hooks import Callback, Snapshot

Better = Literal["higher", "lower"]


def values(rows: Sequence[dict[str, Any]], metric: str) -> list[tuple[int, float]]:
    """(mark, mean of a metric over seeds) at each mark, in order; NaN if a seed has no value.

    Raises ValueError for a metric that a row does not have.
    """
    marks: dict[int, list[float]] = {}
    for row in rows:
        if metric not in row:
            raise unknown("metric", metric, (name for name in row if "/" in name))
        marks.setdefault(row["mark"], []).append(math.nan if row[metric] is None else row[metric])
    return [(mark, math.fsum(found) / len(found)) for mark, found in marks.items()]


def run_folder(now: Snapshot) -> Path:
    """The run's folder. Raises ValueError for a run without a folder."""
    if now.folder is None:
        raise ValueError("it needs a run with a folder (out=...)")
    return now.folder


def _check_better(better: str) -> None:
    if better not in ("higher", "lower"):
        raise ValueError(f"better must be 'higher' or 'lower', not {better!r}")


@dataclass(frozen=True)
class EarlyStop(Callback):
    """End a run once a metric has reached a threshold, or has stopped improving.

    The run has then ended but is not finished: its result.json states this and the reason, its last checkpoint is its
    state at that point, and reports ignore it. The same call without the callback continues to the full budget, bit
    for bit as if the run had never ended early.

    Args:
        metric: Name in every metrics row; the mean over seeds is used.
        threshold: Value to reach, in the metric's unit.
        patience: Number of consecutive rows without improvement, at least 1.
        better: Whether higher or lower values are better.

    Raises:
        ValueError: Not exactly one of `threshold` and `patience` is given, or a value is out of range; during the run,
            if its rows do not have the metric.

    Example:
        >>> stop = EarlyStop("eval/return", threshold=0.9)
        >>> train("serene", "maze/hard", budget=100_000, out="run", callbacks=[stop])
    """

    metric: str
    """A name in every metrics row, e.g. `eval/return`; the mean over seeds is used."""
    threshold: float | None = None
    """End at the first row where the metric is at least this value (at most, if lower is better)."""
    patience: int | None = None
    """End after this many consecutive rows that did not improve on the best earlier value."""
    better: Better = "higher"
    """Whether higher or lower values of the metric are better."""

    def __post_init__(self) -> None:
        if (self.threshold is None) == (self.patience is None):
            raise ValueError("EarlyStop needs either a threshold or a patience")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be a finite number, not {self.threshold}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1, not {self.patience}")
        _check_better(self.better)

    def watch(self, now: Snapshot) -> str | None:
        """Return the reason to stop, at and after the first row that meets the criterion."""
        sign, best, since = 1 if self.better == "higher" else -1, -math.inf, 0
        for mark, value in values(now.rows, self.metric):
            if self.threshold is not None and sign * value >= sign * self.threshold:
                return f"{self.metric} reached {value:.6g} at mark {mark}"
            best, since = (sign * value, 0) if sign * value > best else (best, since + 1)
            if self.patience is not None and since >= self.patience:
                return f"{self.metric} has not improved in {since} rows up to mark {mark}"
        return None


def parse_stop(word: str) -> EarlyStop:
    """Parse `METRIC>=VALUE` or `METRIC<=VALUE` from the command line. Raises ValueError for other text."""
    found = re.fullmatch(r"(\S+?)\s*([<>])=\s*([-+.\deE]+)", word.strip())
    if found is None:
        raise ValueError(f"must be METRIC>=VALUE or METRIC<=VALUE, not {word!r}")
    return EarlyStop(found[1], float(found[3]), better="higher" if found[2] == ">" else "lower")


@dataclass(frozen=True)
class SaveBest(Callback):
    """Keep a checkpoint of the state with the best value of a metric, under `best/<metric>/` in the run's folder.

    The score in its manifest is the metric (negated if lower is better). The previous best checkpoint is kept too. Of
    equal values the first is kept. `experiments.run.reopen.shipped` reads the policy from such a checkpoint.

    Args:
        metric: Name in every metrics row; the mean over seeds is used.
        better: Whether higher or lower values are better.

    Raises:
        ValueError: `better` is neither "higher" nor "lower"; during the run, if it has no folder or no such metric.

    Example:
        >>> train("td3", "mujoco/hopper", budget=100_000, out="run", callbacks=[SaveBest("eval/return")])
    """

    metric: str = "eval/return"
    """A name in every metrics row; the mean over seeds is used."""
    better: Better = "higher"
    """Whether higher or lower values of the metric are better."""

    def __post_init__(self) -> None:
        _check_better(self.better)

    def watch(self, now: Snapshot) -> None:
        """Save the current state if its row has the best value so far."""
        folder = best_folder(run_folder(now), self.metric)
        if not now.at_row:
            return
        score = values(now.rows, self.metric)[-1][1] * (1 if self.better == "higher" else -1)
        kept = [best for path in checkpoint.steps(folder) if (best := checkpoint.score_of(path)) is not None]
        if score > max(kept, default=-math.inf):
            now.save(folder, score)


def best_folder(run: Path, metric: str = "eval/return") -> Path:
    """The folder in which `SaveBest` keeps its checkpoints, inside a run's folder."""
    return run / "best" / metric.replace("/", "-")
