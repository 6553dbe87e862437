"""Experiment tracking: callbacks that write the metrics rows to TensorBoard or Weights & Biases.

They write copies: metrics.jsonl remains authoritative. A process that resumes a run also writes the earlier rows, so
that the log of the last process contains the whole run, each row once. The horizontal axis is the budget used. The
packages are installed by the extra `track`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from prospect_rl.experiments.run.callbacks import run_folder
from prospect_rl.experiments.run.hooks import Callback, Snapshot

WHERE = ("seed", "mark", "unit", "iteration", "used")
"""Names that give a row's position in the run; all other names are metrics."""


def figures(row: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The metrics of a row without those that are not finite."""
    named = {f"{prefix}{name}": x for name, x in row.items() if name not in WHERE and x is not None}
    return {name: float(x) for name, x in named.items() if math.isfinite(x)}


def by_step(now: Snapshot) -> dict[int, dict[str, float]]:
    """The new rows as budget used -> metrics; with several seeds, names are prefixed by e.g. `seed-3/`."""
    steps: dict[int, dict[str, float]] = {}
    for row in now.new_rows:
        prefix = f"seed-{row['seed']}/" if len(now.run.seeds) > 1 else ""
        steps.setdefault(row["used"], {}).update(figures(row, prefix))
    return steps


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(f'{name} is not installed; install it with: pip install "prospect-rl[track]"') from None


@dataclass
class TensorBoard(Callback):
    """Write the metrics rows as TensorBoard events.

    Args:
        folder: Folder of the event files; by default `tensorboard` in the run's folder.

    Raises:
        ValueError: tensorboardX is not installed; during the run, if neither it nor the callback has a folder.

    Example:
        >>> train("td3", "mujoco/hopper", budget=100_000, out="run", callbacks=[TensorBoard()])
    """

    folder: Path | None = None
    """Folder of the event files. Default: `tensorboard` in the run's folder."""
    _writer: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _package("tensorboardX")

    def watch(self, now: Snapshot) -> None:
        """Write the new rows."""
        if self._writer is None:
            # purge_step hides the events of an earlier process, all of which are written again.
            folder = self.folder or run_folder(now) / "tensorboard"
            # Files are named by the second: without a number, a run resumed at once would overwrite its earlier file.
            number = len(list(folder.glob("events.*")))
            self._writer = _package("tensorboardX").SummaryWriter(
                str(folder), purge_step=0, filename_suffix=f".{number}"
            )
        for step, named in by_step(now).items():
            for name, value in named.items():
                self._writer.add_scalar(name, value, step)
        if now.new_rows:
            self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


@dataclass
class WandB(Callback):
    """Write the metrics rows to a Weights & Biases run, named after the run's hash and grouped by it.

    Each process that works on a run creates a new W&B run with all rows: the newest one is complete.

    Args:
        project: Name of the W&B project.
        mode: "offline" or "online".
        folder: Folder that holds W&B's own folder `wandb`; by default the run's folder.

    Raises:
        ValueError: wandb is not installed, or the mode is unknown.

    Example:
        >>> train("td3", "mujoco/hopper", budget=100_000, out="run", callbacks=[WandB(project="mine")])
    """

    project: str = "prospect"
    """Name of the Weights & Biases project."""
    mode: Literal["offline", "online"] = "offline"
    """`offline` writes a folder that `wandb sync` can upload later; `online` needs network access and a login."""
    folder: Path | None = None
    """Folder in which W&B creates its folder `wandb`. Default: the run's folder."""
    _run: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.mode not in ("offline", "online"):
            raise ValueError(f"mode must be 'offline' or 'online', not {self.mode!r}")
        _package("wandb")

    def watch(self, now: Snapshot) -> None:
        """Write the new rows."""
        if self._run is None:
            self._run = self._open(now)
        for step, named in by_step(now).items():
            self._run.log(named, step=step)

    def _open(self, now: Snapshot) -> Any:
        wandb = _package("wandb")
        config = now.run.config()
        quiet = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True)
        return wandb.init(
            project=self.project, mode=self.mode, dir=str(self.folder or run_folder(now)), config=config,
            name=f"{config['agent']['name']} {now.env.spec.id} {now.run.hash}", group=now.run.hash, settings=quiet,
        )  # fmt: skip

    def close(self) -> None:
        """Finish the W&B run."""
        if self._run is not None:
            self._run.finish()
            self._run = None


TRACKERS: dict[str, Callable[[], Callback]] = {"tensorboard": TensorBoard, "wandb": WandB}
"""Name on the command line -> callback class."""
