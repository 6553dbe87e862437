"""A callback that films the agent as it learns."""

from __future__ import annotations

import os
from dataclasses import dataclass

from prospect_rl.experiments.run.callbacks import home
from prospect_rl.experiments.run.episode import save_gif, watch
from prospect_rl.experiments.run.hooks import Callback, Moment


@dataclass(frozen=True)
class Video(Callback):
    """Film the first episode of an evaluation, before training and after every so many: `videos/<used>.gif`."""

    every: int = 1
    """Evaluations from one film to the next."""
    fps: int = 20
    """Pictures a second."""

    def __post_init__(self) -> None:
        for name, value in (("every", self.every), ("fps", self.fps)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")

    def watch(self, now: Moment) -> None:
        """Write a film where one is due. Raises ValueError where the environment draws no pictures."""
        marks = {row["mark"]: row["iteration"] for row in now.rows}
        before = sum(iteration < now.iteration for iteration in marks.values())
        path = home(now) / "videos" / f"{now.used:012d}.gif"
        if (now.iteration and before // self.every == len(marks) // self.every) or path.exists():
            return
        seen = watch(now.agent, now.env, now.behaviour(), now.run.seeds[0], max(len(marks) - 1, 0))
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}")
        save_gif(seen.frames, beside, self.fps)
        os.replace(beside, path)
