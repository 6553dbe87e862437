"""Tabular MEX: the model-based algorithm of MEX's theory, for problems that fit into tables.

Source: Liu et al., NeurIPS 2023 ("Maximize to Explore"), arXiv 2305.18258, the model-based algorithm; the search over
models and the combination lock are ours (docs/methods/mex.md). Before every episode

    f = argmax over models P_theta of   weight V_P(first state) + log-likelihood of all transitions - ridge |theta|^2

and the agent acts by the greedy policy of f. weight is 1 / eta of the paper. There is no other exploration: optimism
comes from the value term alone. The maximum is found by Adam from several starting points, because V_P is flat where
the
greedy policy of a starting point never goes, and there the gradient is zero.

Shapes: S states, A actions, H steps of an episode, 3 starting points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from prospect_rl.agents.api import (
    Agent,
    Array,
    DefaultRun,
    Discrete,
    Episodes,
    Inputs,
    Key,
    Rollouts,
    Spec,
    Tree,
    hyper,
)
from prospect_rl.agents.ops import tabular

FORWARD_LOGIT = 3.0
"""Number added to the next state's logits in the starting point where every action moves forward."""
INITIAL_STD = 1e-3
"""Standard deviation of the initial logits, so that the order of equal actions depends on the seed."""
FORBIDDEN_LOGIT = -1e9
"""Logit of a next state that no model may have; finite, so that 0 visits times it are 0."""


@struct.dataclass
class State:
    """The chosen model and the transition counts; the policies follow from them."""

    logits: Array
    """[S, A, S] logits of the chosen model."""
    counts: Array
    """[S, A, S] number of transitions observed."""


