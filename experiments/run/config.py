"""Configuration of a run: everything that determines its result."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax

from prospect_rl import envs
from prospect_rl.agents.api import Agent, Batches, can_share, cost
from prospect_rl.envs import identity
from prospect_rl.envs.api import Dataset, Env
from prospect_rl.envs.threads import threads
from prospect_rl.experiments.api import Data, Exam
from prospect_rl.experiments.run import durable
from prospect_rl.experiments.run.device import backend
from prospect_rl.experiments.run.durable import Json
from prospect_rl.experiments.run.program import check_wants

if TYPE_CHECKING:
    from prospect_rl.experiments.run.config import Run

LARGEST = 2**31 - 2**24
"""Largest budget: counters are int32, with room for the last iteration."""


@dataclass(frozen=True)
class Run:
    """The configuration of one run: an agent, an environment, its seed or seeds, and the budget.

    Args:
        agent: The agent with its hyper-parameters, not bound to an environment.
        env: Id of a registered environment, or an environment object.
        env_fields: Pairs (field, value) for a registered environment.
        seeds: Seeds, each 0 to 2**32 - 1; several train as one program.
        budget: Environment steps, policy evaluations or updates, depending on the agent.
        evals: Number of metrics rows, evenly spaced over the budget.
        eval_episodes: Episodes per evaluation.
        name: Label in tables; not part of the hash.
        dataset: Name and fields of the dataset, for agents that want `Batches`.
        exams: Exams of the finished agent.
        device: Kind of device, part of the hash unless it is the CPU; None for the one that JAX uses in this process.

    Example:
        >>> run = Run(TD3(), "mujoco/hopper", seeds=(1,), budget=100_000)
        >>> result = train_run(run, out="run")
    """

    agent: Agent
    """The agent, not bound to an environment."""
    env: str | Env
    """A registered id, or any object with `spec`, `reset` and `step`."""
    env_fields: tuple[tuple[str, Any], ...] = ()
    """Pairs (field, value) for fields of a registered environment."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the run; more than one only where they can be one program (`agents.api.can_share`)."""
    budget: int = 0
    """Environment steps, policy evaluations or updates, depending on what the agent wants."""
    evals: int = 20
    """Number of metrics rows, evenly spaced over the budget."""
    eval_episodes: int = 1
    """Number of episodes per evaluation."""
    name: str = ""
    """A human-readable label; not part of the hash."""
    dataset: Data | None = None
    """Dataset by name, for an agent that wants `Batches`; a dataset object is passed to `train` instead."""
    exams: tuple[Exam, ...] = ()
    """Exams that the finished agent takes."""
    device: str | None = None
    """Kind of device that the run is for, `cpu` or `gpu`; None for the one that JAX uses in this process."""

    def config(self) -> dict[str, Json]:
        """Everything that determines the result, as JSON. Raises ValueError for a field that JSON cannot represent."""
        device = self.device or backend()
        return {
            "agent": {"name": type(self.agent).__name__, **durable.fields_of(self.agent, leave_out=("spec",))},
            "env": self._env_config(), "seeds": list(self.seeds), "budget": self.budget, "evals": self.evals,
            "eval_episodes": self.eval_episodes,
            **({"dataset": durable.fields_of(self.dataset.identity)} if self.dataset else {}),
            **({"exams": [durable.fields_of(exam) for exam in self.exams]} if self.exams else {}),
            **({"device": device} if device != "cpu" else {}),
        }  # fmt: skip

    def _env_config(self) -> dict[str, Json]:
        if isinstance(self.env, str):
            return {"id": self.env, "fields": durable.canonical(dict(self.env_fields))}
        return env_config(self.env)

    @property
    def hash(self) -> str:
        """Hash of the configuration, 16 hexadecimal digits."""
        return durable.hash_of(self.config())

    @property
    def marks(self) -> list[int]:
        """The budgets at which metrics rows are written, in increasing order."""
        return [-(-self.budget * i // self.evals) for i in range(1, self.evals + 1)]

    def check(self, dataset: Dataset | None) -> None:
        """Raise ValueError, with a one-line message, for an invalid configuration."""
        if jax.config.jax_enable_x64:  # type: ignore[attr-defined]
            raise ValueError("JAX's 64-bit mode is on, but all programs here use 32 bits: unset JAX_ENABLE_X64")
        wants, name = check_wants(self.agent), type(self.agent).__name__
        first = wants[0]
        threads()  # raises ValueError for an invalid NPROC
        for what, value in [("evals", self.evals), ("eval_episodes", self.eval_episodes), ("seeds", len(self.seeds))]:
            if value < 1:
                raise ValueError(f"{what} must be at least 1, not {value}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ from each other: {list(self.seeds)}")
        if not all(0 <= seed < 2**32 for seed in self.seeds):
            raise ValueError(f"seeds must lie between 0 and 2**32 - 1: {list(self.seeds)}")
        if len(self.seeds) > 1 and not can_share(self.agent):
            raise ValueError(f"{name} trains one seed per run, not {len(self.seeds)}: start one run per seed")
        if self.budget < cost(first):
            raise ValueError(f"budget {self.budget} is less than one iteration of {name}, which takes {cost(first)}")
        if self.budget < (least := self.agent.least_budget):
            raise ValueError(f"budget {self.budget} ends before {name} begins to learn: use at least {least}")
        if self.budget > LARGEST or self.evals > self.budget:
            raise ValueError(f"budget {self.budget} must lie between evals ({self.evals}) and {LARGEST}")
        given = dataset is not None or self.dataset is not None
        if isinstance(first, Batches) and not given:
            raise ValueError(f"{name} learns from a dataset, but none is given")
        if not isinstance(first, Batches) and given:
            raise ValueError(f"{name} learns from its own experience and takes no dataset")

    def make_env(self, **others: Any) -> Env:
        """Create the environment; `others` override its fields. Raises ValueError for an unknown id or field."""
        if isinstance(self.env, str):
            return envs.make(self.env, **dict(self.env_fields) | others)
        if self.env_fields or others:
            raise ValueError("env_fields are for registered ids; set the fields on the environment object itself")
        return self.env


def env_config(env: Any) -> dict[str, Json]:
    """Configuration of an environment object and the environments that it wraps, without arrays (`data_hashes`)."""
    about = {"id": env.spec.id, "class": type(env).__qualname__}
    known = dataclasses.is_dataclass(env)
    fields = [f for f in durable.told(env) if f.name != "spec"] if known else []
    held = {f.name: getattr(env, f.name) for f in fields} if known else getattr(env, "__dict__", {})
    within = {name: env_config(x) for name, x in held.items() if isinstance(x, Env)}
    if known:
        static = {f.name for f in fields if not f.metadata.get("pytree_node", False)} - set(within)
        said = {name: durable.canonical(held[name]) for name in held if name in static}
    else:  # not a dataclass: its attributes that are numbers, strings or arrays
        plain = {name: x for name, x in held.items() if identity.plain(x)}
        said = identity.facts({"obs": env.spec.obs, "action": env.spec.action, "horizon": env.spec.horizon} | plain)
    return {**about, "fields": said | within}
