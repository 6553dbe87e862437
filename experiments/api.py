"""What an experiment is: a declaration of agents x environments x seeds, and of the claims they are to test.

A file under `papers/` with an `EXPERIMENT` is one (see `experiments.register`). `experiments.sweeps` runs its cells,
`experiments.reports` writes its page and `experiments.searches` searches for settings.
This module imports no JAX: a sweep must start Ray before JAX.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.metrics import metric_of
from prospect_rl.experiments.search_space import Search

if TYPE_CHECKING:
    from prospect_rl.agents.api import Agent
    from prospect_rl.envs.api import Dataset

TIERS = ("smoke", "repro", "paper")


@dataclass(frozen=True)
class Data:
    """A dataset by its name (see `envs.data.datasets`), with other values for some fields of its recipe."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of data that lies elsewhere `sha256` must be one, for it may change under its name: see `prospect data show`."""

    def check(self) -> None:
        """Raise ValueError where name and fields do not decide what the data is."""
        from prospect_rl.envs.data import datasets

        if datasets.is_external(self.name) and not self.fields.get("sha256"):
            raise ValueError(f"{self.name} may change: give its sha256 among the fields (`prospect data show` says it)")

    @property
    def identity(self) -> Data:
        """What a run is compared by: data that lies elsewhere is its hash, under whatever name."""
        from prospect_rl.envs.data import datasets

        if not datasets.is_external(self.name) or not self.fields.get("sha256"):
            return self
        return Data("elsewhere", {"sha256": self.fields["sha256"]})

    def make(self) -> Dataset:
        """The data. Raises ValueError for an unknown name or field."""
        from prospect_rl.envs.data import datasets

        return datasets.make(self.name, **self.fields)


@dataclass(frozen=True)
class Exam:
    """What a finished agent must do with its environment changed, e.g. at a thousand times the length of training.

    It adds `exam/<name>/return`, `.../length` and `.../success` to the final row of metrics. It may last for long: each
    is kept as soon as it is over, and an interrupted run goes on with the one that it was in.
    """

    name: str
    fields: Mapping[str, Any]
    """Values of the environment's fields, where they differ from the run's."""
    episodes: int = 100
    best: bool = False
    """Also for the state that was first to reach the best `eval/success` of the run: `exam_best/<name>/...`."""


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
    datasets: Mapping[str, Data | Callable[[int], Data]] = field(default_factory=dict)
    """What agents learn from that want `Batches`: by label, or by environment id (the label's own comes first). A
    function gives each seed data of its own."""
    exams: Mapping[str, tuple[Exam, ...]] = field(default_factory=dict)
    """Label -> what the finished agent must do besides."""

    def __post_init__(self) -> None:
        for name, per, keys in (("seeds", self.seeds, set(self.agents)), ("budget", self.budget, set(self.envs))):
            if isinstance(per, Mapping) and set(per) != keys:
                raise ValueError(f"{name} names {sorted(per)}, but the tier has {sorted(keys)}")
        for name, per, keys in (
            ("datasets", self.datasets, {*self.agents, *self.envs}),
            ("exams", self.exams, set(self.agents)),
        ):
            if strange := set(per) - keys:
                raise ValueError(f"{name} names {sorted(strange)}, which the tier does not have")

    def seeds_of(self, label: str) -> int:
        """Number of seeds of an agent."""
        return self.seeds if isinstance(self.seeds, int) else self.seeds[label]

    def budget_of(self, env: str) -> int:
        """Budget of a run in an environment."""
        return self.budget if isinstance(self.budget, int) else self.budget[env]

    def data_of(self, label: str, env: str) -> Data | Callable[[int], Data] | None:
        """What an agent learns from in an environment; None for one that gathers its own experience."""
        from prospect_rl.agents.api import Batches, wants_of

        offline = isinstance(wants_of(self.agents[label])[0], Batches)
        return self.datasets.get(label, self.datasets.get(env)) if offline else None

    def dataset_of(self, label: str, env: str, seeds: Sequence[int]) -> Data | None:
        """The same for the seeds of a run. Raises ValueError where they would need several datasets."""
        data = self.data_of(label, env)
        if not callable(data):
            return data
        if len(seeds) > 1:
            raise ValueError(f"{label} has data of its own for each seed: one run cannot have {len(seeds)} seeds")
        return data(seeds[0])


