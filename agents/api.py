"""The interface of an agent; the file to read first.

An agent is a frozen dataclass of its hyper-parameters with pure methods; everything it learns is one pytree,
its state. It declares which experience it wants, and the driver (`experiments.train`) collects it:

    state = agent.init(key)
    repeat   phase = agent.phase(state)
             behaviour, active = agent.explore(state, key, phase)
             data = what agent.wants[phase] asks for, collected by a kernel of `envs.rollout`
             state, metrics = agent.learn(state, data, key, phase)

No agent has a training loop, a log, a seed or a file. Keys: every `key` argument is consumed by the call.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, Self, TypeVar

import jax
import jax.numpy as jnp

from prospect_rl.agents.ship.portable import Policy
from prospect_rl.envs.api import (
    Actor,
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
from prospect_rl.envs.fields import check, without_aliases

__all__ = [
    "Agent", "Array", "Batch", "Batches", "Box", "Dataset", "DefaultRun", "Dict", "Discrete", "Episodes", "Inputs",
    "Key", "Nothing", "Rollouts", "Segment", "Segments", "Spec", "Transitions", "Tree", "Want", "can_share", "cost",
    "hyper",
    "not_bounded_vector", "nought", "traced", "unwritable", "with_arrays",
]  # fmt: skip

# --- the wants ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Segments:
    """Continue `num_envs` streams for `length` steps. An iteration costs num_envs * length environment steps."""

    num_envs: int
    """Number of streams, each a copy of the environment."""
    length: int
    """Number of steps of each stream."""


@dataclass(frozen=True)
class Rollouts:
    """Whole new episodes of `population` policies. An iteration costs one evaluation for each active policy."""

    population: int
    """Number of policies that are evaluated."""
    episodes: int = 1
    """Number of episodes of each policy."""
    group: int = 1
    """Number of consecutive members that share their start states (with starts="fresh")."""
    starts: Literal["fixed", "fresh"] = "fixed"
    """Start states: `fixed` uses the same ones in the whole run, `fresh` new ones in every iteration."""
    shared: bool = False
    """Whether the whole population is one policy, so that the behaviour has no leading axis."""
    keep_steps: bool = False
    """Whether to deliver every step too (P x T x obs in memory: only for agents that learn from trajectories)."""
    frames: int = 0
    """Number of environment states delivered from each episode, evenly spaced, for `env.frame`."""
    covers: bool = True
    """Whether these evaluations count towards exploration metrics (coverage)."""


@dataclass(frozen=True)
class Batches:
    """`updates` batches of `size` dataset rows, or windows of `length`, and `starts` initial rows of episodes."""

    size: int
    """Number of rows or windows in a batch."""
    updates: int
    """Number of batches in an iteration."""
    length: int = 1
    """Number of rows in a window."""
    whole: bool = False
    """Whether windows start at the first row of an episode rather than anywhere."""
    starts: int = 0
    """Number of initial rows of episodes in a batch."""


@dataclass(frozen=True)
class Nothing:
    """No experience: the phase works with what the agent has, e.g. it trains a model; `learn` is given None.

    It takes nothing from the budget, so it must end by itself, and an iteration takes seconds at most: signals are
    handled, and checkpoints are saved, between chunks of iterations. Only later phases may want nothing.
    """


Want = Segments | Rollouts | Batches | Nothing


def cost(want: Want) -> int:
    """The most that one iteration takes from the budget."""
    if isinstance(want, Segments):
        return want.num_envs * want.length
    if isinstance(want, Nothing):
        return 0
    return want.population * want.episodes if isinstance(want, Rollouts) else want.updates


# --- the agent ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DefaultRun:
    """The run of `prospect run AGENT` without further options: a task that the defaults learn in minutes."""

    env: str
    """Registered id of the environment."""
    budget: int
    """Budget in environment steps for `Segments`, evaluations of policies for `Rollouts`, updates for `Batches`."""
    dataset: str | None = None
    """Registered dataset for an agent that wants `Batches`."""


T = TypeVar("T")


class AcceptsAliases(type):
    """Constructors accept the aliases of fields (`hyper(..., alias=...)`) as keywords: `PPO(gae_lambda=0.9)`."""

    def __call__(cls: type[T], *args: Any, **fields: Any) -> T:
        """A new object, made with the names of its fields."""
        return type.__call__(cls, *args, **without_aliases(cls, fields))


@dataclass(frozen=True, kw_only=True)
class Agent(metaclass=AcceptsAliases):
    """Base of all agents. A subclass is a frozen dataclass whose fields are its hyper-parameters."""

    spec: Spec | None = field(default=None, repr=False)
    """Spec of the environment; set by `bind`, never by hand."""

    vmap_seeds: ClassVar[bool] = True
    """Whether several seeds can be one program (`can_share`). False where one seed would wait for another, or where a
    vectorised program would copy what a single one writes in place. Whether it pays: `experiments.run.seeds`."""

    in_step: ClassVar[bool] = False
    """Whether an agent with phases is in the same phase after as many iterations, whatever its seed: else seeds cannot
    be one program."""

    traces: ClassVar[bool] = True
    """Whether runs that differ in `traced` fields may be one program. False where they would wait for each other."""

    default_run: ClassVar[DefaultRun | None] = None
    """The run of `prospect run AGENT`; None where the command line must name an environment."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def wants(self) -> Want | tuple[Want, ...]:
        """The experience an iteration needs; a tuple where phases need different experience."""
        raise NotImplementedError

    def misfit(self, spec: Spec) -> str | None:
        """Why this agent cannot learn in such an environment, in a few words; None if it can."""
        return None

    def bind(self, spec: Spec) -> Self:
        """A copy of the agent bound to an environment's spec. Raises ValueError where they do not fit."""
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
        """The smallest budget that trains the agent at all: the warm-up, if any, and one iteration."""
        return cost(wants_of(self)[0])

    def prepare(self, dataset: Dataset) -> Dataset:
        """The dataset with statistics and weights added, on the host, once before training on it."""
        return dataset

    def init(self, key: Key) -> Tree:
        """The initial state: parameters, optimiser, replay buffer, archive, counters. No key and no env state."""
        raise NotImplementedError

    def phase(self, state: Tree) -> Array | int:
        """The index of the next want in `wants`, int32 []."""
        return 0

    def explore(self, state: Tree, key: Key, phase: int = 0) -> tuple[Tree, Array]:
        """The policy to collect data with: (behaviour, active).

        behaviour leads with [P] where the policies of `Rollouts` differ; active [P] marks the members that
        count (a scalar True for `Segments` and `Batches`).
        """
        return self.exploit(state), jnp.ones((), bool)

    def exploit(self, state: Tree) -> Tree:
        """The behaviour to evaluate and to ship (for an archive agent: its best stored policy)."""
        raise NotImplementedError

    def readings(self, behaviour: Tree) -> dict[str, Tree]:
        """What `exploit` gave, read in other ways, by the names of these: evaluated and shown beside it."""
        return {}

    def memory(self, behaviour: Tree, key: Key) -> Tree:
        """The memory at the start of an episode."""
        return ()

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """ONE step of ONE stream: (action, memory, extras). Whether it is greedy is data of the behaviour.

        Extras are stored for every step and contain no memory: learning replays a segment from its first memory.
        """
        raise NotImplementedError

    def fresh_memory(self, behaviour: Tree, memory: Tree, ended: Array, key: Key) -> Tree:
        """The memory for the next step of ONE stream: as good as `memory(behaviour, key)` where an episode `ended` [].

        A selection is right for every agent. Override it where a memory is emptied for less than a copy of all of it:
        what a count says is not there may stay where it is.
        """
        return Actor.fresh_memory(self, behaviour, memory, ended, key)

    def learn(self, state: Tree, data: Any, key: Key, phase: int = 0) -> tuple[Tree, dict[str, Array]]:
        """One iteration: (state, metrics). `phase` is static; the state keeps its structure and dtypes."""
        raise NotImplementedError

    @property
    def remembers(self) -> bool:
        """Whether what it ships acts by more than the newest observation."""
        return False

    def to_numpy(self, behaviour: Tree) -> Policy:
        """What `exploit` gave as a policy in NumPy alone, by the helpers of `agents.ship.to_numpy`.

        Raises ValueError, in one line, where it cannot be written so; here it never can.
        """
        raise unwritable(self, "it keeps a memory" if self.remembers else "it is no feed-forward network known here")

    def to_json(self, behaviour: Tree) -> dict[str, Any]:
        """What `exploit` gave as named coefficients that people can read.

        Raises ValueError, in one line, where there are none.
        """
        raise ValueError(f"the policy of {type(self).__name__} has no coefficients: it is not made of linear laws")

    def notices(self, row: Mapping[str, Any]) -> list[str]:
        """Messages for the user after each row of metrics, made on the host; the driver reports each text once."""
        return []

    def report(self, state: Tree) -> dict[str, Array]:
        """Arrays for pictures and exports (an archive: genome, descriptor, fitness, area, ...)."""
        return {}


