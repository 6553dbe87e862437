"""Verdicts on claims: each claim is tested with the final metrics rows of the runs.

A verdict is PASS, FAIL, INCONCLUSIVE (the interval contains the margin, or too few runs have a value) or NOT RUN (fewer
than three seeds on a side). `experiments.api.Claim` states the rule; `experiments.reports.statistics` computes the
intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prospect_rl.experiments.api import REAL, Claim, Experiment, Scores, Tier
from prospect_rl.experiments.metrics import number
from prospect_rl.experiments.reports import kinds, statistics
from prospect_rl.experiments.reports.statistics import iqm, mann_whitney, present

METHODS = {
    ("real", 1): "Student's t", ("real", 2): "Welch's t", ("skewed", 1): "Student's t", ("skewed", 2): "Welch's t",
    ("bounded", 1): "Clopper-Pearson", ("bounded", 2): "Clopper-Pearson, two sides",
}  # fmt: skip
"""(Kind of scores, number of sides) -> name of the interval on the page; `METHODS_NOTE` gives the details."""
METHODS_NOTE = (
    "Which interval a claim has follows from what its metric is, and was declared with it. Student's t, or Welch's for "
    "a difference (Cochran and Cox's quantile where the sides have unequal numbers of seeds): scores that may be any "
    "number. Clopper-Pearson: scores between two known numbers, such as successes; its limits with the effective "
    "sample size of Korn and Graubard, and for a difference the limits of both sides combined by the product of their "
    "tail probabilities. Simulated with 3 to 20 seeds a side, both cover in at least 93 and 95 % of draws and pass "
    "wrongly in at most 3 %. One exception: coverage and uniformity lie between 0 and 1, but have Student's and "
    "Welch's t, because they are means over thousands of cells, which chance takes to no bound. Simulated at means of "
    ".3 to .9, with deviations of .02 to .05 between seeds, both cover in at least 93 % of draws and pass wrongly in "
    "at most 3 %, but Student's t near 1 in up to 6 %; no claim has it there. Counts until something happens are "
    "skewed: there the share of draws that Welch's t covers, simulated for lognormal scores with the same means and "
    "deviations, stands beside the verdict. Equal scores that may be any number say nothing of their spread: they have "
    "no interval (–). Where seeds were added because the first ones had not decided, the number to add was fixed "
    "before their runs, and all seeds together have an interval of 97.1 % (Pocock's tail of .0147 for two looks); both "
    "looks together pass wrongly in at most 3.5 % of draws."
)


@dataclass(frozen=True)
class Side:
    """The values of one agent's finished runs."""

    label: str
    """Label of the agent in the experiment."""
    seeds: int
    """Number of finished runs (seeds)."""
    values: np.ndarray
    """[n] values of the runs that have one."""
    planned: int = 0
    """Number of runs that the tier asks for."""
    devices: str = ""
    """Which seeds ran where, in words; empty if all ran on the CPU."""

    @property
    def missing(self) -> int:
        """Number of runs without a value; they are excluded from the test."""
        return self.seeds - len(self.values)

    @property
    def mean(self) -> float:
        """Mean of the values; NaN if there are none."""
        return float(np.mean(self.values)) if len(self.values) else math.nan

    @property
    def iqm(self) -> float:
        """Interquartile mean of the values; NaN if there are none."""
        return float(iqm(self.values))


