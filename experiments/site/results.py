"""Data of the site: the committed files of an experiment, and the statistics that its page shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.metrics import words_of
from prospect_rl.experiments.reports import kinds, records
from prospect_rl.experiments.reports.budgets import on_one_axis
from prospect_rl.experiments.reports.claims import interval, scores_of, side
from prospect_rl.experiments.reports.overview import Judged
from prospect_rl.experiments.reports.records import Row
from prospect_rl.experiments.reports.report import read_claims
from prospect_rl.experiments.reports.statistics import (
    average_improvement,
    improvement_interval,
    performance_profile,
    profile_band,
)  # fmt: skip
from prospect_rl.experiments.site.charts import Line
from prospect_rl.experiments.site.html import Html, element

RATES = ("success", "coverage")
"""Endings of the metrics that have the same scale in every environment."""
THRESHOLDS = 81
"""Number of thresholds of a performance profile."""
RESAMPLES = 2000
"""Bootstrap resamples per probability of improvement: a page has hundreds of them."""
Point = tuple[float, float, float]
"""A statistic and the bounds of its 95 % interval."""


@dataclass(frozen=True)
class Results:
    """The committed files of one experiment."""

    experiment: Experiment
    """The declaration of the experiment."""
    tier_name: str
    """The tier that was run."""
    folder: Path
    """The folder of the committed files."""
    rows: list[Row]
    """The rows of summary.csv."""
    curves: list[Row]
    """The rows of curves.csv that figures show."""
    claims: list[Judged]
    """The rows of claims.csv, each with its claim."""

    @property
    def tier(self) -> Tier:
        """The tier that was run."""
        return self.experiment.tier(self.tier_name)

    @cached_property
    def shown(self) -> list[Row]:
        """The rows of summary.csv that figures show: one kind of device in an environment."""
        return kinds.shown(self.rows)

    @property
    def labels(self) -> list[str]:
        """The labels of the agents in the tier's order."""
        return list(self.tier.agents)

    @property
    def metrics(self) -> list[str]:
        """The metrics of the tables, in order."""
        return records.table_metrics(self.experiment, [name for name in self.rows[0] if name not in records.HEAD])

    @property
    def scores(self) -> list[str]:
        """Metrics where higher is better: the first one, returns, rates, best rewards, and those of suitable claims."""
        wanted = {c.metric for c in self.experiment.claims if c.better == "higher" and c.within is None}
        ends, starts = ("/return", *RATES), ("ledger/best_", "ledger/stored_best_")
        first, *others = self.metrics
        return [first, *(n for n in others if n in wanted or n.endswith(ends) or n.startswith(starts))]

    def values(self, env: str, label: str, metric: str) -> np.ndarray:
        """The final values [S] of an agent's runs that have one."""
        return side(self.shown, env, label, metric).values

    def iqm(self, env: str, label: str, metric: str) -> float:
        """The interquartile mean of an agent's final values."""
        return side(self.shown, env, label, metric).iqm

    def point(self, env: str, label: str, metric: str) -> Point:
        """The mean of an agent's final values and its interval, as for claims; NaN bounds for fewer than two values."""
        values = self.values(env, label, metric)
        bounds = interval(values, scores_of(self.experiment, env, metric)) if len(values) > 1 else (math.nan, math.nan)
        return (float(np.mean(values)), *bounds)

    def complete(self, envs: Sequence[str], metric: str) -> list[str]:
        """The agents that have a value in each of these environments."""
        return [label for label in self.labels if all(len(self.values(env, label, metric)) for env in envs)]


def read(experiment: Experiment, folder: Path) -> Results:
    """Read the committed files of an experiment. Raises ValueError if they do not match its declaration."""
    tables = records.tables_in(folder)
    rows, curves = tables.summary, tables.shown().curves
    judged = read_claims(folder / "claims.csv")
    known = {claim.name: claim for claim in experiment.claims}
    tier = rows[0]["tier"]
    strangers = sorted({row["claim"] for row in judged} - set(known))
    strangers += sorted({row["label"] for row in rows} - set(experiment.tier(tier).agents))
    if strangers:
        again = f"prospect report {experiment.name}"
        raise ValueError(
            f"{folder} contains {', '.join(strangers)}, which {experiment.name} does not declare; rewrite it: {again}"
        )
    return Results(
        experiment, tier, folder, rows, curves, [Judged(experiment.name, known[row["claim"]], row) for row in judged]
    )


def named(results: Results, metric: str, env: str | None = None) -> Html:
    """A metric's description (by default for the first environment), with its name as a tooltip."""
    return element("span", words_of(metric, results.tier.envs[0] if env is None else env), title=metric)


def drawn_curves(results: Results) -> dict[tuple[str, str], dict[str, Line]]:
    """(environment, metric) -> agent -> interquartile mean and band; agents without any value are omitted."""
    cells: dict[tuple[str, str, str], list[Row]] = {}
    for row in on_one_axis(results.curves, results.rows)[0]:
        cells.setdefault((row["env"], row["metric"], row["label"]), []).append(dict(row))
    found: dict[tuple[str, str], dict[str, Line]] = {}
    for (env, metric, label), rows in cells.items():
        line = Line(*(np.array([row[name] for row in rows]) for name in ("used", "iqm", "low", "high")))
        if np.isfinite(line.middle).any():
            found.setdefault((env, metric), {})[label] = line
    return found


def improvements(results: Results, envs: Sequence[str], metric: str) -> dict[tuple[str, str], Point]:
    """(left, right) -> probability that left beats right, for all pairs of agents that have values in all of `envs`.

    Each pair is computed once; the opposite direction is one minus that, also for the interval.
    """
    labels = results.complete(envs, metric)
    values = {label: [results.values(env, label, metric) for env in envs] for label in labels}
    found = {}
    for i, left in enumerate(labels):
        for right in labels[i + 1 :]:
            pair = values[left], values[right]
            share, (low, high) = average_improvement(*pair), improvement_interval(*pair, resamples=RESAMPLES)
            found |= {(left, right): (share, low, high), (right, left): (1 - share, 1 - high, 1 - low)}
    return found


def profiles(results: Results, envs: Sequence[str], metric: str) -> dict[str, Line]:
    """Agent -> its performance profile, at thresholds from the smallest to the largest score of all agents."""
    values = {label: [results.values(env, label, metric) for env in envs] for label in results.complete(envs, metric)}
    pooled = [x for tasks in values.values() for x in tasks]
    if not pooled:
        return {}
    least, largest = float(np.min(np.concatenate(pooled))), float(np.max(np.concatenate(pooled)))
    at = np.linspace(min(least, 0.0) if least >= 0 else least, largest if largest > least else least + 1, THRESHOLDS)
    return {
        label: Line(at, performance_profile(tasks, at), *profile_band(tasks, at)) for label, tasks in values.items()
    }
