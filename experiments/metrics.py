"""The metrics that runs write: what each is in words, its unit, how its values are spread, where it is computed.

Tables, pictures and pages take their words from here, the intervals of claims their method, and docs/metrics.md is
made of it. A name may hold numbers: `{k}` stands for one (a reward area, a phase), `{exam}` for the name of an exam.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cache

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.metric_table import ALL, Metric


@dataclass(frozen=True)
class Place:
    """What words say of one environment, or of all whose ids begin so."""

    areas: tuple[str, ...] = ()
    """Names of its reward areas."""
    returns: tuple[float, float] | None = None
    """Bounds of an episode's return."""
    exam: str = "in exam {exam}"
    """What the name of an exam means."""
    exams: str = "exam"
    """The same for an axis of exams whose names are numbers."""


PLACES: dict[str, Place] = {
    "maze/": Place(("the far goal", "the near goal"), (0, 1)),
    "arm/curling": Place(("the large goal", "the small goal"), (0, 1)),
    "arm/redundant": Place(("the lower left goal", "the upper right goal", "the upper left goal"), (0, 1)),
    "point/": Place(
        ("the upper right square", "the upper left square", "the lower square", "the left square"), (0, 50)
    ),
    "mujoco/ant_maze": Place(("the lower right goal", "the upper left goal"), (0, 1)),
    "minigrid/Dynamic-Obstacles": Place(returns=(-1, 1)),
    "minigrid/": Place(returns=(0, 1)),
    "text/": Place(returns=(0, 1)),
    "verified/": Place(returns=(0, 1)),
    "popgym/": Place(returns=(-1, 1)),
    "memory/tmaze": Place(returns=(0, 1), exam="in T-Mazes of {exam} steps", exams="steps of the T-Maze"),
}
"""Beginning of an environment's id -> what is known of it; the first that fits counts."""

# --- where it is computed ----------------------------------------------------------------------------

METRICS: dict[str, Metric] = {metric.name: metric for metric in ALL}
"""Name -> metric, in the order of docs/metrics.md."""


@cache
def _patterns() -> list[tuple[re.Pattern[str], Metric]]:
    return [
        (re.compile(re.escape(name).replace(r"\{k\}", r"(?P<k>\d+)").replace(r"\{exam\}", r"(?P<exam>[^/]+)")), metric)
        for name, metric in METRICS.items()
        if "{" in name
    ]


def place_of(env: str) -> Place:
    """What words say of an environment."""
    return next((place for beginning, place in PLACES.items() if env.startswith(beginning)), Place())


def area_of(k: int, env: str) -> str:
    """The name of a reward area: `the far goal`; `area 3` where it has none of its own."""
    areas = place_of(env).areas
    return areas[k] if k < len(areas) else f"area {k}"


def metric_of(name: str, env: str = "") -> Metric:
    """The metric of this name, with its words and bounds as they are in an environment, where one is given.

    Raises ValueError with the nearest name for one that no run writes.
    """
    metric, found = METRICS.get(name), {}
    if metric is None or "{" in name:
        pairs = ((pattern.fullmatch(name), each) for pattern, each in _patterns())
        match, metric = next(((match, each) for match, each in pairs if match), (None, None))
        if match is None or metric is None:
            raise unknown("metric", name, METRICS)
        found = match.groupdict()
    place, words = place_of(env), metric.words
    if "k" in found:
        words = words.format(k=found["k"], area=area_of(int(found["k"]), env))
    elif "exam" in found:
        exam = f"{int(found['exam']):,}" if found["exam"].isdecimal() else found["exam"]
        words = words.format(exam=place.exam.format(exam=exam))
    if place.returns and name.startswith(RETURNS) and metric.unit == "reward":
        low, high = map(float, place.returns)
        if name == "emitters/improvement":
            low, high = low - high, high - low
        return replace(metric, name=name, words=words, kind="bounded", low=low, high=high)
    return replace(metric, name=name, words=words)


RETURNS = ("eval/", "unseen/", "collect/", "exam", "ledger/best_", "ledger/stored_best_", "archive/best_", "emitters/")
"""Beginnings of the names of metrics in units of reward that lie between the bounds of a return."""


def sentence(text: str, env: str) -> str:
    """A claim's text with the reward areas called by their names."""
    return re.sub(r"\b(?:goal )?area (\d+)", lambda found: area_of(int(found[1]), env), text)


def words_of(name: str, env: str = "") -> str:
    """A metric in words; one that is not registered (of an agent or experiment of the user's own) keeps its name."""
    try:
        return metric_of(name, env).words
    except ValueError:
        return name


def number(x: float, digits: int = 3) -> str:
    """Three significant digits, or so many; whole numbers from 1000 up; an en dash for none."""
    if not math.isfinite(x):
        return "–"
    x += 0.0  # a negative zero loses its sign
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.{digits}g}"