@dataclass(frozen=True)
class Scores:
    """What the values of a metric are: it decides how an interval of their mean is found (`experiments.reports`)."""

    kind: Literal["real", "bounded", "skewed"]
    """Real: any number, e.g. returns of robots, logarithms of counts. Bounded: between two known numbers, e.g.
    successes, shares, returns of tasks that pay at most 1. Skewed: counts until something happens. One exception:
    coverage and uniformity are real, though they lie between 0 and 1. They are means over thousands of cells, which
    chance takes to no bound: few seeds that agree do tell their spread, as a few successes do not."""
    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def of(cls, metric: str, env: str) -> Scores:
        """Those of a registered metric. Raises ValueError, with the nearest name, for another one."""
        known = metric_of(metric, env)
        return cls(known.kind, known.low, known.high) if known.kind == "bounded" else cls(known.kind)

    def __post_init__(self) -> None:
        if (self.kind == "bounded") != math.isfinite(self.high - self.low) or not self.low < self.high:
            raise ValueError(f"bounded scores, and only they, have finite bounds low < high: not {self}")


REAL, SKEWED, SHARE = Scores("real"), Scores("skewed"), Scores("bounded", 0.0, 1.0)


@dataclass(frozen=True)
class Claim:
    """A statement that the runs can refute, with its test. Written down before the runs.

    With d = left - part * right (the other way round where lower is better), averaged over seeds, and its 95 %
    interval by the method that `scores` calls for: PASS when the whole interval lies above `margin`, FAIL when it lies
    below, else INCONCLUSIVE. With `within` = (low, high): PASS when the interval lies inside, FAIL when wholly outside.
    Without `right`, left's mean itself is compared: it must exceed `margin` (stay below it, where lower is better).
    """

    name: str
    """Short and stable: claims.csv and its history are searched by it."""
    text: str
    """The statement in one sentence that needs no other, with its numbers."""
    source: str
    """Paper and place (section, equation, table, figure) or file of the official code that it comes from."""
    metric: str
    """A name in the final metrics row, or in `Experiment.derived`."""
    env: str
    left: str
    """Label of the agent that the claim speaks of."""
    right: str | None = None
    """Label of its rival."""
    part: float = 1.0
    """How much of the rival's value is compared, e.g. .7 for `keeps 70 % of it`."""
    margin: float = 0.0
    within: tuple[float, float] | None = None
    better: Literal["higher", "lower"] = "higher"
    paper_budget: int = 0
    """The budget behind the source's statement; a run below it is marked `reduced`."""
    kind: Literal["paper", "check"] = field(kw_only=True)
    """Paper: printed in one. Check: a sanity bound, or a reading of ours."""
    scores: Scores = field(default=None, kw_only=True)  # type: ignore[assignment]  # never None once it is made
    """What the metric's values are: by default what `experiments.metrics` says of it in this environment. A metric of
    your own has none there: give one."""

    def __post_init__(self) -> None:
        if self.scores is None:
            object.__setattr__(self, "scores", Scores.of(self.metric, self.env))


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
    derived: Mapping[str, Callable[[Mapping[str, Any]], float]] = field(default_factory=dict)
    """Metric name -> its value from a final row, which also says `env` and `label`; NaN where it has none (an area that
    was never reached)."""
    metrics: tuple[str, ...] = ()
    """Metrics of the table, in order; default: all that are named `eval/...` or `ledger/...`, then the derived."""
    sums: tuple[str, ...] = ()
    """Metrics whose sum over all environments is in the report, where the source reports sums."""
    pictures: tuple[str, ...] = ("curves", "archive")
    """Pictures of the report: curves, archive, exams (whose names are numbers)."""
    search: Search | None = None
    """What `prospect search` tries."""
    file: str = ""
    """Where it comes from, when it is not registered; set by `load`."""

    def __post_init__(self) -> None:
        if self.search:
            for tier in (self.smoke, self.repro, self.paper):
                self.search.check(tier.agents, self.repro.envs)
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

    @property
    def reference(self) -> str:
        """What `load` finds it by: its name or its file."""
        return self.file or self.name

    def trial(self, settings: Mapping[str, Any]) -> Tier:
        """The one cell of a trial of the search, as a tier. Raises ValueError where the agent refuses the settings."""
        if (search := self.search) is None:
            raise ValueError(f"{self.name} declares no search")
        agent, data = self.repro.agents[search.label], self.repro.data_of(search.label, search.env)
        return replace(
            self.repro, agents={search.label: replace(agent, **settings)}, envs=(search.env,), seeds=search.seeds,
            budget=search.budget, evals=search.evals, datasets={search.label: data} if data else {}, exams={},
        )  # fmt: skip


def seeds_name(seeds: Sequence[int]) -> str:
    """`seed-3`, or `seeds-0-4` for several in one run."""
    return f"seed-{seeds[0]}" if len(seeds) == 1 else f"seeds-{seeds[0]}-{seeds[-1]}"
