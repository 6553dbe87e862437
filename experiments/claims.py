"""The claims ledger: each claim is held against the final rows of the runs and gets a verdict.

PASS, FAIL, INCONCLUSIVE (the interval straddles the margin, or too few runs have a value) or NOT RUN (fewer than
three seeds a side). See `experiments.api.Claim` for the rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.api import Claim
from experiments.statistics import bootstrap_interval, difference_interval, iqm, mann_whitney, present

LEAST_SEEDS = 3
VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE", "NOT RUN")


@dataclass(frozen=True)
class Side:
    """The values of one agent."""

    label: str
    seeds: int
    """Finished runs."""
    values: np.ndarray
    """[n] those that have a value."""

    @property
    def missing(self) -> int:
        """Runs without a value; they take no part in the test."""
        return self.seeds - len(self.values)

    @property
    def mean(self) -> float:
        """NaN of nothing."""
        return float(np.mean(self.values)) if len(self.values) else math.nan

    @property
    def iqm(self) -> float:
        """Interquartile mean; NaN of nothing."""
        return float(iqm(self.values))


@dataclass(frozen=True)
class Verdict:
    """A claim with its outcome and the numbers behind it; NaN where there are none."""

    claim: Claim
    outcome: str
    left: Side
    right: Side | None
    difference: float = math.nan
    """In favour of the claim: left - part * right, or the other way round where lower is better."""
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    """One-sided Mann-Whitney."""
    reduced: bool = False
    """The runs had a smaller budget than the source's."""


def side(rows: Sequence[Mapping[str, Any]], env: str, label: str, metric: str) -> Side:
    """What the summary rows hold of one agent in one environment."""
    mine = [row for row in rows if row["env"] == env and row["label"] == label]
    return Side(label, len(mine), present([row.get(metric, math.nan) for row in mine]))


def decide(low: float, high: float, *, margin: float, within: tuple[float, float] | None) -> str:
    """PASS, FAIL or INCONCLUSIVE for an interval [low, high] of the difference."""
    if within is not None:
        if within[0] <= low and high <= within[1]:
            return "PASS"
        return "FAIL" if high < within[0] or low > within[1] else "INCONCLUSIVE"
    if low > margin:
        return "PASS"
    return "FAIL" if high < margin else "INCONCLUSIVE"


def judge(claim: Claim, rows: Sequence[Mapping[str, Any]], *, budget: int) -> Verdict:
    """Hold a claim against the summary rows of a tier whose runs had this budget."""
    left = side(rows, claim.env, claim.left, claim.metric)
    right = side(rows, claim.env, claim.right, claim.metric) if claim.right is not None else None
    sides = [left] if right is None else [left, right]
    reduced = budget < claim.paper_budget
    if any(s.seeds < LEAST_SEEDS for s in sides):
        return Verdict(claim, "NOT RUN", left, right, reduced=reduced)
    if any(len(s.values) < LEAST_SEEDS for s in sides):
        return Verdict(claim, "INCONCLUSIVE", left, right, reduced=reduced)
    sign = 1.0 if claim.better == "higher" else -1.0
    if right is None:
        # Against a fixed number, not a rival: left's mean must lie on the better side of it.
        low, high = sorted(sign * x for x in bootstrap_interval(left.values))
        outcome = decide(low, high, margin=sign * claim.margin, within=_flip(claim.within, sign))
        return Verdict(claim, outcome, left, None, sign * left.mean, low, high, reduced=reduced)
    rival = claim.part * right.values
    ahead, behind = (left.values, rival) if sign > 0 else (rival, left.values)
    low, high = difference_interval(ahead, behind)
    outcome = decide(low, high, margin=claim.margin, within=claim.within)
    difference = float(np.mean(ahead) - np.mean(behind))
    return Verdict(claim, outcome, left, right, difference, low, high, mann_whitney(ahead, behind), reduced)


def _flip(within: tuple[float, float] | None, sign: float) -> tuple[float, float] | None:
    """Bounds on left's mean as bounds on sign * mean."""
    if within is None or sign > 0:
        return within
    return -within[1], -within[0]
