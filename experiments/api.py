"""What an experiment is: a declaration of agents x environments x seeds, and of the claims they are to test.

One file exposes `EXPERIMENT`, one line in `EXPERIMENTS` registers it; `experiments.sweep` runs its cells and
`experiments.report` writes its page. This module imports no JAX: a sweep must start Ray before JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from experiments.names import unknown

if TYPE_CHECKING:
    from agents.api import Agent

TIERS = ("smoke", "repro", "paper")

EXPERIMENTS: dict[str, str] = {
    "serene_maze": "experiments.serene_maze",
    "serene_arm": "experiments.serene_arm",
    "serene_emitters": "experiments.serene_emitters",
    "mujoco_dense": "experiments.mujoco_dense",
    "mex_lock": "experiments.mex_lock",
    "mex_velocity": "experiments.mex_velocity",
    "mex_eta": "experiments.mex_eta",
    "mex_model_based": "experiments.mex_model_based",
    "minigrid_basics": "experiments.minigrid_basics",
    "minigrid_exploration": "experiments.minigrid_exploration",
    "minigrid_memory": "experiments.minigrid_memory",
}
"""Name -> module that exposes `EXPERIMENT`; imported when it is first asked for."""


@dataclass(frozen=True)
class Tier:
    """How much of an experiment to run: every agent in every environment with seeds 0, 1, ..."""

    agents: Mapping[str, Agent]
    """Label -> unbound agent; tables and pictures keep this order."""
    envs: tuple[str, ...]
    """Registered environment ids."""
    seeds: int | Mapping[str, int]
    """Number of seeds, or that of each label."""
    budget: int | Mapping[str, int]
    """Env steps, evaluations or updates of a run, or that of each environment."""
    evals: int = 50
    """Rows of metrics in a run, evenly spaced."""
    eval_episodes: int = 1
    """Episodes of each evaluation of the exploiting behaviour."""
    env_fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Environment id -> values of its fields, where they differ from the defaults."""

    def __post_init__(self) -> None:
        for name, per, keys in (("seeds", self.seeds, set(self.agents)), ("budget", self.budget, set(self.envs))):
            if isinstance(per, Mapping) and set(per) != keys:
                raise ValueError(f"{name} names {sorted(per)}, but the tier has {sorted(keys)}")

    def seeds_of(self, label: str) -> int:
        """Number of seeds of an agent."""
        return self.seeds if isinstance(self.seeds, int) else self.seeds[label]

    def budget_of(self, env: str) -> int:
        """Budget of a run in an environment."""
        return self.budget if isinstance(self.budget, int) else self.budget[env]


@dataclass(frozen=True)
class Claim:
    """A statement that the runs can refute, with its test. Written down before the runs.

    With d = left - right (right - left where lower is better), averaged over seeds, and its 95 % bootstrap
    interval: PASS when the whole interval lies above `margin`, FAIL when it lies below, else INCONCLUSIVE. With
    `within` = (low, high): PASS when the interval lies inside, FAIL when wholly outside. Without `right`, left's
    mean itself is compared: it must exceed `margin` (stay below it, where lower is better).
    """

    name: str
    text: str
    """The statement in one sentence."""
    source: str
    """Paper and place (figure, table) that it comes from."""
    metric: str
    """A name in the final metrics row, or in `Experiment.derived`."""
    env: str
    left: str
    """Label of the agent that the claim speaks of."""
    right: str | None = None
    """Label of its rival."""
    margin: float = 0.0
    within: tuple[float, float] | None = None
    better: Literal["higher", "lower"] = "higher"
    paper_budget: int = 0
    """The budget behind the source's statement; a run below it is marked `reduced`."""


@dataclass(frozen=True)
class Experiment:
    """Everything about an experiment. `smoke` lasts a minute, `repro` hours on two cores, `paper` as the source did."""

    name: str
    title: str
    text: str
    """What is compared and why, for the head of the report."""
    source: str
    smoke: Tier
    repro: Tier
    paper: Tier
    claims: tuple[Claim, ...] = ()
    derived: Mapping[str, Callable[[Mapping[str, float]], float]] = field(default_factory=dict)
    """Metric name -> its value from a final row; NaN where it has none (an area that was never reached)."""
    metrics: tuple[str, ...] = ()
    """Metrics of the table, in order; default: all that are named `eval/...` or `ledger/...`, then the derived."""
    pictures: tuple[str, ...] = ("curves", "archive")
    """Pictures of the report."""

    def __post_init__(self) -> None:
        for claim in self.claims:
            for tier in (self.repro, self.paper):
                known = {claim.left, claim.right} - {None} <= set(tier.agents) and claim.env in tier.envs
                if not known:
                    raise ValueError(f"claim {claim.name!r} of {self.name} names an agent or environment not in a tier")

    def tier(self, name: str) -> Tier:
        """One of the three tiers. Raises ValueError for another name."""
        if name not in TIERS:
            raise unknown("tier", name, TIERS)
        return getattr(self, name)


def load(name: str) -> Experiment:
    """The experiment registered as `name`. Raises ValueError with the nearest name for an unknown one."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    experiment = import_module(EXPERIMENTS[name]).EXPERIMENT
    if experiment.name != name:
        raise ValueError(f"{EXPERIMENTS[name]} calls itself {experiment.name!r}, but is registered as {name!r}")
    return experiment