@dataclass(frozen=True)
class Verdict:
    """The outcome of a claim and the numbers behind it; NaN where a number does not exist."""

    claim: Claim
    """The claim that was tested."""
    outcome: str
    """PASS, FAIL, INCONCLUSIVE or NOT RUN."""
    left: Side
    """Values of the agent that the claim is about."""
    right: Side | None
    """Values of the agent that it is compared with."""
    difference: float = math.nan
    """Difference in favour of the claim: left - part * right, or the opposite if lower is better. Without `right`, the
    mean of left in either case."""
    low: float = math.nan
    """Lower bound of the interval of the difference."""
    high: float = math.nan
    """Upper bound of the interval of the difference."""
    p: float = math.nan
    """One-sided p-value of the Mann-Whitney test."""
    reduced: bool = False
    """Whether the runs had a smaller budget than the source's."""
    coverage: float = math.nan
    """Simulated coverage of the interval, for skewed scores."""
    level: float = statistics.LEVEL
    """Confidence level of the interval; higher where seeds were added after a look at the first ones."""
    others: str = ""
    """Which seeds of the agents are on another kind of device and left out, in words."""
    apart: bool = False
    """Whether the sides ran on different kinds of device, because no kind has seeds of both."""

    @property
    def method(self) -> str:
        """The name of the interval, with its level where that is not the usual one."""
        name = METHODS[self.claim.scores.kind, 1 if self.right is None else 2]
        return name if self.level == statistics.LEVEL else f"{name}, {100 * self.level:.1f} %"

    @property
    def words(self) -> str:
        """How a claim failed, e.g. worse, or better but not by the margin; empty for other outcomes."""
        claim = self.claim
        if self.outcome != "FAIL":
            return ""
        if claim.within is not None:
            return "outside the bounds"
        if claim.right is None:
            return f"not {'above' if claim.better == 'higher' else 'below'} {number(claim.margin)}"
        rival = claim.right if claim.part == 1 else f"{number(100 * claim.part)} % of {claim.right}"
        if self.high < min(0.0, claim.margin):
            return f"worse than {rival}"
        if self.low > 0:
            return f"better than {rival}, but not by the margin of {number(claim.margin)}"
        return f"not better than {rival} by the margin of {number(claim.margin)}"


def side(rows: Sequence[Mapping[str, Any]], env: str, label: str, metric: str, planned: int = 0) -> Side:
    """The values of one agent in one environment from the summary rows; `planned` is its planned number of runs."""
    mine = [row for row in rows if row["env"] == env and row["label"] == label]
    return Side(
        label,
        len(mine),
        present([row.get(metric, math.nan) for row in mine]),
        max(planned, len(mine)),
        kinds.devices_in(mine),
    )


def across(rows: Sequence[Mapping[str, Any]], claim: Claim, label: str, planned: int = 0) -> Side:
    """As `side`, of a claim about several environments: a seed's value is its mean over them, in units of `unit`.

    Seeds are independent, so that those of an agent in different environments may be paired by their numbers; a seed
    counts where it has a value in all of them. The units count as known. Without a positive unit there is no value.
    """
    assert claim.unit is not None
    units = {env: side(rows, env, claim.unit, claim.metric).mean for env in claim.envs}
    found: dict[int, list[float]] = {}
    mine = [row for row in rows if row["env"] in units and row["label"] == label]
    for row in mine:
        value, unit = row.get(claim.metric, math.nan), units[row["env"]]
        found.setdefault(int(row["seed"]), []).append(value / unit if unit > 0 else math.nan)
    whole = [float(np.mean(values)) for values in found.values() if len(values) == len(units)]
    return Side(label, len(whole), present(whole), max(planned, len(whole)), kinds.devices_in(mine))


def decide(low: float, high: float, *, margin: float, within: tuple[float, float] | None) -> str:
    """PASS, FAIL or INCONCLUSIVE for an interval [low, high] of the difference."""
    if within is not None:
        if within[0] <= low and high <= within[1]:
            return "PASS"
        return "FAIL" if high < within[0] or low > within[1] else "INCONCLUSIVE"
    if low > margin:
        return "PASS"
    return "FAIL" if high < margin else "INCONCLUSIVE"


def interval(values: np.ndarray, scores: Scores, level: float = statistics.LEVEL) -> tuple[float, float]:
    """Confidence interval of the mean of values [S]."""
    if scores.kind == "bounded":
        low, high = statistics.bounded_interval(values, scores.low, scores.high, level)
    else:
        low, high = statistics.t_interval(values, level)
    return float(low), float(high)


def difference_interval(
    left: np.ndarray, right: np.ndarray, scores: Scores, part: float = 1.0, level: float = statistics.LEVEL
) -> tuple[float, float]:
    """Confidence interval of mean(left) - part * mean(right)."""
    if scores.kind == "bounded":
        bounds = (scores.low, scores.high)
        theirs = (part * bounds[0], part * bounds[1])
        low, high = statistics.bounded_difference(left, part * right, bounds, theirs, level)
    else:
        low, high = statistics.t_difference(left, part * right, level)
    return float(low), float(high)


