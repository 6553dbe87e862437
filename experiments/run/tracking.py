"""Runs on other people's dashboards: the rows of metrics.jsonl as TensorBoard events or as a W&B run.

Both are callbacks (`experiments.run.hooks`) and copies: metrics.jsonl stays the truth. A process that resumes a run
writes the rows from before it too, so that what the last process leaves is the whole run, each row once. The
horizontal axis is the budget used. The extra `track` installs the packages.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prospect_rl.experiments.run.callbacks import home
from prospect_rl.experiments.run.hooks import Callback, Moment

WHERE = ("seed", "mark", "unit", "iteration", "used")
"""What says where a row stands; the other names are figures."""


def figures(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The figures of a row; those that are not finite have no place on a dashboard."""
    named = {f"{prefix}{name}": x for name, x in row.items() if name not in WHERE and x is not None}
    return {name: float(x) for name, x in named.items() if math.isfinite(x)}


def by_step(now: Moment) -> dict[int, dict[str, float]]:
    """The fresh rows as budget used -> figures; those of several seeds carry `seed-3/` before their names."""
    steps: dict[int, dict[str, float]] = {}
    for row in now.fresh:
        prefix = f"seed-{row['seed']}/" if len(now.run.seeds) > 1 else ""
        steps.setdefault(row["used"], {}).update(figures(row, prefix))
    return steps


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(f'{name} is not installed; to get it: pip install "prospect-rl[track]"') from None


@dataclass
class TensorBoard(Callback):
    """Write the rows as TensorBoard events.

    Raises ValueError where tensorboardX is missing.
    """

    folder: Path | None = None
    """Default: `tensorboard` in the run's folder."""
    _writer: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _package("tensorboardX")

    def watch(self, now: Moment) -> None:
        """Add the fresh rows."""
        if self._writer is None:
            # What an earlier process wrote is hidden from its first step on, for all of it comes again.
            folder = self.folder or home(now) / "tensorboard"
            # Files are named by the second: without a number, a run resumed at once would write over what it wrote.
            number = len(list(folder.glob("events.*")))
            self._writer = _package("tensorboardX").SummaryWriter(
                str(folder), purge_step=0, filename_suffix=f".{number}"
            )
        for step, named in by_step(now).items():
            for name, value in named.items():
                self._writer.add_scalar(name, value, step)
        if now.fresh:
            self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


@dataclass
class WandB(Callback):
    """Write the rows as a run of Weights & Biases, named after the run's hash and grouped by it.

    Each process that works on a run makes a whole W&B run of its own: the newest is complete. Raises ValueError
    where wandb is missing.
    """

    project: str = "prospect"
    mode: Literal["offline", "online"] = "offline"
    """`offline` writes a folder that `wandb sync` can send later; `online` needs the network and a login."""
    folder: Path | None = None
    """Where W&B makes its folder `wandb`. Default: the run's folder."""
    _run: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.mode not in ("offline", "online"):
            raise ValueError(f"mode must be 'offline' or 'online', not {self.mode!r}")
        _package("wandb")

    def watch(self, now: Moment) -> None:
        """Add the fresh rows."""
        if self._run is None:
            self._run = self._open(now)
        for step, named in by_step(now).items():
            self._run.log(named, step=step)

    def _open(self, now: Moment) -> Any:
        wandb = _package("wandb")
        config = now.run.config()
        quiet = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True)
        return wandb.init(
            project=self.project, mode=self.mode, dir=str(self.folder or home(now)), config=config,
            name=f"{config['agent']['name']} {now.env.spec.id} {now.run.hash}", group=now.run.hash, settings=quiet,
        )  # fmt: skip

    def close(self) -> None:
        """Finish the W&B run."""
        if self._run is not None:
            self._run.finish()
            self._run = None


TRACKERS: dict[str, Callable[[], Callback]] = {"tensorboard": TensorBoard, "wandb": WandB}
"""Name on the command line -> what it makes."""