def unwritable(agent: Agent, why: str) -> ValueError:
    """What `Agent.to_numpy` raises."""
    return ValueError(f"the policy of {type(agent).__name__} cannot be written in NumPy: {why}")


# --- fields as arguments of a program ----------------------------------------------------------------


def traced(agent: Agent) -> tuple[str, ...]:
    """The fields that may be arrays in a program, so that runs with other values of them need no program of their own.

    Fields say so themselves: `hyper(3e-4, above=0, traced=True)`. Only iterations of one kind and a known cost can go
    side by side, hence none where an agent has phases or evaluates populations.
    """
    if not agent.traces or isinstance(agent.wants, tuple | Rollouts):
        return ()
    return tuple(f.name for f in fields(agent) if f.metadata.get("traced"))


def with_arrays(agent: Agent, values: Mapping[str, Array]) -> Agent:
    """A copy with arrays [] in the place of floats, inside a program. Their bounds were checked as numbers before."""
    made = copy.copy(agent)
    for name, x in values.items():
        object.__setattr__(made, name, x)
    return made


def can_share(agent: Agent) -> bool:
    """Whether several seeds of an agent can be one program."""
    return agent.vmap_seeds and (agent.in_step or len(wants_of(agent)) == 1)


def nought(x: float | Array) -> bool:
    """Whether a field is the number 0, so that its term can be left out; an array's value is not known."""
    return not isinstance(x, jax.Array) and x == 0


def not_bounded_vector(space: Any) -> str | None:
    """Why an action space is not a vector of bounded real numbers, in a few words; None if it is one."""
    if not isinstance(space, Box) or len(space.shape) != 1:
        return "it needs a vector of real numbers as action"
    return None if space.bounded else "it needs bounded actions"


def wants_of(agent: Agent) -> tuple[Want, ...]:
    """`agent.wants` as a tuple with one entry for each phase."""
    return agent.wants if isinstance(agent.wants, tuple) else (agent.wants,)