@dataclass(frozen=True, kw_only=True)
class TabularMEX(Agent):
    """MEX with a tabular softmax model. Rewards are known (`spec.rewards` [S][A]), transitions are learned."""

    default_run = DefaultRun("lock/combination", 150)

    weight: float = hyper(30.0, least=0)
    """Weight of the first state's value against the log-likelihood summed over all data; 0 means no optimism."""
    starts: Literal["multi", "single"] = "multi"
    """Starting points of the search for a model: `multi` uses the previous model, the smoothed counts, and the counts
    with every action biased forward; `single` uses the previous model only."""
    jump: int = hyper(1, least=1)
    """Number of states that a model may move forward in one step: from state s to the states 0 to s + jump."""
    steps: int = hyper(60, least=1)
    """Number of Adam steps of the search from each starting point."""
    learning_rate: float = hyper(0.1, above=0)
    """Learning rate of the Adam optimiser of the search."""
    ridge: float = hyper(0.005, least=0)
    """Weight of the penalty on the model's squared logits."""
    smoothing: float = hyper(0.5, above=0)
    """Number that is added to every transition count where the search starts from counts."""
    bonus: float = hyper(0.0, least=0)
    """Exploration bonus of a baseline method: this over the square root of a pair's visits (at least 1) is added to its
    reward when the exploring policy is planned."""
    epsilon: float = hyper(0.0, least=0, most=1)
    """Probability of a random action while a baseline method explores; at 1 the shipped policy is random too, as the
    random baseline."""

    @property
    def wants(self) -> Rollouts:
        """One episode, with all of its steps."""
        return Rollouts(1, starts="fresh", shared=True, keep_steps=True)

    def misfit(self, spec: Spec) -> str | None:
        """Needs discrete states and actions, known rewards, start state 0 and episodes of a fixed length."""
        if not isinstance(spec.obs, Discrete) or not isinstance(spec.action, Discrete):
            return "it needs discrete states and actions"
        if np.shape(getattr(spec, "rewards", ())) != (spec.obs.n, spec.action.n):
            return "it needs a known reward for every state and action (spec.rewards)"
        return None if spec.fixed_length else "it needs episodes of a fixed length"

    @property
    def reward(self) -> Array:
        """The known rewards [S, A]."""
        return jnp.asarray(getattr(self.bound, "rewards"), jnp.float32)  # noqa: B009 - a tabular spec's own field

    @property
    def allowed(self) -> Array:
        """[S, 1, S] the next states that a model may have."""
        states = jnp.arange(self.reward.shape[0])
        return (states[None] <= states[:, None] + self.jump)[:, None]

    @property
    def remembers(self) -> bool:
        """Yes: the step of the episode, for the plan is made for its length."""
        return True

    def init(self, key: Key) -> State:
        """The model with the highest objective before any data."""
        states, actions = self.reward.shape
        logits = INITIAL_STD * jax.random.normal(key, (states, actions, states))
        counts = jnp.zeros_like(logits)
        return State(self.fit(jnp.where(self.allowed, logits, 0.0), counts)[0], counts)

    # --- the objective -------------------------------------------------------------------------------

    def log_model(self, logits: Array) -> Array:
        """The log probabilities log P_theta [S, A, S]."""
        return jax.nn.log_softmax(jnp.where(self.allowed, logits, FORBIDDEN_LOGIT))

    def value(self, logits: Array) -> Array:
        """V_P(first state) [] over H steps of the model's own greedy policy."""
        return tabular.plan(jnp.exp(self.log_model(logits)), self.reward, self.bound.horizon)[0][0]

    def objective(self, logits: Array, counts: Array) -> Array:
        """The objective of MEX [] (see the module's docstring). Logits of forbidden next states must be 0."""
        likelihood = jnp.sum(counts * self.log_model(logits))
        return self.weight * self.value(logits) + likelihood - self.ridge * jnp.sum(jnp.square(logits))

    def candidates(self, previous: Array, counts: Array) -> Array:
        """Logits [starts, S, A, S] from which the search starts."""
        if self.starts == "single":
            return previous[None]
        seen = jnp.log(counts + self.smoothing)
        states = jnp.arange(len(seen))
        ahead = FORWARD_LOGIT * (states[None] == jnp.minimum(states[:, None] + 1, len(seen) - 1))
        return jnp.where(self.allowed, jnp.stack([previous, seen, seen + ahead[:, None]]), 0.0)

    def fit(self, previous: Array, counts: Array) -> tuple[Array, Array, Array]:
        """(logits [S, A, S], objective [], starting point [] int32) of the best model found."""
        optimiser = optax.adam(self.learning_rate)

        def ascend(logits: Array) -> Array:
            def step(carry: tuple[Array, Tree], _: None) -> tuple[tuple[Array, Tree], None]:
                logits, moments = carry
                slope = jax.grad(self.objective)(logits, counts)
                change, moments = optimiser.update(-slope, moments)
                return (optax.apply_updates(logits, change), moments), None  # type: ignore[return-value]

            return jax.lax.scan(step, (logits, optimiser.init(logits)), None, length=self.steps)[0][0]

        found = jax.vmap(ascend)(self.candidates(previous, counts))
        scores = jax.vmap(self.objective, (0, None))(found, counts)
        best = jnp.argmax(scores).astype(jnp.int32)
        return found[best], scores[best], best

    # --- acting and learning -------------------------------------------------------------------------

    def greedy(self, state: State, reward: Array) -> Array:
        """The best actions [H, S] in the chosen model for these rewards [S, A]."""
        return tabular.plan(jnp.exp(self.log_model(state.logits)), reward, self.bound.horizon)[1]

    def explore(self, state: State, key: Key, phase: int = 0) -> tuple[Tree, Array]:
        """The greedy policy of the chosen model, with the bonus and epsilon of the baseline methods."""
        visits = jnp.sum(state.counts, axis=2)
        policy = self.greedy(state, self.reward + self.bonus / jnp.sqrt(jnp.maximum(visits, 1)))
        return {"policy": policy, "epsilon": jnp.float32(self.epsilon)}, jnp.ones(1, bool)

    def exploit(self, state: State) -> Tree:
        """The greedy policy of the chosen model."""
        return {"policy": self.greedy(state, self.reward), "epsilon": jnp.float32(self.epsilon == 1)}

    def memory(self, behaviour: Tree, key: Key) -> Array:
        """The index of the step: an optimal policy depends on the number of steps left."""
        return jnp.int32(0)

    def act(self, behaviour: Tree, memory: Array, inputs: Inputs, key: Key) -> tuple[Array, Array, Tree]:
        """The policy's action, or with probability epsilon a random one."""
        space, (k_whether, k_which) = self.bound.action, jax.random.split(key)
        assert isinstance(space, Discrete)
        anything = jax.random.uniform(k_whether) < behaviour["epsilon"]
        planned = behaviour["policy"][memory, inputs.obs]
        return jnp.where(anything, space.sample(k_which), planned), memory + 1, ()

    def learn(self, state: State, data: Episodes, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """Count the episode's transitions and search for the best model again."""
        assert data.steps is not None
        steps = data.steps
        seen = (steps.inputs.obs, steps.action, steps.next_obs)
        counts = state.counts.at[seen].add(steps.live.astype(jnp.float32))
        logits, objective, start = self.fit(state.logits, counts)
        figures = {
            "learn/objective": objective,
            "learn/value": self.value(logits),
            "learn/start": start,
            "learn/visited": jnp.sum(jnp.sum(counts, axis=2) > 0),
            "collect/return": jnp.mean(data.returns),
        }
        return State(logits, counts), figures

    def report(self, state: State) -> dict[str, Array]:
        """The chosen model and the counts it was fitted to."""
        return {"model": jnp.exp(self.log_model(state.logits)), "counts": state.counts}