def bounds(
    claim: Claim, left: np.ndarray, right: np.ndarray | None, level: float = statistics.LEVEL
) -> tuple[float, float]:
    """Confidence interval of the difference in favour of a claim of values [S]; without `right`, of left's mean."""
    if right is None:
        return interval(left, claim.scores, level)
    low, high = difference_interval(left, right, claim.scores, claim.part, level)
    return (low, high) if claim.better == "higher" else (-high, -low)


def outcome_of(claim: Claim, low: float, high: float) -> str:
    """PASS, FAIL or INCONCLUSIVE for an interval that `bounds` gave.

    Left's mean alone is compared with a fixed number: it must lie on the better side of it.
    """
    if claim.right is None and claim.better == "lower" and claim.within is None:
        return decide(-high, -low, margin=-claim.margin, within=None)
    return decide(low, high, margin=claim.margin, within=claim.within)


def scores_of(experiment: Experiment, env: str, metric: str) -> Scores:
    """The distribution of a metric's values: as a claim of the experiment declares, or as `experiments.metrics` does.

    A metric that is not registered and that no claim is about counts as real.
    """
    for claim in experiment.every_claim:
        if (claim.metric, claim.env) == (metric, env):
            return claim.scores
    try:
        return Scores.of(metric, env)
    except ValueError:
        return REAL


def cells_of(claim: Claim) -> list[kinds.Cell]:
    """The cells (environment, label) whose runs a claim is about."""
    labels = dict.fromkeys(label for label in (claim.left, claim.right, claim.unit) if label is not None)
    return [(env, label) for env in claim.envs for label in labels]


def sides_of(claim: Claim, rows: Sequence[Mapping[str, Any]], tier: Tier | None = None) -> list[Side]:
    """The values of the agent that a claim is about and, where it has one, of its rival, on one kind of device.

    A side that has none there has those of the other kind.
    """
    return _sides(claim, kinds.for_claim(rows, cells_of(claim)), tier)


def _sides(claim: Claim, chosen: kinds.Chosen, tier: Tier | None) -> list[Side]:
    kind, rows, _ = chosen

    def of(label: str) -> Side:
        planned = tier.seeds_of(label, kind) if tier else 0
        return (
            across(rows, claim, label, planned) if claim.also else side(rows, claim.env, label, claim.metric, planned)
        )

    return [of(label) for label in (claim.left, claim.right) if label is not None]


def judge(claim: Claim, rows: Sequence[Mapping[str, Any]], *, budget: int, tier: Tier | None = None) -> Verdict:
    """Test a claim with the summary rows of a tier whose runs had this budget."""
    chosen = kinds.for_claim(rows, cells_of(claim))
    verdict = _judged(claim, _sides(claim, chosen, tier), budget, tier)
    apart = len({kinds.kind_of(row) for row in chosen.rows}) > 1
    return replace(verdict, others=kinds.in_words(chosen.others), apart=apart)


def _judged(claim: Claim, sides: Sequence[Side], budget: int, tier: Tier | None) -> Verdict:
    left, right = sides[0], sides[1] if len(sides) > 1 else None
    reduced, level = budget < claim.paper_budget, statistics.LEVEL
    if tier and 0 < tier.seen < max(s.seeds for s in sides):
        level = statistics.LEVEL_OF_TWO_LOOKS
    if any(s.seeds < kinds.LEAST_SEEDS for s in sides):
        return Verdict(claim, "NOT RUN", left, right, reduced=reduced)
    if any(len(s.values) < kinds.LEAST_SEEDS for s in sides):
        return Verdict(claim, "INCONCLUSIVE", left, right, reduced=reduced)
    low, high = bounds(claim, left.values, right.values if right else None, level)
    outcome, skewed = outcome_of(claim, low, high), claim.scores.kind == "skewed"
    if right is None:
        coverage = statistics.skewed_coverage(left.values) if skewed else math.nan
        return Verdict(claim, outcome, left, None, left.mean, low, high, math.nan, reduced, coverage, level)
    sign, rival = 1.0 if claim.better == "higher" else -1.0, claim.part * right.values
    difference = sign * float(np.mean(left.values) - np.mean(rival))
    ahead, behind = (left.values, rival) if sign > 0 else (rival, left.values)
    coverage = statistics.skewed_coverage(left.values, rival) if skewed else math.nan
    p = mann_whitney(ahead, behind)
    return Verdict(claim, outcome, left, right, difference, low, high, p, reduced, coverage, level)
