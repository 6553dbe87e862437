"""Shared parts of offline experiments: scores derived from a run's final evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prospect_rl.envs.data.scores import controller_share, d4rl_score

EPISODES = 100
"""Least number of episodes per evaluation: in a maze the return of one depends strongly on its start."""


def score(row: Mapping[str, Any]) -> float:
    """Score of the final evaluation on D4RL's scale."""
    return d4rl_score(row["env"], row["eval/return"])


def share(row: Mapping[str, Any]) -> float:
    """Return of the final evaluation divided by that of the controller without noise."""
    return controller_share(row["env"], row["eval/return"])


MAZE: dict[str, Callable[[Mapping[str, Any]], float]] = {"d4rl score": score, "of a clean controller": share}
"""Derived metrics of experiments in mazes."""
MUJOCO: dict[str, Callable[[Mapping[str, Any]], float]] = {"d4rl score": score}
"""Derived metrics of experiments with robots."""
