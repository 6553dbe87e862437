"""Reading a finished policy of linear experts: when each expert acts, trees that say so, and what both are worth.

    steps     of whole episodes of the shipped policy: some for fitting trees, others for everything that is reported
    returns   of all ways to act by one law, from the same starts: as trained, as printed, by trees, each expert alone

Nothing of a replay is used, which a finished run does not keep. Shapes: B steps, D features, M experts, E episodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.api import Agent
from prospect_rl.agents.continuous import Continuous, flat
from prospect_rl.agents.online.smose import trees
from prospect_rl.agents.online.smose.policy import Law, act_linear, act_trained, is_finite
from prospect_rl.agents.online.smose.trees import Fidelity, Kind, Routing
from prospect_rl.agents.ops import decision_tree
from prospect_rl.envs import rollout
from prospect_rl.envs.api import Array, Env, Episodes, Inputs, Key, Tree
from prospect_rl.experiments.run.keys import EXAM, stream

TRAINED, LINEAR, BY_TREES = "trained", "linear", "trees"
SHARE = 0.1
"""Share of the steps above which an expert counts as a main one."""
FIT, OTHER = 1, 2
"""Numbers of the keys of the fit's episodes, and of all others."""


class Reader:
    """Acts by a law in one way; the behaviour is the law and what else the way needs."""

    def __init__(self, features: Callable[[Tree], Array], way: Callable[[Tree, Array], Array]) -> None:
        self.features, self.way = features, way

    def memory(self, behaviour: Tree, key: Key) -> Tree:
        """It has no memory."""
        return ()

    def fresh_memory(self, behaviour: Tree, memory: Tree, ended: Array, key: Key) -> Tree:
        """It has no memory."""
        return memory

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Array]:
        """The action; extras: the features."""
        seen = self.features(inputs.obs)
        return self.way(behaviour, seen), memory, seen


@dataclass(frozen=True)
class Reading:
    """What a policy of linear experts does on episodes that its trees were not fitted on."""

    law: Law
    """The router and the experts that were read."""
    steps: np.ndarray
    """[B, D] features at the steps of the shipped policy's episodes."""
    chosen: np.ndarray
    """[B] the experts that acted."""
    length: np.ndarray
    """[E] lengths of these episodes, one after another in `steps`."""
    states: Tree
    """[F, ...] states of the first of them, `state_steps` [F] after its start; None unless asked for."""
    state_steps: np.ndarray
    """[F] numbers of steps, each at most the episode's length."""
    returns: dict[str, np.ndarray]
    """Way to act -> returns [E]: `trained`, `linear`, `trees`, and `expert m` for each expert alone, as printed."""
    routings: dict[Kind, Routing]
    """Kind of trees -> trees; `each` is the one that `returns` has."""
    fidelity: dict[Kind, Fidelity]
    """Kind of trees -> how they agree with the router."""

    @property
    def usage(self) -> np.ndarray:
        """[M] share of the steps at which each expert acts."""
        return np.bincount(self.chosen, minlength=len(self.law.router_bias)) / len(self.chosen)

    @property
    def alone(self) -> np.ndarray:
        """[M] mean return of each expert alone."""
        return np.array([self.returns[f"expert {m}"].mean() for m in range(len(self.law.router_bias))])

    def figures(self) -> dict[str, float]:
        """The metrics of an exam."""
        usage, faith = self.usage, self.fidelity["each"]
        known, mean = usage[usage > 0], {way: float(x.mean()) for way, x in self.returns.items()}
        return {
            "reading/trained": mean[TRAINED], "reading/linear": mean[LINEAR], "reading/trees": mean[BY_TREES],
            "reading/best_expert": float(self.alone.max()), "reading/main_experts": float(np.sum(usage > SHARE)),
            "reading/usage_entropy": float(-np.sum(known * np.log(known))) + 0.0,
            "trees/agreement": faith.agreement, "trees/balanced": faith.mean_balanced, "trees/nodes": faith.nodes,
            "trees/none": faith.none, "trees/several": faith.several,
        }  # fmt: skip


def check_reading(agent: Agent) -> None:
    """Raise ValueError, in one line, for an agent without linear experts, or where scikit-learn is missing."""
    readable(agent)
    decision_tree.learner()


