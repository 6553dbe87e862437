"""What a claim of an experiment is, and what kind of scores it compares."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from prospect_rl.experiments.metrics import metric_of

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Scores:
    """The distribution of a metric's values; it decides which confidence interval the mean gets."""

    kind: Literal["real", "bounded", "skewed"]
    """Real: any number, e.g. returns of robots, logarithms of counts. Bounded: between two known numbers, e.g. success
    rates, shares, returns of tasks that pay at most 1. Skewed: counts until an event. One exception: coverage and
    uniformity count as real although they lie between 0 and 1, because they are means over thousands of cells that
    do not come near a bound by chance, so that the spread of a few seeds is informative."""
    low: float = -math.inf
    """Lower bound of bounded scores."""
    high: float = math.inf
    """Upper bound of bounded scores."""

    @classmethod
    def of(cls, metric: str, env: str) -> Scores:
        """The distribution of a registered metric. Raises ValueError, with the nearest name, for an unknown one."""
        known = metric_of(metric, env)
        return cls(known.kind, known.low, known.high) if known.kind == "bounded" else cls(known.kind)

    def __post_init__(self) -> None:
        if (self.kind == "bounded") != math.isfinite(self.high - self.low) or not self.low < self.high:
            raise ValueError(f"bounded scores, and no others, need finite bounds low < high: not {self}")


REAL, SKEWED, SHARE = Scores("real"), Scores("skewed"), Scores("bounded", 0.0, 1.0)


@dataclass(frozen=True)
class Claim:
    """A falsifiable statement about the runs, with its test, declared before the runs.

    Let d = left - part * right (right * part - left where lower is better) be the difference of means over seeds, with
    a 95 % confidence interval whose method follows from `scores`. The verdict is PASS if the whole interval lies above
    `margin`, FAIL if it lies below, else INCONCLUSIVE. With `within` = (low, high) it is PASS if the interval lies
    inside, FAIL if it lies wholly outside. Without `right` the mean of left itself is tested: it must exceed `margin`
    (or stay below it where lower is better).

    Args:
        name: Short stable id.
        text: The statement in one self-contained sentence.
        source: Paper and place, or file of the official code.
        metric: Name in the final metrics row, or in `Experiment.derived`.
        env: Id of the environment.
        left: Label of the agent that the claim is about.
        right: Label of the agent that it is compared with.
        part: Fraction of right's value that is compared.
        margin: Bound of the difference, in the metric's unit.
        within: Bounds (low, high) of the difference, in the metric's unit.
        better: Which direction of the metric is better.
        also: Further environments that the claim is about, together with `env`.
        unit: Label of the agent whose mean in an environment is 1 there, where there are several.
        paper_budget: Budget behind the source's statement, in the unit of the tier's budgets.
        kind: "paper" or "check".
        scores: Distribution of the metric's values.

    Raises:
        ValueError: The metric is not registered and `scores` is not given.

    Example:
        >>> Claim("S td3", "TD3 ends above 2000.", "ours", "eval/return", "mujoco/hopper", "td3", margin=2000.0,
        ...       kind="check")
    """

    name: str
    """Short and stable id; it identifies the claim in claims.csv and its history."""
    text: str
    """The statement in one self-contained sentence, with its numbers."""
    source: str
    """Paper and place (section, equation, table, figure), or file of the official code."""
    metric: str
    """A name in the final metrics row, or in `Experiment.derived`."""
    env: str
    """Id of the environment that the claim is about."""
    left: str
    """Label of the agent that the claim is about."""
    right: str | None = None
    """Label of the agent that left is compared with."""
    part: float = 1.0
    """Fraction of right's value that is compared, e.g. .7 for `keeps 70 % of it`."""
    margin: float = 0.0
    """Value that the difference, or left's mean without `right`, must exceed."""
    within: tuple[float, float] | None = None
    """Bounds (low, high) that the interval must lie inside, in place of a margin."""
    better: Literal["higher", "lower"] = "higher"
    """Whether higher or lower values of the metric are better."""
    also: tuple[str, ...] = ()
    """Ids of further environments: a seed's value is then the mean over all of them, each in units of `unit`."""
    unit: str | None = None
    """Label of the agent whose mean in an environment is 1 there, for a claim about several environments."""
    paper_budget: int = 0
    """The budget behind the source's statement; verdicts of runs below it are marked `reduced`."""
    kind: Literal["paper", "check"] = field(kw_only=True)
    """Paper: the statement is printed in a paper. Check: our own sanity bound or interpretation."""
    scores: Scores = field(default=None, kw_only=True)  # type: ignore[assignment]  # never None once it is made
    """Distribution of the metric's values. Default: what `experiments.metrics` declares for this metric and
    environment; required for a metric that is not registered there."""

    @property
    def envs(self) -> tuple[str, ...]:
        """All environments that the claim is about."""
        return (self.env, *self.also)

    def __post_init__(self) -> None:
        if bool(self.also) != (self.unit is not None):
            raise ValueError(f"claim {self.name!r} is about several environments: it needs both also and unit")
        if self.scores is None:
            object.__setattr__(self, "scores", Scores.of(self.metric, self.env))
