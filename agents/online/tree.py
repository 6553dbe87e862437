"""A decision tree that imitates SAC: DAgger as in VIPER, with regression trees.

Source: Bastani et al. 2018, arXiv 1805.08328 (VIPER), which has discrete actions. Rounds of `round_steps` steps:
    the greedy teacher plays the first, the newest tree each later one; the newest `samples` steps of all are kept
    the teacher labels every step with its action a*, and weighs it by how much depends on the action there:
        min_i Q_i(s, a*) - least of min_i Q_i(s, u) over 16 uniform actions u, at least 0
    a tree of limited depth is fitted to all labels (CART, squared error, weighted)
    what ships is the tree whose round paid most
The paper draws rows by these weights instead, and its Q is of finitely many actions. A round's score is its reward
divided by the number of episodes that it is of, whole or cut.

The teacher is trained within the run, in its first `teacher_steps`, so that the budget counts teacher and tree alike
and no path to a checkpoint is a hyper-parameter. Trees are fitted by scikit-learn (extra `explain`) on the host, once a
round, by a callback; the state holds their arrays, and everything else stays in the program. Before the first tree the
shipped policy gives zeros.

Shapes: N streams, T steps of a round, C rows kept, O observation and A action components.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.agents.api import Array, DefaultRun, Inputs, Key, Segment, Segments, Tree, hyper, unwritable
from prospect_rl.agents.continuous import Figures, flat
from prospect_rl.agents.nn.critics import critic_values
from prospect_rl.agents.online import off_policy
from prospect_rl.agents.online.sac import SAC
from prospect_rl.agents.ops import decision_tree as trees
from prospect_rl.agents.ops.decision_tree import DecisionTree
from prospect_rl.agents.ship.portable import Policy

ACTIONS = 16
"""Number of uniform actions that a step's weight is estimated with."""


@struct.dataclass
class State:
    """The teacher, the labelled steps and two trees."""

    teacher: off_policy.State
    """SAC, which no longer changes after its share of the steps."""
    tree: DecisionTree
    """The newest tree, which plays the next round."""
    best: DecisionTree
    """The tree whose round paid most; the first one until it has played."""
    score: Array
    """[] the reward of an episode in that round; -inf before."""
    obs: Array
    """[C, O] observations of the newest steps of all rounds."""
    action: Array
    """[C, A] the teacher's actions there, in [-1, 1]."""
    weight: Array
    """[C] how much depends on the action there."""
    kept: Array
    """[] int32 number of rows so far, of which the newest C are there."""
    rounds: Array
    """[] int32 number of rounds so far."""


@struct.dataclass
class Behaviour:
    """Who acts."""

    tree: DecisionTree
    """The tree that acts or is to be shipped."""
    teacher: Tree
    """Behaviour of the teacher; None where the tree alone is shipped."""
    by_tree: Array
    """[] bool whether the tree acts."""