def readable(agent: Agent) -> None:
    """Raise ValueError, in one line, for an agent whose policy is not made of linear experts."""
    if not hasattr(agent, "law"):
        name = type(agent).__name__
        raise ValueError(f"the policy of {name} has no linear experts to read: smose and smose_ppo have")


def features_of(agent: Agent, behaviour: Tree) -> Callable[[Tree], Array]:
    """How the law of an agent sees an observation: as one vector [D]."""
    if isinstance(agent, Continuous):
        return lambda obs: flat(obs, 0)
    network = getattr(agent, "network")  # noqa: B009 - of PPO's kin; its encoder has nothing learned
    return lambda obs: network.apply(behaviour.params, obs, method="encode")


def read(
    agent: Agent, env: Env, behaviour: Tree, seed: int, *, episodes: int = 10, depth: int = 3,
    kinds: tuple[Kind, ...] = ("each",), states: int = 0,
) -> Reading:  # fmt: skip
    """Fit trees on `episodes` of a bound agent's shipped behaviour, and measure on as many others.

    Raises ValueError, in one line, for another agent, a law that is not finite, or without scikit-learn.
    """
    readable(agent)
    of: Any = agent
    law: Law = of.law(behaviour)
    if not is_finite(law):
        raise ValueError("the weights of router or experts are not finite: there is nothing to read")
    features, states = features_of(agent, behaviour), min(states, env.spec.horizon - 1)
    record = _recorder(features, episodes, states)
    fit, other = (record(env, law, stream(EXAM, seed, n)) for n in (FIT, OTHER))
    steps, seen = _lived(other), _lived(fit)
    routings: dict[Kind, Routing] = {kind: trees.fit(law, seen, kind=kind, depth=depth) for kind in kinds}
    returns = _returns(env, features, law, routings["each"], stream(EXAM, seed, OTHER), episodes)
    faith: dict[Kind, Fidelity] = {kind: trees.fidelity(routing, law, steps) for kind, routing in routings.items()}
    length = np.asarray(other.length[0])
    at = rollout.frame_steps(env.spec.horizon, states)
    at = at[at <= length[0]]
    kept = jax.tree.map(lambda x: x[0, 0, : len(at)], other.frames)
    return Reading(law, steps, trees.choices(law, steps), length, kept, at, returns, routings, faith)


def _recorder(features: Callable[[Tree], Array], episodes: int, states: int) -> Callable[[Env, Law, Key], Episodes]:
    """The program that plays episodes of the shipped policy and keeps their steps."""
    actor = Reader(features, act_trained)

    @jax.jit
    def go(env: Env, law: Law, key: Key) -> Episodes:
        return rollout.episodes(
            env, actor, law, jnp.ones(1, bool), key, key, population=1, episodes=episodes, starts="fresh",
            shared=True, keep_steps=True, frames=states,
        )  # fmt: skip

    return go


def _lived(played: Episodes) -> np.ndarray:
    """Features [B, D] at all steps before an episode's end, episode by episode."""
    assert played.steps is not None
    live, seen = (np.swapaxes(np.asarray(x)[:, 0], 0, 1) for x in (played.steps.live, played.steps.extras))
    return seen[live]


def _returns(
    env: Env, features: Callable[[Tree], Array], law: Law, routing: Routing, key: Key, episodes: int
) -> dict[str, np.ndarray]:
    """Way to act -> returns [E], as one program: the ways are P policies with the same starts."""
    ways, experts = (TRAINED, LINEAR, BY_TREES), len(law.router_bias)
    names = [*ways, *(f"expert {m}" for m in range(experts))]

    def act(number: Array, seen: Array) -> Array:
        told = trees.decide(routing, seen)[0]
        expert = jnp.where(number == 2, told, number - len(ways))
        routed = jnp.where(number == 0, act_trained(law, seen), act_linear(law, seen))
        return jnp.where(number < 2, routed, act_linear(law, seen, jnp.clip(expert, 0, experts - 1)))

    actor = Reader(features, act)

    @jax.jit
    def go(env: Env, key: Key) -> Array:
        return rollout.episodes(
            env, actor, jnp.arange(len(names)), jnp.ones(len(names), bool), key, key, population=len(names),
            episodes=episodes, group=len(names), starts="fresh",
        ).returns  # fmt: skip

    return dict(zip(names, np.asarray(go(env, key)), strict=True))
