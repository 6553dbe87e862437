"""Declaration of an experiment: agents x environments x seeds, and the claims that its runs test.

Every file under `papers/` that assigns an `EXPERIMENT` declares one (see `experiments.register`). `experiments.sweeps`
executes its runs, `experiments.reports` writes its report and `experiments.searches` tunes hyper-parameters.
This module does not import JAX: a sweep must start Ray before JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from prospect_rl.envs.names import unknown
from prospect_rl.experiments.claim import REAL, SHARE, SKEWED, Claim, Scores
from prospect_rl.experiments.search_space import Search

if TYPE_CHECKING:
    from prospect_rl.agents.api import Agent
    from prospect_rl.envs.api import Dataset, Spec

__all__ = [
    "GPU", "REAL", "SHARE", "SKEWED", "TIERS", "Claim", "Data", "Exam", "Experiment", "Scores", "Tier", "seeds_name",
]  # fmt: skip

GPU = "gpu"
"""The tier that some experiments have for an accelerator, with settings and claims of its own."""
TIERS = ("smoke", "repro", "paper", GPU)


@dataclass(frozen=True)
class Data:
    """A dataset by name (see `envs.data.datasets`), optionally with other values for fields of its recipe."""

    name: str
    """Registered name, `minari/<id>`, or path of a file."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Recipe field -> value. External data must give its `sha256` (printed by `prospect data show`), because it may
    change under the same name."""

    def check(self) -> None:
        """Raise ValueError unless name and fields identify the data uniquely."""
        from prospect_rl.envs.data import datasets

        if datasets.is_external(self.name) and not self.fields.get("sha256"):
            raise ValueError(f"{self.name} may change: add its sha256 to the fields (`prospect data show` prints it)")

    @property
    def identity(self) -> Data:
        """The dataset as it enters a run's hash: external data is identified by its SHA-256 alone, not by its name."""
        from prospect_rl.envs.data import datasets

        if not datasets.is_external(self.name) or not self.fields.get("sha256"):
            return self
        return Data("elsewhere", {"sha256": self.fields["sha256"]})

    def make(self) -> Dataset:
        """Build or read the data. Raises ValueError for an unknown name or field."""
        from prospect_rl.envs.data import datasets

        return datasets.make(self.name, **self.fields)


@dataclass(frozen=True)
class Exam:
    """A test of the finished agent in a changed environment, e.g. with episodes a thousand times longer.

    It adds `exam/<name>/return`, `.../length` and `.../success` to the final metrics row. Exams may take long: the
    result of each is saved as soon as it is complete, and an interrupted run resumes with the first incomplete exam.
    """

    name: str
    """The exam's name within its metrics."""
    fields: Mapping[str, Any]
    """Environment field -> value, for fields that differ from the run's environment."""
    episodes: int = 100
    """Number of episodes, all run in parallel."""
    best: bool = False
    """Also test the first state that reached the run's best `eval/success`, as `exam_best/<name>/...`."""
    reads: bool = field(default=False, metadata={"later": True})
    """Read a policy of linear experts instead (`experiments.run.reading`): fit trees on so many episodes, and add what
    these and both readings of the law are worth on others, as `reading/...` and `trees/...`."""


