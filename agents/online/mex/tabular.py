"""Tabular MEX: the theory's own algorithm, model-based, where everything can be written down.

Source: Liu et al., NeurIPS 2023 ("Maximize to Explore"), arXiv 2305.18258, the model-based algorithm; the search over
models and the combination lock are ours (docs/methods/mex.md). Before every episode

    f = argmax over models P_theta of   weight V_P(first state) + log-likelihood of all transitions - ridge |theta|^2

and the greedy policy of f is played. weight is 1 / eta of the paper. There is no other exploration: optimism comes from
the value term alone. The maximum is sought by Adam from several starts, because V_P is flat where the greedy policy of
a start never goes, and there a gradient has nothing to climb.

Shapes: S states, A actions, H steps of an episode, 3 starts.
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

AHEAD = 3.0
"""Logits that the all-forward start adds to the next state."""
SPREAD = 1e-3
"""Of the first logits: which of equal actions comes first differs from seed to seed."""
IMPOSSIBLE = -1e9
"""Logit of a successor that no model of the class allows; finite, so that 0 visits times it are 0."""


@struct.dataclass
class State:
    """What is learned; the policies follow from it."""

    logits: Array
    """[S, A, S] of the chosen model."""
    counts: Array
    """[S, A, S] transitions seen."""


@dataclass(frozen=True, kw_only=True)
class TabularMEX(Agent):
    """MEX with a tabular softmax model. Rewards are known (`spec.rewards` [S][A]), transitions are learned."""

    default_run = DefaultRun("lock/combination", 150)

    weight: float = hyper(30.0, least=0)
    """Weight of the first state's value against the log-likelihood summed over all data; 0 means no optimism."""
    starts: Literal["multi", "single"] = "multi"
    """Where the search for a model begins: `multi` tries the previous model, the smoothed counts, and these with every
    action leaning forward; `single` tries the previous model alone."""
    jump: int = hyper(1, least=1)
    """How far a model may skip ahead: from state s it leads to the states 0 to s + jump."""
    steps: int = hyper(60, least=1)
    """Number of Adam steps of the search from every start."""
    learning_rate: float = hyper(0.1, above=0)
    """Learning rate of the Adam optimiser of the search."""
    ridge: float = hyper(0.005, least=0)
    """Weight of the penalty on the model's squared logits."""
    smoothing: float = hyper(0.5, above=0)
    """Number that is added to every transition count where the search begins from counts."""
    bonus: float = hyper(0.0, least=0)
    """Exploration bonus of a rival method: this over the square root of a pair's visits (at least 1) is added to its
    reward when the exploring policy is planned."""
    epsilon: float = hyper(0.0, least=0, most=1)
    """Probability of a random action while a rival method explores; at 1 the shipped policy is random too, which is the
    floor."""

    @property
    def wants(self) -> Rollouts:
        """One episode, step by step."""
        return Rollouts(1, starts="fresh", shared=True, keep_steps=True)

    def misfit(self, spec: Spec) -> str | None:
        """Needs numbered states, actions and a table of rewards; episodes begin in state 0 and have one length."""
        if not isinstance(spec.obs, Discrete) or not isinstance(spec.action, Discrete):
            return "it needs numbered states and actions"
        if np.shape(getattr(spec, "rewards", ())) != (spec.obs.n, spec.action.n):
            return "it needs a known reward for every state and action (spec.rewards)"
        return None if spec.fixed_length else "it plans for episodes of one length"

    @property
    def reward(self) -> Array:
        """[S, A] the known rewards."""
        return jnp.asarray(getattr(self.bound, "rewards"), jnp.float32)  # noqa: B009 - a tabular spec's own field

    @property
    def allowed(self) -> Array:
        """[S, 1, S] the successors that a model may have."""
        states = jnp.arange(self.reward.shape[0])
        return (states[None] <= states[:, None] + self.jump)[:, None]

    def init(self, key: Key) -> State:
        """The maximum without data: what is best to believe before the first episode."""
        states, actions = self.reward.shape
        logits = SPREAD * jax.random.normal(key, (states, actions, states))
        counts = jnp.zeros_like(logits)
        return State(self.fit(jnp.where(self.allowed, logits, 0.0), counts)[0], counts)

    # --- the objective -------------------------------------------------------------------------------

    def log_model(self, logits: Array) -> Array:
        """[S, A, S] log P_theta."""
        return jax.nn.log_softmax(jnp.where(self.allowed, logits, IMPOSSIBLE))

    def value(self, logits: Array) -> Array:
        """[] V_P(first state): H steps of the model's own greedy policy."""
        return tabular.plan(jnp.exp(self.log_model(logits)), self.reward, self.bound.horizon)[0][0]

    def objective(self, logits: Array, counts: Array) -> Array:
        """[] what MEX maximises (see the head of this file). Logits of successors that are not allowed must be 0."""
        likelihood = jnp.sum(counts * self.log_model(logits))
        return self.weight * self.value(logits) + likelihood - self.ridge * jnp.sum(jnp.square(logits))

    def candidates(self, previous: Array, counts: Array) -> Array:
        """[starts, S, A, S] logits from which the search begins."""
        if self.starts == "single":
            return previous[None]
        seen = jnp.log(counts + self.smoothing)
        states = jnp.arange(len(seen))
        ahead = AHEAD * (states[None] == jnp.minimum(states[:, None] + 1, len(seen) - 1))
        return jnp.where(self.allowed, jnp.stack([previous, seen, seen + ahead[:, None]]), 0.0)

    def fit(self, previous: Array, counts: Array) -> tuple[Array, Array, Array]:
        """(logits [S, A, S], objective [], start [] int32) of the best model that was found."""
        optimiser = optax.adam(self.learning_rate)

        def climb(logits: Array) -> Array:
            def step(carry: tuple[Array, Tree], _: None) -> tuple[tuple[Array, Tree], None]:
                logits, moments = carry
                slope = jax.grad(self.objective)(logits, counts)
                change, moments = optimiser.update(-slope, moments)
                return (optax.apply_updates(logits, change), moments), None  # type: ignore[return-value]

            return jax.lax.scan(step, (logits, optimiser.init(logits)), None, length=self.steps)[0][0]

        found = jax.vmap(climb)(self.candidates(previous, counts))
        scores = jax.vmap(self.objective, (0, None))(found, counts)
        best = jnp.argmax(scores).astype(jnp.int32)
        return found[best], scores[best], best

    # --- acting and learning -------------------------------------------------------------------------

    def greedy(self, state: State, reward: Array) -> Array:
        """[H, S] actions that are best in the chosen model for these rewards [S, A]."""
        return tabular.plan(jnp.exp(self.log_model(state.logits)), reward, self.bound.horizon)[1]

    def explore(self, state: State, key: Key, phase: int = 0) -> tuple[Tree, Array]:
        """The greedy policy of the chosen model, and what the rivals add to it."""
        visits = jnp.sum(state.counts, axis=2)
        policy = self.greedy(state, self.reward + self.bonus / jnp.sqrt(jnp.maximum(visits, 1)))
        return {"policy": policy, "epsilon": jnp.float32(self.epsilon)}, jnp.ones(1, bool)

    def exploit(self, state: State) -> Tree:
        """The greedy policy of the chosen model."""
        return {"policy": self.greedy(state, self.reward), "epsilon": jnp.float32(self.epsilon == 1)}

    def memory(self, behaviour: Tree, key: Key) -> Array:
        """The number of the step, for an optimal policy depends on what time is left."""
        return jnp.int32(0)

    def act(self, behaviour: Tree, memory: Array, inputs: Inputs, key: Key) -> tuple[Array, Array, Tree]:
        """What the policy says, or with probability epsilon anything."""
        space, (k_whether, k_which) = self.bound.action, jax.random.split(key)
        assert isinstance(space, Discrete)
        anything = jax.random.uniform(k_whether) < behaviour["epsilon"]
        planned = behaviour["policy"][memory, inputs.obs]
        return jnp.where(anything, space.sample(k_which), planned), memory + 1, ()

    def learn(self, state: State, data: Episodes, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """Count the episode's transitions and seek the maximum anew."""
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
        """The chosen model and what it rests on."""
        return {"model": jnp.exp(self.log_model(state.logits)), "counts": state.counts}
