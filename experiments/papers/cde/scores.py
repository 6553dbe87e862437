"""What experiments with offline data share: scores derived from a run's final evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prospect_rl.envs.data.scores import controller_share, d4rl_score

EPISODES = 100
"""Of an evaluation, at least: in a maze a single one is worth 0 to the horizon, by its start alone."""


def score(row: Mapping[str, Any]) -> float:
    """The final evaluation on D4RL's scale."""
    return d4rl_score(row["env"], row["eval/return"])


def share(row: Mapping[str, Any]) -> float:
    """The final evaluation over what a clean controller returns."""
    return controller_share(row["env"], row["eval/return"])


MAZE: dict[str, Callable[[Mapping[str, Any]], float]] = {"d4rl score": score, "of a clean controller": share}
"""Derived metrics of an experiment in mazes."""
MUJOCO: dict[str, Callable[[Mapping[str, Any]], float]] = {"d4rl score": score}
"""Derived metrics of one with robots."""