@dataclass(frozen=True)
class Tier:
    """The size of an experiment: every agent in every environment with seeds 0, 1, ...

    Args:
        agents: Label -> agent, not bound to an environment. Tables and figures keep this order.
        envs: Ids of registered environments.
        seeds: Number of seeds, one for all agents or label -> number.
        budget: Budget of each run in its agent's unit, one for all or by label or environment id.
        evals: Number of metrics rows in a run.
        eval_episodes: Episodes per evaluation.
        env_fields: Environment id -> {field -> value}.
        datasets: Label or environment id -> dataset, for agents that learn from data.
        exams: Label -> exams of the finished agent.
        seen: Number of seeds whose verdicts were known when the others were declared.
        sized: Label -> fields of its agent that follow from the environment's spec.
        gpu_seeds: Number of seeds on a GPU, one for all agents or label -> number.

    Raises:
        ValueError: A mapping names a label or an environment that the tier does not have, or misses one.

    Example:
        >>> Tier({"td3": TD3()}, ("mujoco/hopper",), seeds=3, budget=100_000)
    """

    agents: Mapping[str, Agent]
    """Label -> unbound agent; tables and figures keep this order."""
    envs: tuple[str, ...]
    """Ids of the registered environments, in the order of the tables."""
    seeds: int | Mapping[str, int]
    """Number of seeds, one for all agents or one per label."""
    budget: int | Mapping[str, int | Mapping[str, int]]
    """Environment steps, evaluations or updates of a run: one for all, or by label (which takes precedence, and whose
    entry may be by environment id) or by environment id."""
    evals: int = 50
    """Number of metrics rows in a run, evenly spaced over the budget."""
    eval_episodes: int = 1
    """Number of episodes per evaluation of the exploiting behaviour."""
    env_fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Environment id -> {field -> value}, for fields that differ from their defaults."""
    datasets: Mapping[str, Data | Callable[[int], Data]] = field(default_factory=dict)
    """Data of the agents that want `Batches`, by label or by environment id; an entry for the label takes precedence.
    A function of the seed gives each seed its own data."""
    exams: Mapping[str, tuple[Exam, ...]] = field(default_factory=dict)
    """Label -> exams that its finished agent takes."""
    seen: int = 0
    """If more seeds were declared after the verdicts of the first ones were known: the number of these first ones. A
    verdict that rests on more seeds has an interval of 97.1 % instead of 95 %, because it is the second look."""
    sized: Mapping[str, Callable[[Spec], Mapping[str, Any]]] = field(default_factory=dict)
    """Label -> function of an environment's spec that gives fields of its agent there, e.g. a width."""
    gpu_seeds: int | Mapping[str, int] | None = None
    """Number of seeds of an agent that runs on a GPU, where all are one program and more cost little; by default and
    for labels that it leaves out as many as elsewhere."""

    def __post_init__(self) -> None:
        if isinstance(seeds := self.seeds, Mapping) and set(seeds) != set(self.agents):
            raise ValueError(f"seeds names {sorted(seeds)}, but the tier has {sorted(self.agents)}")
        for name, per, keys in (
            ("budget", self.budget if isinstance(self.budget, Mapping) else {}, {*self.agents, *self.envs}),
            ("datasets", self.datasets, {*self.agents, *self.envs}),
            ("exams", self.exams, set(self.agents)),
            ("sized", self.sized, set(self.agents)),
            ("gpu_seeds", self.gpu_seeds if isinstance(self.gpu_seeds, Mapping) else (), set(self.agents)),
        ):
            if strange := set(per) - keys:
                raise ValueError(f"{name} names {sorted(strange)}, which the tier does not have")
        for env in self.envs:
            self.budgets_in(env)  # raises where there is none

    def seeds_of(self, label: str, device: str = "cpu") -> int:
        """Number of seeds of an agent on a kind of device."""
        if device == GPU and self.gpu_seeds is not None:
            if isinstance(self.gpu_seeds, int):
                return self.gpu_seeds
            if label in self.gpu_seeds:
                return self.gpu_seeds[label]
        return self.seeds if isinstance(self.seeds, int) else self.seeds[label]

    def budget_of(self, env: str, label: str) -> int:
        """Budget of an agent's run in an environment. Raises ValueError if there is none."""
        found = self.budget if isinstance(self.budget, int) else self.budget.get(label, self.budget.get(env))
        if isinstance(found := found.get(env) if isinstance(found, Mapping) else found, int):
            return found
        raise ValueError(f"budget names neither {label} nor {env}: {label} has none in {env}")

    def budgets_in(self, env: str) -> tuple[int, ...]:
        """The budgets of all agents in an environment, each once."""
        return tuple(dict.fromkeys(self.budget_of(env, label) for label in self.agents))

    def agent_of(self, label: str, env: str) -> Agent:
        """The agent of a label in an environment, with the fields that follow from its spec."""
        if label not in self.sized:
            return self.agents[label]
        from prospect_rl import envs

        return replace(self.agents[label], **self.sized[label](envs.make(env, **self.env_fields.get(env, {})).spec))

    def data_of(self, label: str, env: str) -> Data | Callable[[int], Data] | None:
        """The data an agent learns from in an environment; None for an agent that collects its own experience."""
        from prospect_rl.agents.api import Batches, wants_of

        offline = isinstance(wants_of(self.agents[label])[0], Batches)
        return self.datasets.get(label, self.datasets.get(env)) if offline else None

    def dataset_of(self, label: str, env: str, seeds: Sequence[int]) -> Data | None:
        """The dataset of one run over these seeds. Raises ValueError if they would need several datasets."""
        data = self.data_of(label, env)
        if not callable(data):
            return data
        if len(seeds) > 1:
            raise ValueError(f"{label} has separate data for each seed: one run cannot have {len(seeds)} seeds")
        return data(seeds[0])


