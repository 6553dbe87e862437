"""The page to read first: what an agent is.

An agent is a frozen dataclass of its hyper-parameters with pure methods; all that it learns is one pytree,
its state. It says which experience it wants, and the driver (`experiments.train`) brings it:

    state = agent.init(key)
    repeat   phase = agent.phase(state)
             behaviour, active = agent.explore(state, key, phase)
             data = what agent.wants[phase] asks for, gathered by a kernel of `envs.rollout`
             state, metrics = agent.learn(state, data, key, phase)

No agent has a training loop, a log, a seed or a file. Keys: every `key` argument is consumed by the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import (
    Array,
    Batch,
    Box,
    Dataset,
    Dict,
    Discrete,
    Episodes,
    Inputs,
    Key,
    Segment,
    Spec,
    Transitions,
    Tree,
)
from prospect_rl.envs.fields import bounded as hyper
from prospect_rl.envs.fields import check

__all__ = [
    "Agent", "Array", "Batch", "Batches", "Box", "Dataset", "DefaultRun", "Dict", "Discrete", "Episodes", "Inputs",
    "Key", "Rollouts", "Segment", "Segments", "Spec", "Transitions", "Tree", "Want", "cost", "hyper",
    "not_bounded_vector",
]  # fmt: skip

# --- the three wants ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Segments:
    """Continue `num_envs` streams for `length` steps. An iteration costs num_envs * length env steps."""

    num_envs: int
    length: int


@dataclass(frozen=True)
class Rollouts:
    """Whole fresh episodes of `population` policies. An iteration costs one evaluation an active policy."""

    population: int
    episodes: int = 1
    """Episodes of each policy."""
    group: int = 1
    """Members in a row that share their starts (with starts="fresh")."""
    starts: Literal["fixed", "fresh"] = "fixed"
    """Fixed: the same starts in the whole run; fresh: new ones in every iteration."""
    shared: bool = False
    """One policy for the whole population: the behaviour has no leading axis."""
    keep_steps: bool = False
    """Deliver every step too (P x T x obs in memory: ask only where trajectories are learned from)."""
    frames: int = 0
    """Deliver this many env states of each episode, evenly spaced, for `env.frame`."""
    covers: bool = True
    """Whether these evaluations count as exploration, hence towards coverage."""


@dataclass(frozen=True)
class Batches:
    """`updates` batches of `size` dataset rows, or windows of `length`, and `starts` first rows of episodes."""

    size: int
    updates: int
    length: int = 1
    whole: bool = False
    """Windows begin with the first row of an episode, rather than anywhere."""
    starts: int = 0


Want = Segments | Rollouts | Batches


def cost(want: Want) -> int:
    """The most that one iteration takes from the budget."""
    if isinstance(want, Segments):
        return want.num_envs * want.length
    return want.population * want.episodes if isinstance(want, Rollouts) else want.updates


# --- the agent ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DefaultRun:
    """What `prospect run AGENT` does when nothing else is said: a task that the defaults learn in minutes."""

    env: str
    """A registered id."""
    budget: int
    """Env steps for `Segments`, evaluations of policies for `Rollouts`, updates for `Batches`."""
    dataset: str | None = None
    """The registered dataset that an agent that wants `Batches` learns from."""


@dataclass(frozen=True, kw_only=True)
class Agent:
    """Base of all agents. A subclass is a frozen dataclass, its fields are its hyper-parameters."""

    spec: Spec | None = field(default=None, repr=False)
    """The environment's spec; set by `bind`, never by hand."""

    vmap_seeds: ClassVar[bool] = True
    """Seeds run as one vmapped program. False for agents with phases, replay or loops bounded by a count."""

    default_run: ClassVar[DefaultRun | None] = None
    """The run of `prospect run AGENT`; None where the command line must name an environment."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def wants(self) -> Want | tuple[Want, ...]:
        """The experience an iteration needs; a tuple where phases want different amounts."""
        raise NotImplementedError

    def misfit(self, spec: Spec) -> str | None:
        """Why this agent cannot learn in such an environment, in a few words; None if it can."""
        return None

    def bind(self, spec: Spec) -> Self:
        """A copy that knows the environment's shapes. Raises ValueError where they do not fit."""
        if reason := self.misfit(spec):
            raise ValueError(f"{type(self).__name__} does not fit {spec.id}: {reason}")
        return replace(self, spec=spec)

    @property
    def bound(self) -> Spec:
        """The spec of a bound agent. Raises ValueError on an unbound one."""
        if self.spec is None:
            raise ValueError(f"{type(self).__name__} is not bound: call agent.bind(env.spec) first")
        return self.spec

    @property
    def least_budget(self) -> int:
        """The smallest budget in which something is learned: one iteration, after whatever comes before learning."""
        return cost(wants_of(self)[0])

    def prepare(self, dataset: Dataset) -> Dataset:
        """On the host, once, before training on a dataset: statistics, weights."""
        return dataset

    def init(self, key: Key) -> Tree:
        """Everything learned: parameters, optimiser, replay, archive, counters. No key and no env state."""
        raise NotImplementedError

    def phase(self, state: Tree) -> Array | int:
        """Which of `wants` comes next, int32 []."""
        return 0

    def explore(self, state: Tree, key: Key, phase: int = 0) -> tuple[Tree, Array]:
        """What to run to gather data: (behaviour, active).

        behaviour leads with [P] where the policies of `Rollouts` differ; active [P] marks the members that
        count (a scalar True for `Segments` and `Batches`).
        """
        return self.exploit(state), jnp.ones((), bool)

    def exploit(self, state: Tree) -> Tree:
        """The behaviour to evaluate and to ship (an archive agent: its best stored policy)."""
        raise NotImplementedError

    def memory(self, behaviour: Tree, key: Key) -> Tree:
        """What is remembered at the start of an episode."""
        return ()

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """ONE step of ONE stream: (action, memory, extras). Greedy or exploring is data of the behaviour."""
        raise NotImplementedError

    def learn(self, state: Tree, data: Any, key: Key, phase: int = 0) -> tuple[Tree, dict[str, Array]]:
        """One iteration: (state, metrics). `phase` is static; the state keeps its structure and dtypes."""
        raise NotImplementedError

    def notices(self, row: Mapping[str, Any]) -> list[str]:
        """What people should know, on the host, after each row of metrics; the driver tells each text once."""
        return []

    def report(self, state: Tree) -> dict[str, Array]:
        """Arrays that pictures and exports need (an archive: genome, descriptor, fitness, area, ...)."""
        return {}


def not_bounded_vector(space: Any) -> str | None:
    """Why an action space is not a vector of bounded real numbers, in a few words; None if it is one."""
    if not isinstance(space, Box) or len(space.shape) != 1:
        return "it needs a vector of real numbers as action"
    if not np.all(np.isfinite(space.low)) or not np.all(np.isfinite(space.high)):
        return "it needs bounded actions"
    return None


def wants_of(agent: Agent) -> tuple[Want, ...]:
    """`agent.wants` as a tuple with one entry a phase."""
    return agent.wants if isinstance(agent.wants, tuple) else (agent.wants,)
