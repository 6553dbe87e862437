"""A callback that records videos of the agent during training."""

from __future__ import annotations

import os
from dataclasses import dataclass

from prospect_rl.experiments.run.callbacks import run_folder
from prospect_rl.experiments.run.episode import save_gif, watch
from prospect_rl.experiments.run.hooks import Callback, Snapshot


@dataclass(frozen=True)
class Video(Callback):
    """Record the first episode of an evaluation as `videos/<budget used>.gif` in the run's folder.

    A video is recorded before training and after every `every` evaluations.

    Args:
        every: Evaluations between two videos, at least 1.
        fps: Frames per second, at least 1.

    Raises:
        ValueError: A value is below 1; during the run, if the environment cannot draw or the run has no folder.

    Example:
        >>> train("td3", "mujoco/hopper", budget=100_000, out="run", callbacks=[Video(every=5)])
    """

    every: int = 1
    """Number of evaluations between two videos."""
    fps: int = 20
    """Frames per second of the video."""

    def __post_init__(self) -> None:
        for name, value in (("every", self.every), ("fps", self.fps)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")

    def watch(self, now: Snapshot) -> None:
        """Write a video if one is due. Raises ValueError if the environment cannot draw."""
        marks = {row["mark"]: row["iteration"] for row in now.rows}
        before = sum(iteration < now.iteration for iteration in marks.values())
        path = run_folder(now) / "videos" / f"{now.used:012d}.gif"
        if (now.iteration and before // self.every == len(marks) // self.every) or path.exists():
            return
        seen = watch(now.agent, now.env, now.behaviour(), now.run.seeds[0], max(len(marks) - 1, 0))
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}")
        save_gif(seen.frames, beside, self.fps)
        os.replace(beside, path)
