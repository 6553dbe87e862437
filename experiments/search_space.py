"""A search for settings as an experiment declares it: what to draw for which fields, how many trials, when to stop one.

Real numbers are drawn to three significant digits, so that the number that is written down is the one that ran.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from prospect_rl.envs.names import unknown

if TYPE_CHECKING:
    from prospect_rl.agents.api import Agent

METRIC_KINDS = ("eval/", "unseen/", "collect/", "learn/", "ledger/")


@dataclass(frozen=True)
class Choice:
    """One of `options`, each as likely as the others."""

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.options, tuple) or not self.options:
            raise ValueError(f"Choice needs a tuple of options, not {self.options!r}")
        for option in self.options:
            for part in option if isinstance(option, tuple) else (option,):
                if not isinstance(part, bool | int | float | str | None):
                    raise ValueError(f"Choice takes plain values and tuples of them, not {option!r}")

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that the agent must accept."""
        return self.options

    def draw(self, random: np.random.Generator) -> Any:
        """One value."""
        return self.options[int(random.integers(len(self.options)))]


@dataclass(frozen=True)
class Uniform:
    """A real number between `low` and `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self)

    @property
    def ends(self) -> tuple[float, ...]:
        """Values that the agent must accept."""
        return (float(self.low), float(self.high))

    def draw(self, random: np.random.Generator) -> float:
        """One value."""
        return self._rounded(random.uniform(self.low, self.high))

    def _rounded(self, value: float) -> float:
        return float(min(max(float(f"{value:.3g}"), self.low), self.high))


@dataclass(frozen=True)
class LogUniform(Uniform):
    """A positive real number, every order of magnitude between `low` and `high` as likely as the others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise ValueError(f"LogUniform needs low above 0, not {self.low:g}")

    def draw(self, random: np.random.Generator) -> float:
        """One value."""
        return self._rounded(math.exp(random.uniform(math.log(self.low), math.log(self.high))))


@dataclass(frozen=True)
class IntUniform:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        _check_range(self)
        if not isinstance(self.low, int) or not isinstance(self.high, int):
            raise ValueError(f"IntUniform needs whole numbers, not {self.low!r} and {self.high!r}")

    @property
    def ends(self) -> tuple[int, ...]:
        """Values that the agent must accept."""
        return (self.low, self.high)

    def draw(self, random: np.random.Generator) -> int:
        """One value."""
        return int(random.integers(self.low, self.high, endpoint=True))


Domain = Choice | Uniform | LogUniform | IntUniform


def _check_range(domain: Uniform | IntUniform) -> None:
    low, high = domain.low, domain.high
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{type(domain).__name__} needs low below high, both finite, not {low!r} and {high!r}")


@dataclass(frozen=True)
class Search:
    """Which settings of an agent to try: the agent as it is, then draws from `space`; bad ones are stopped early.

    A trial is judged at every row by asynchronous successive halving (ASHA): at rows grace, grace * reduction, ...
    it goes on if it is among the best 1 / reduction of those that have been there.
    """

    label: str
    """The agent of the repro tier that is the base."""
    env: str
    """Environment of the repro tier, with its fields and episodes of evaluation."""
    space: Mapping[str, Domain]
    """Field of the agent -> what may be drawn for it."""
    budget: int
    """Of a trial that is never stopped; in the units of the tiers."""
    metric: str = "eval/return"
    """A name in the metrics rows."""
    better: Literal["higher", "lower"] = "higher"
    trials: int = 16
    """How many, the agent as it is included. More of them extend a search."""
    seeds: int = 1
    """Of each trial, which is judged by their mean. More than one only for agents that train them as one program."""
    evals: int = 20
    """Rows of metrics in a trial, evenly spaced."""
    grace: int = 2
    """Rows before a trial may be stopped."""
    reduction: int = 3
    """One of so many goes on."""
    seed: int = 0
    """Of the draws: the settings of trial i are a function of it and of i."""

    def __post_init__(self) -> None:
        counts = ("trials", "seeds", "budget", "evals", "grace")
        for name, least in {**dict.fromkeys(counts, 1), "reduction": 2, "seed": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"search: {name} must be a whole number from {least} up, not {value!r}")
        if self.grace > self.evals:
            raise ValueError(f"search: grace ({self.grace}) must not exceed evals ({self.evals})")
        if self.better not in ("higher", "lower"):
            raise ValueError(f"search: better must be 'higher' or 'lower', not {self.better!r}")
        if not self.metric.startswith(METRIC_KINDS):
            raise ValueError(f"search: {self.metric!r} is no metric of a row; those are {', '.join(METRIC_KINDS)}...")
        if not self.space:
            raise ValueError("search: the space is empty")
        for name, domain in self.space.items():
            if not isinstance(domain, Domain):
                raise ValueError(f"search: {name} needs a domain (Choice, Uniform, ...), not {domain!r}")

    def check(self, agents: Mapping[str, Agent], envs: tuple[str, ...]) -> None:
        """Raise ValueError, in one line, where a tier of these has no such base, or the agent no such field."""
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
        if self.seeds > 1 and not agent.vmap_seeds:
            raise ValueError(f"search: {type(agent).__name__} takes one seed a run, hence its trials one seed")

    def draw(self, trial: int) -> dict[str, Any]:
        """The settings of a trial: none for trial 0, which is the agent as it is."""
        if trial == 0:
            return {}
        random = np.random.default_rng([self.seed, trial])
        return {name: domain.draw(random) for name, domain in sorted(self.space.items())}