@dataclass(frozen=True)
class Experiment:
    """A complete experiment: what to run at three sizes, or four, what to report, and which claims to test.

    Args:
        name: Name on the command line, equal to the file's name.
        title: Title of the report.
        text: Introduction of the report.
        source: Papers that the experiment follows.
        smoke: Tier that takes about a minute.
        repro: Tier that takes hours on two cores.
        paper: Tier of the source's own size.
        gpu: Tier for one GPU: large batches, all seeds of an agent as one program.
        gpu_claims: Statements about the runs of that tier alone.
        gpu_text: What is different in that tier.
        claims: Statements with their tests.
        derived: Metric name -> function of a final metrics row.
        metrics: Metrics of the report's table.
        sums: Metrics that are summed over environments.
        pictures: Figures of the report.
        search: Hyper-parameter search of `prospect search`.
        file: Python file, if the experiment is not registered.

    Raises:
        ValueError: A claim or the search names an agent, environment or field that a tier does not have.

    Example:
        >>> tier = Tier({"td3": TD3()}, ("mujoco/hopper",), seeds=3, budget=100_000)
        >>> EXPERIMENT = Experiment("mine", "A title", "What is compared.", "ours", tier, tier, tier)
    """

    name: str
    """Name on the command line; it must equal the file's name."""
    title: str
    """Title of the report and of listings."""
    text: str
    """What is compared and why; the introduction of the report."""
    source: str
    """Papers or benchmarks that the experiment follows."""
    smoke: Tier
    """A quick check that takes about a minute."""
    repro: Tier
    """The size that runs within hours on two cores."""
    paper: Tier
    """The size that the source used."""
    claims: tuple[Claim, ...] = ()
    """Statements about the runs, each with its test; of the tier `gpu`, those in `gpu_claims`."""
    gpu: Tier | None = None
    """Settings for one GPU, on which all runs take at most 25 minutes; None for an experiment without."""
    gpu_claims: tuple[Claim, ...] = ()
    """Statements about the runs of the tier `gpu`, declared before any of them."""
    gpu_text: str = ""
    """How that tier differs from the others, where its settings come from, and how long it takes on what ground."""
    derived: Mapping[str, Callable[[Mapping[str, Any]], float]] = field(default_factory=dict)
    """Metric name -> function of a final metrics row, which also holds `env` and `label`; NaN where the metric has no
    value (e.g. for an area that was never reached)."""
    metrics: tuple[str, ...] = ()
    """Metrics of the table, in order. Default: all `eval/...` and `ledger/...` metrics, then the derived ones."""
    sums: tuple[str, ...] = ()
    """Metrics whose sum over all environments is reported, where the source reports sums."""
    pictures: tuple[str, ...] = ("curves", "archive")
    """Figures of the report: curves, archive, exams (for exams whose names are numbers)."""
    search: Search | None = None
    """The hyper-parameter search that `prospect search` runs."""
    file: str = ""
    """Path of an experiment that is not registered; set by `load`."""

    def __post_init__(self) -> None:
        if self.search:
            searched = self.tier(self.search.tier)
            for tier in (searched, self.smoke, self.repro, self.paper):
                self.search.check(tier.agents, searched.envs)
        for name in ("repro", "paper", GPU):
            for claim in self.claims_of(name):
                tier, agents = self.tier(name), {claim.left, claim.right, claim.unit} - {None}
                known = agents <= set(tier.agents) and set(claim.envs) <= set(tier.envs)
                if not known:
                    raise ValueError(f"claim {claim.name!r} of {self.name} names an agent or environment not in a tier")

    @property
    def tiers(self) -> dict[str, Tier]:
        """Name -> tier, for those that the experiment has."""
        return {name: tier for name in TIERS if (tier := getattr(self, name)) is not None}

    def tier(self, name: str) -> Tier:
        """One of the tiers. Raises ValueError for a name that the experiment has no tier of."""
        if name not in TIERS:
            raise unknown("tier", name, TIERS)
        if name not in self.tiers:
            raise ValueError(f"{self.name} has no tier {name!r}; it has {', '.join(self.tiers)}")
        return self.tiers[name]

    def claims_of(self, tier: str) -> tuple[Claim, ...]:
        """The statements about the runs of a tier."""
        return self.gpu_claims if tier == GPU else self.claims

    @property
    def every_claim(self) -> tuple[Claim, ...]:
        """The statements about the runs of all tiers."""
        return (*self.claims, *self.gpu_claims)

    @property
    def reference(self) -> str:
        """The argument of `load` that returns this experiment: its name or its file."""
        return self.file or self.name

    def trial(self, settings: Mapping[str, Any]) -> Tier:
        """A tier with the single run of a search trial. Raises ValueError if the agent rejects the settings."""
        if (search := self.search) is None:
            raise ValueError(f"{self.name} declares no search")
        tier = self.tier(search.tier)
        fields = {search.env: {**tier.env_fields.get(search.env, {}), **search.env_fields}}
        agent = replace(tier, env_fields=fields).agent_of(search.label, search.env)
        data = tier.data_of(search.label, search.env)
        return replace(
            tier, agents={search.label: replace(agent, **settings)}, envs=(search.env,), seeds=search.seeds,
            budget=search.budget, evals=search.evals, datasets={search.label: data} if data else {}, exams={},
            env_fields=fields, sized={}, seen=0, gpu_seeds=None,
        )  # fmt: skip


def seeds_name(seeds: Sequence[int]) -> str:
    """Folder name of a run's seeds: `seed-3`, or `seeds-0-4` for several seeds in one run."""
    return f"seed-{seeds[0]}" if len(seeds) == 1 else f"seeds-{seeds[0]}-{seeds[-1]}"