@dataclass(frozen=True, kw_only=True)
class TreeDagger(SAC):
    """A decision tree that imitates a SAC teacher, which it trains first."""

    default_run = DefaultRun("mujoco/reacher", 40_000)

    teacher_steps: int = hyper(30_000, least=1)
    """Number of environment steps in which the teacher is trained; the tree has those that follow."""
    round_steps: int = hyper(1000, least=1)
    """Number of environment steps of each copy in a round, after which a tree is fitted (T)."""
    depth: int = hyper(6, least=1, most=12)
    """Depth of the trees."""
    samples: int = hyper(50_000, least=1)
    """Number of the newest labelled steps that trees are fitted to (C)."""
    weighted: bool = True
    """Whether steps weigh by how much depends on the action there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_envs * self.round_steps > self.samples:
            played = self.num_envs * self.round_steps
            raise ValueError(
                f"samples {self.samples} is less than the {played} steps (num_envs * round_steps) of a round"
            )

    @property
    def wants(self) -> tuple[Segments, Segments]:
        """Steps as SAC wants them, then those of a round."""
        return Segments(self.num_envs, self.train_every), Segments(self.num_envs, self.round_steps)

    @property
    def least_budget(self) -> int:
        """The teacher's steps and the first round."""
        played = self.num_envs * self.train_every
        return -(-self.teacher_steps // played) * played + self.num_envs * self.round_steps

    def init(self, key: Key) -> State:
        """An untrained teacher and a tree that gives zeros."""
        obs, action = self.sizes
        tree, rows = trees.empty(self.depth, action), self.samples
        return State(
            super().init(key), tree, tree, jnp.float32(-jnp.inf), jnp.zeros((rows, obs)), jnp.zeros((rows, action)),
            jnp.zeros(rows), jnp.int32(0), jnp.int32(0),
        )  # fmt: skip

    def phase(self, state: State) -> Array:
        """0 while the teacher is trained, then 1."""
        return (state.teacher.steps >= self.teacher_steps).astype(jnp.int32)

    def explore(self, state: State, key: Key, phase: int = 0) -> tuple[Behaviour, Array]:
        """SAC's behaviour; then the greedy teacher in the first round, and the newest tree."""
        teacher, active = super().explore(state.teacher, key)
        if phase:
            teacher = super().exploit(state.teacher)
        return Behaviour(state.tree, teacher, (state.rounds > 0) & bool(phase)), active

    def exploit(self, state: State) -> Behaviour:
        """The best tree."""
        return Behaviour(state.best, None, jnp.ones((), bool))

    def act(self, behaviour: Behaviour, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Array]:
        """The action within the environment's bounds; extras: the same action in [-1, 1]."""
        told = jnp.clip(trees.predict(behaviour.tree, flat(inputs.obs, 0)), -1, 1)
        if behaviour.teacher is None:
            return self.within_bounds(told), memory, told
        action, memory, chosen = super().act(behaviour.teacher, memory, inputs, key)
        action = jnp.where(behaviour.by_tree, self.within_bounds(told), action)
        return action, memory, jnp.where(behaviour.by_tree, told, chosen)

    def learn(self, state: State, data: Segment, key: Key, phase: int = 0) -> tuple[State, Figures]:
        """SAC's updates, or a round of DAgger. Raises ValueError, in one line, without scikit-learn."""
        trees.learner()
        if not phase:
            teacher, figures = super().learn(state.teacher, data, key)
            return replace(state, teacher=teacher), figures
        score = jnp.sum(data.steps.reward) / (jnp.sum(data.steps.terminated | data.steps.truncated) + self.num_envs)
        state = self.labelled(self.judged(state, score), data, key)
        there = jnp.minimum(state.kept, self.samples)
        tree = self.fitted(state.obs, state.action, state.weight, there)
        seen = flat(data.steps.inputs.obs, 2).reshape(-1, self.sizes[0])
        off = jax.vmap(lambda x: trees.predict(tree, x))(seen) - self.taught(state, seen)
        best = jax.tree.map(lambda new, old: jnp.where(state.rounds == 0, new, old), tree, state.best)
        figures = {
            "learn/loss_tree": jnp.mean(off**2), "learn/tree_nodes": trees.count(tree), "learn/tree_score": score,
        }  # fmt: skip
        return replace(state, tree=tree, best=best, rounds=state.rounds + 1), figures

    # --- a round ---------------------------------------------------------------------------------------

    def judged(self, state: State, score: Array) -> State:
        """The state with the newest tree as its best one, if that played this round and was paid most."""
        better = (state.rounds > 0) & (score > state.score)
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), state.tree, state.best)
        return replace(state, best=best, score=jnp.where(better, score, state.score))

    def taught(self, state: State, obs: Array) -> Array:
        """The greedy teacher's actions [B, A] at observations [B, O]."""
        return jnp.tanh(self.distribution(self.actor_of(state.teacher.learner), obs)[0])

    def labelled(self, state: State, data: Segment, key: Key) -> State:
        """The state with the round's steps, their labels and weights, in place of the oldest."""
        obs = flat(data.steps.inputs.obs, 2).reshape(-1, self.sizes[0])
        action = self.taught(state, obs)
        weight = self.weights(state, obs, action, key) if self.weighted else jnp.ones(len(obs))
        at = (state.kept + jnp.arange(len(obs))) % self.samples
        return replace(
            state, obs=state.obs.at[at].set(obs), action=state.action.at[at].set(action),
            weight=state.weight.at[at].set(weight), kept=state.kept + len(obs),
        )  # fmt: skip

    def weights(self, state: State, obs: Array, action: Array, key: Key) -> Array:
        """The weights [B] of steps; a little above 0, so that a tree can be fitted to any of them."""

        def value(action: Array) -> Array:
            return jnp.min(critic_values(self, state.teacher.learner.critics, obs, action), axis=0)

        tried = jax.random.uniform(key, (ACTIONS, *action.shape), minval=-1, maxval=1)
        return jnp.maximum(value(action) - jnp.min(jax.lax.map(value, tried), axis=0), 0) + 1e-6

    def fitted(self, obs: Array, action: Array, weight: Array, there: Array) -> DecisionTree:
        """A tree of scikit-learn for the first `there` [] rows."""
        shapes = jax.eval_shape(lambda: trees.empty(self.depth, self.sizes[1]))
        parts = (shapes.feature, shapes.threshold, shapes.left, shapes.right, shapes.value)

        def fit(obs: Any, action: Any, weight: Any, there: Any) -> tuple[np.ndarray, ...]:
            rows = slice(int(there))
            obs, action, weight = (np.nan_to_num(np.asarray(x)[rows]) for x in (obs, action, weight))
            grown = trees.learner().DecisionTreeRegressor(max_depth=self.depth, random_state=0)
            tree = grown.fit(obs, action, sample_weight=weight).tree_
            return trees.arrays_of(tree, tree.value[:, :, 0], self.depth)

        made = jax.pure_callback(fit, parts, obs, action, weight, there, vmap_method="sequential")
        feature, threshold, left, right, value = made
        return DecisionTree(feature, threshold, left, right, value, self.depth)

    def to_numpy(self, behaviour: Behaviour) -> Policy:
        """Raises ValueError: NumPy policies are networks."""
        raise unwritable(self, "it is a decision tree")
