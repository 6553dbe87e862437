"""What agents share that learn from a dataset alone: its preparation, its statistics, its batches.

    prepare   once, on the host: successors where the data has none, observations with mean 0 and deviation 1
              (`normalise`), actions scaled to [-1, 1]; mean and deviation travel with batches, and with what is shipped
    learn     U gradient steps, each on B rows drawn with replacement

Shapes: M rows of the dataset, U batches of an iteration, B rows of a batch, O observation and A action components.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.agents.api import Array, Batch, Batches, Dataset, Inputs, Key, Tree, hyper
from prospect_rl.agents.continuous import Continuous, Figures, flat
from prospect_rl.agents.ops.replay import Experience

SMALL = 1e-7
"""Added to standard deviations of observations."""
FARTHEST = 100.0
"""The most deviations that a number of the data lies from the mean."""
ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""By what share of their mean numbers may differ that are meant to be the same."""


@struct.dataclass
class Behaviour:
    """How to act."""

    actor: Tree
    """Weights of the policy."""
    mean: Array
    """[O] of the data's observations."""
    std: Array
    """[O]"""


@struct.dataclass
class State:
    """What is learned, and the data's statistics as of the newest batch."""

    learner: Tree
    mean: Array
    """[O]"""
    std: Array
    """[O]"""


