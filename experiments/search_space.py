"""Declaration of a hyper-parameter search: distributions of the fields, number of trials, early stopping.

Real numbers are rounded to three significant digits when drawn, so that the printed value is the one that was used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from prospect_rl.envs.names import unknown

if TYPE_CHECKING:
    from prospect_rl.agents.api import Agent

METRIC_KINDS = ("eval/", "unseen/", "collect/", "learn/", "ledger/")


@dataclass(frozen=True)
class Choice:
    """A categorical distribution: one of `options` with equal probability."""

    options: tuple[Any, ...]
    """Plain values, or tuples of plain values."""

    def __post_init__(self) -> None:
        if not isinstance(self.options, tuple) or not self.options:
            raise ValueError(f"Choice needs a tuple of options, not {self.options!r}")
        for option in self.options:
            for part in option if isinstance(option, tuple) else (option,):
                if not isinstance(part, bool | int | float | str | None):
                    raise ValueError(f"Choice takes plain values and tuples of them, not {option!r}")

    @property
    def ends(self) -> tuple[Any, ...]:
        """The extreme values, all of which the agent must accept."""
        return self.options

    def draw(self, random: np.random.Generator) -> Any:
        """Draw one value."""
        return self.options[int(random.integers(len(self.options)))]


@dataclass(frozen=True)
class Uniform:
    """A uniform distribution of real numbers between `low` and `high`."""

    low: float
    """Smallest value that can be drawn."""
    high: float
    """Largest value that can be drawn."""

    def __post_init__(self) -> None:
        _check_range(self)

    @property
    def ends(self) -> tuple[float, ...]:
        """The extreme values, all of which the agent must accept."""
        return (float(self.low), float(self.high))

    def draw(self, random: np.random.Generator) -> float:
        """Draw one value."""
        return self._rounded(random.uniform(self.low, self.high))

    def _rounded(self, value: float) -> float:
        return float(min(max(float(f"{value:.3g}"), self.low), self.high))


@dataclass(frozen=True)
class LogUniform(Uniform):
    """A log-uniform distribution of positive real numbers between `low` and `high`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise ValueError(f"LogUniform needs low above 0, not {self.low:g}")

    def draw(self, random: np.random.Generator) -> float:
        """Draw one value."""
        return self._rounded(math.exp(random.uniform(math.log(self.low), math.log(self.high))))


@dataclass(frozen=True)
class IntUniform:
    """A uniform distribution of integers from `low` to `high`, both included."""

    low: int
    """Smallest value that can be drawn."""
    high: int
    """Largest value that can be drawn."""

    def __post_init__(self) -> None:
        _check_range(self)
        if not isinstance(self.low, int) or not isinstance(self.high, int):
            raise ValueError(f"IntUniform needs integers, not {self.low!r} and {self.high!r}")

    @property
    def ends(self) -> tuple[int, ...]:
        """The extreme values, all of which the agent must accept."""
        return (self.low, self.high)

    def draw(self, random: np.random.Generator) -> int:
        """Draw one value."""
        return int(random.integers(self.low, self.high, endpoint=True))


Domain = Choice | Uniform | LogUniform | IntUniform


def _check_range(domain: Uniform | IntUniform) -> None:
    low, high = domain.low, domain.high
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{type(domain).__name__} needs low below high, both finite, not {low!r} and {high!r}")


@dataclass(frozen=True)
class Search:
    """A hyper-parameter search: the agent with its own settings, then random draws; bad trials are stopped early.

    Trials are stopped by asynchronous successive halving (ASHA): at rows grace, grace * reduction, ... a trial
    continues if it is among the best 1 / reduction of the trials that have reached that row.
    """

    label: str
    """Label of the agent in the tier whose settings are varied."""
    env: str
    """Environment of the tier, used with its fields and evaluation episodes."""
    space: Mapping[str, Domain]
    """Field of the agent -> distribution of its values."""
    budget: int
    """Budget of a trial that is not stopped early, in the unit of the tiers' budgets."""
    metric: str = "eval/return"
    """A name in the metrics rows."""
    better: Literal["higher", "lower"] = "higher"
    """Whether higher or lower values of the metric are better."""
    trials: int = 16
    """Number of trials, including the agent with its own settings. A larger number extends a search."""
    seeds: int = 1
    """Number of seeds per trial, whose mean is the trial's score. More than one only for agents whose seeds can be
    one program."""
    evals: int = 20
    """Number of metrics rows in a trial, evenly spaced over the budget."""
    grace: int = 2
    """Number of rows before a trial may be stopped."""
    reduction: int = 3
    """Reduction factor of ASHA: the best 1 / reduction of the trials continue."""
    tier: Literal["repro", "gpu"] = "repro"
    """Tier whose agent, environment and data the trials have."""
    env_fields: Mapping[str, Any] = field(default_factory=dict)
    """Environment field -> value in trials, where it differs from the tier's: for instance levels that no verdict
    uses."""
    seed: int = 0
    """Seed of the draws: the settings of trial i are a function of this seed and i."""

    def __post_init__(self) -> None:
        counts = ("trials", "seeds", "budget", "evals", "grace")
        for name, least in {**dict.fromkeys(counts, 1), "reduction": 2, "seed": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"search: {name} must be an integer of at least {least}, not {value!r}")
        if self.grace > self.evals:
            raise ValueError(f"search: grace ({self.grace}) must not exceed evals ({self.evals})")
        if self.better not in ("higher", "lower"):
            raise ValueError(f"search: better must be 'higher' or 'lower', not {self.better!r}")
        if not self.metric.startswith(METRIC_KINDS):
            raise ValueError(f"search: {self.metric!r} is not a row's metric; those are {', '.join(METRIC_KINDS)}...")
        if not self.space:
            raise ValueError("search: the space is empty")
        for name, domain in self.space.items():
            if not isinstance(domain, Domain):
                raise ValueError(f"search: {name} needs a distribution (Choice, Uniform, ...), not {domain!r}")

    def check(self, agents: Mapping[str, Agent], envs: tuple[str, ...]) -> None:
        """Raise ValueError if a tier with these agents and environments lacks the search's agent, field or env."""
        from prospect_rl.agents.api import can_share

        if self.label not in agents:
            raise unknown("agent of the search", self.label, agents)
        if self.env not in envs:
            raise unknown("environment of the search", self.env, envs)
        agent = agents[self.label]
        known = [f.name for f in fields(agent) if f.init and f.name != "spec"]
        for name, domain in self.space.items():
            if name not in known:
                raise unknown(f"field of {type(agent).__name__} in the search's space", name, known)
            for value in domain.ends:
                replace(agent, **{name: value})  # the agent checks its own bounds
        if self.seeds > 1 and not can_share(agent):
            raise ValueError(f"search: {type(agent).__name__} trains one seed per run, so its trials have one seed")

    def draw(self, trial: int) -> dict[str, Any]:
        """The settings of a trial; empty for trial 0, which keeps the agent's own settings."""
        if trial == 0:
            return {}
        random = np.random.default_rng([self.seed, trial])
        return {name: domain.draw(random) for name, domain in sorted(self.space.items())}
