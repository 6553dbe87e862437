"""The metrics that runs write: what each is in words, its unit, how its values are spread, where it is computed.

Tables, pictures and pages take their words from here, the intervals of claims their method, and docs/metrics.md is
made of it. A name may hold numbers: `{k}` stands for one (a reward area, a phase), `{exam}` for the name of an exam.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
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


# --- docs/metrics.md ---------------------------------------------------------------------------------


def page(metrics: Mapping[str, Metric] = METRICS) -> str:
    """The text of docs/metrics.md."""
    lines = []
    for metric in metrics.values():
        words = metric.words.replace("{area}", "an area").replace("{exam}", "in an exam").replace("{k}", "k")
        bounds = {"bounded": f"{metric.low:g} to {metric.high:g}", "skewed": "long tail", "real": ""}[metric.kind]
        places = "; ".join(f"`{place}`" for place in metric.where)
        lines.append(f"| `{metric.name}` | {words} | {metric.unit} | {bounds} | {places} |")
    return PAGE + "\n".join(lines) + "\n\nMade by `prospect report --all`; edits are overwritten.\n"


PAGE = """# Metrics

A run appends a row for each seed at each of its marks to `metrics.jsonl`: `seed`, `mark`, `unit`, `iteration`, `used`
(of the budget), then metrics. The last row of a seed is its final one; `summary.csv` of an experiment has one line for
it. Tables and pictures call a metric by its words. `{k}` is the number of a reward area or a phase, `{exam}` the name
of an exam; where an environment's areas have names of their own, the words use them (`best reward in the far goal`).

- `eval/`: whole episodes of what the agent would ship, with random numbers of their own; `unseen/`: the same on levels
  that training never shows; `exam/`: the same in a changed environment, once at the end; `exam_best/`: for the state
  with the best `eval/success`.
- `reading/`, `trees/`: a policy of linear experts read after the end: what its law is worth as trained, as printed, by
  trees and by single experts, and how the trees agree with the router, on episodes that they were not fitted on.
- `collect/`: episodes that ended in training since the row before.
- `ledger/`: all evaluations of a search over policies, counted by the driver and not by the agent. An empty value of
  `first`, `reached` and their kin means: never; it is left out of means, which then say of how many runs they are.
- `archive/`, `emitters/`, `features/`, `learn/`, `bonus/`, `replay/`: what the agent says of its last iteration.
- `data/`: the dataset of an offline agent.
- Names without a slash are worked out by an experiment from a final row.

The column *spread* says how values differ between seeds, which decides how the interval of a claim is made: within
bounds, with a long tail, or neither. A return is within bounds where the environment's is: 0 to 1 in the hard maze, the
arm, MiniGrid and the T-Maze, -1 to 1 in POPGym, 0 to 50 in the sparse point. One exception: coverage and uniformity lie
between 0 and 1, but stand here as neither. They are means over thousands of cells, which chance takes to no bound, so
that a few seeds that agree do say how far others would be off; their intervals are Student's and Welch's t.

| metric | in words | unit | spread | computed in |
| --- | --- | --- | --- | --- |
"""