@dataclass(frozen=True, kw_only=True)
class Offline(Continuous):
    """Base of the agents that learn from a dataset: a method (see `Continuous`), fed with its rows."""

    updates: int = hyper(100, least=1)
    """Number of gradient steps in an iteration (U)."""
    normalise: bool = True
    """Whether observations are normalised by the data's mean and standard deviation."""

    vmap_seeds: ClassVar[bool] = True

    @property
    def wants(self) -> Batches:
        """Rows of a dataset."""
        return Batches(self.batch_size, self.updates)

    # --- the data ------------------------------------------------------------------------------------

    def prepare(self, dataset: Dataset) -> Dataset:
        """Rows as the networks see them. Facts: `mean` and `std` [O]."""
        if (least := np.min(dataset.rows["reward"])) == np.max(dataset.rows["reward"]):
            warnings.warn(f"the reward is {least:g} in all rows: the data does not say what is good", stacklevel=2)
        dataset = with_successors(dataset)
        rows = jax.tree.map(np.asarray, dataset.rows)
        mean, std = self.statistics(rows["obs"])
        seen = {
            "obs": self.seen(rows["obs"], mean, std), "next_obs": self.seen(rows["next_obs"], mean, std),
            "action": self.scaled(rows["action"]), "reward": self.rewards(dataset),
            "terminated": rows["terminated"].astype(np.float32),
        }  # fmt: skip
        rows = jax.tree.map(jnp.asarray, rows | seen)
        return Dataset(rows=rows, firsts=dataset.firsts, facts={"mean": jnp.asarray(mean), "std": jnp.asarray(std)})

    def statistics(self, obs: Tree) -> tuple[np.ndarray, np.ndarray]:
        """(mean, standard deviation) float32 [O] of the data's observations [M, ...]; 0 and 1 if not `normalise`."""
        if not self.normalise:
            return np.zeros(self.sizes[0], np.float32), np.ones(self.sizes[0], np.float32)
        mean, std = moments(obs.reshape(len(obs), -1).astype(np.float32, copy=False))
        return mean.astype(np.float32), std.astype(np.float32) + np.float32(SMALL)

    def seen(self, obs: Tree, mean: Any, std: Any) -> Tree:
        """Observations, of any leading axes, as the networks see them: vectors [..., O]."""
        return (flat(obs, obs.ndim - len(self.bound.obs.shape)) - mean) / std  # type: ignore[union-attr]

    def scaled(self, action: np.ndarray) -> np.ndarray:
        """The data's actions [M, A] as the networks see them: in [-1, 1]."""
        low, high = self.bounds
        return (action.astype(np.float32) - (low + high) / 2) / ((high - low) / 2)

    def rewards(self, dataset: Dataset) -> np.ndarray:
        """The rewards [M] to learn from: as they are."""
        return np.asarray(dataset.rows["reward"], np.float32)

    def batches_of(self, data: Batch) -> Any:
        """What `update` learns from, leading [U, B]."""
        rows = data.rows
        return Experience(rows["obs"], rows["action"], rows["reward"], rows["terminated"], rows["next_obs"])

    # --- the agent -----------------------------------------------------------------------------------

    def init(self, key: Key) -> State:
        """A fresh learner; the statistics come with the first batch."""
        return State(self.begin(key), jnp.zeros(self.sizes[0]), jnp.ones(self.sizes[0]))

    def exploit(self, state: State) -> Behaviour:
        """The policy, and the statistics of what it sees."""
        return Behaviour(self.actor_of(state.learner), state.mean, state.std)

    def act(self, behaviour: Behaviour, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """The greedy action."""
        obs = self.seen(inputs.obs, behaviour.mean, behaviour.std)
        return self.within_bounds(self.policy(behaviour.actor, obs, jnp.zeros(()), key)), memory, ()

    def learn(self, state: State, data: Batch, key: Key, phase: int = 0) -> tuple[State, Figures]:
        """U gradient steps, one a batch; figures are means over them."""

        def one(learner: Tree, part: tuple[Any, Key]) -> tuple[Tree, Figures]:
            return self.update(learner, *part)

        keys = jax.random.split(key, self.updates)
        learner, figures = jax.lax.scan(one, state.learner, (self.batches_of(data), keys))
        state = State(learner, data.facts["mean"], data.facts["std"])
        return state, {name: jnp.mean(x) for name, x in figures.items()}


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, deviation to divide by) of each component of `x` [M, *], in double precision.

    The deviation is 1 for a component that never changes but by rounding: it becomes 0, and what play brings in its
    place stays small. Of one that hardly ever changes it is such that no row lies beyond `FARTHEST` deviations.
    """
    mean = x.mean(0, np.float64)
    reach = np.maximum(x.max(0) - mean, mean - x.min(0))
    std = np.maximum(x.std(0, np.float64), reach / FARTHEST)
    return mean, np.where(reach > ROUNDING * np.abs(mean), std, 1)


def ends_of(dataset: Dataset) -> np.ndarray:
    """The last row [episodes] of each episode."""
    return np.append(np.asarray(dataset.firsts)[1:], len(dataset.rows["reward"])) - 1


def spread(dataset: Dataset, each: np.ndarray) -> np.ndarray:
    """What belongs to episodes [episodes, ...], for each of their rows [M, ...]."""
    return np.repeat(each, np.diff(np.append(np.asarray(dataset.firsts), len(dataset.rows["reward"]))), axis=0)


def returns_of(dataset: Dataset) -> np.ndarray:
    """The sum of rewards [episodes] of each episode, in double precision."""
    return np.add.reduceat(np.asarray(dataset.rows["reward"], np.float64), np.asarray(dataset.firsts))


def kept(dataset: Dataset, keep: np.ndarray) -> Dataset:
    """The rows where `keep` [M] holds; an episode of which none is left is gone."""
    firsts = np.asarray(dataset.firsts)
    number = np.cumsum(keep) - keep
    rows = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[keep]), dataset.rows)
    return Dataset(rows=rows, firsts=jnp.asarray(number[firsts][np.add.reduceat(keep, firsts) > 0], jnp.int32))


def with_successors(dataset: Dataset) -> Dataset:
    """The dataset with `next_obs`.

    Where the data does not hold them, the next row of an episode does. Its last row stays if it is `terminated`: what
    follows has no value and is never looked at. A truncated one is left out, with a warning where half of the
    rewards above the least, or more, go with such rows.
    """
    if "next_obs" in dataset.rows:
        return dataset
    reward, last = np.asarray(dataset.rows["reward"]), np.zeros(len(dataset.rows["reward"]), bool)
    last[ends_of(dataset)] = True
    keep = ~last | np.asarray(dataset.rows["terminated"], bool)
    if not keep.any():
        raise ValueError("the dataset has no successors: its episodes have one row each, and it holds no next_obs")
    rewarded = reward > reward.min()
    lost, total = int((rewarded & ~keep).sum()), int(rewarded.sum())
    if total and 2 * lost >= total:
        warnings.warn(
            f"{'all' if lost == total else f'{lost} of'} {total} rewards above the least are lost: the dataset holds "
            "no next_obs, so the last row of a truncated episode has no successor and is left out",
            stacklevel=2,
        )
    following = np.flatnonzero(keep) + ~last[keep]
    successors = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[following]), dataset.rows["obs"])
    left = kept(dataset, keep)
    return Dataset(rows=left.rows | {"next_obs": successors}, firsts=left.firsts)
