"""The base of agents that learn from a dataset alone: its preparation, its statistics, its batches.

    prepare   once, on the host: next observations where the data has none, observations with mean 0 and deviation 1
              (`normalise`), actions scaled to [-1, 1]; mean and deviation are stored with batches and shipped policies
    learn     U gradient steps, each on B rows drawn with replacement

Shapes: M rows of the dataset, U batches of an iteration, B rows of a batch, O observation and A action components.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.agents.api import Array, Batch, Batches, Box, Dataset, Inputs, Key, Tree, hyper
from prospect_rl.agents.continuous import Continuous, Figures, flat
from prospect_rl.agents.ops.replay import Experience

STD_EPSILON = 1e-7
"""Small number added to the standard deviations of observations."""
MAX_DEVIATIONS = 100.0
"""Largest distance of a number of the data from the mean, in standard deviations."""
ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""Relative difference from the mean below which numbers count as equal."""


@struct.dataclass
class Behaviour:
    """Policy weights, and the statistics that normalise its observations."""

    actor: Tree
    """Weights of the policy network."""
    mean: Array
    """[O] mean of the data's observations."""
    std: Array
    """[O] standard deviation of the data's observations."""


@struct.dataclass
class State:
    """The learner, and the data's statistics as of the last batch."""

    learner: Tree
    """Networks and optimiser states of the algorithm."""
    mean: Array
    """[O] mean of the data's observations."""
    std: Array
    """[O] standard deviation of the data's observations."""


@dataclass(frozen=True, kw_only=True)
class Offline(Continuous):
    """Base of the agents that learn from a dataset: an algorithm (see `Continuous`), fed with its rows."""

    updates: int = hyper(100, least=1)
    """Number of gradient steps in an iteration (U)."""
    normalise: bool = True
    """Whether observations are normalised by the data's mean and standard deviation."""

    @property
    def wants(self) -> Batches:
        """Batches of rows of a dataset."""
        return Batches(self.batch_size, self.updates)

    # --- the data ------------------------------------------------------------------------------------

    def prepare(self, dataset: Dataset) -> Dataset:
        """The dataset as the networks see it. Facts: `mean` and `std` [O]."""
        if (least := np.min(dataset.rows["reward"])) == np.max(dataset.rows["reward"]):
            warnings.warn(f"the reward is {least:g} in all rows: the data holds no learning signal", stacklevel=2)
        dataset = with_successors(dataset)
        rows = jax.tree.map(np.asarray, dataset.rows)
        mean, std = self.statistics(rows["obs"])
        seen = {
            "obs": self.normalised(rows["obs"], mean, std), "next_obs": self.normalised(rows["next_obs"], mean, std),
            "action": self.scaled(rows["action"]), "reward": self.rewards(dataset),
            "terminated": rows["terminated"].astype(np.float32),
        }  # fmt: skip
        rows = jax.tree.map(jnp.asarray, rows | seen)
        return Dataset(rows=rows, firsts=dataset.firsts, facts={"mean": jnp.asarray(mean), "std": jnp.asarray(std)})

    def statistics(self, obs: Tree) -> tuple[np.ndarray, np.ndarray]:
        """(mean, standard deviation) float32 [O] of the observations [M, ...]; 0 and 1 if not `normalise`."""
        if not self.normalise:
            return np.zeros(self.sizes[0], np.float32), np.ones(self.sizes[0], np.float32)
        mean, std = moments(obs.reshape(len(obs), -1).astype(np.float32, copy=False))
        return mean.astype(np.float32), std.astype(np.float32) + np.float32(STD_EPSILON)

    def normalised(self, obs: Tree, mean: Any, std: Any) -> Tree:
        """Observations with any leading axes as the networks see them: normalised vectors [..., O]."""
        return (flat(obs, obs.ndim - len(self.bound.obs.shape)) - mean) / std  # type: ignore[union-attr]

    def scaled(self, action: np.ndarray) -> np.ndarray:
        """The data's actions [M, A] as the networks see them: in [-1, 1]."""
        space = self.bound.action
        assert isinstance(space, Box)
        return space.unscale(action.astype(np.float32))

    def rewards(self, dataset: Dataset) -> np.ndarray:
        """The rewards [M] to learn from, unchanged."""
        return np.asarray(dataset.rows["reward"], np.float32)

    def batches_of(self, data: Batch) -> Any:
        """The batches for `update`, leading [U, B]."""
        rows = data.rows
        return Experience(rows["obs"], rows["action"], rows["reward"], rows["terminated"], rows["next_obs"])

    def centring(self, behaviour: Behaviour) -> dict[str, Array]:
        """See `Continuous`; those of the data."""
        shape = self.bound.obs.shape  # type: ignore[union-attr]
        return {"mean": behaviour.mean.reshape(shape), "std": behaviour.std.reshape(shape)}

    # --- the agent -----------------------------------------------------------------------------------

    def init(self, key: Key) -> State:
        """An untrained learner; the statistics come with the first batch."""
        return State(self.begin(key), jnp.zeros(self.sizes[0]), jnp.ones(self.sizes[0]))

    def exploit(self, state: State) -> Behaviour:
        """The policy, and the statistics that normalise its observations."""
        return Behaviour(self.actor_of(state.learner), state.mean, state.std)

    def act(self, behaviour: Behaviour, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """The greedy action of the policy."""
        obs = self.normalised(inputs.obs, behaviour.mean, behaviour.std)
        return self.within_bounds(self.policy(behaviour.actor, obs, jnp.zeros(()), key)), memory, ()

    def learn(self, state: State, data: Batch, key: Key, phase: int = 0) -> tuple[State, Figures]:
        """U gradient steps, one for each batch; metrics are means over them."""

        def one(learner: Tree, part: tuple[Any, Key]) -> tuple[Tree, Figures]:
            return self.update(learner, *part)

        keys = jax.random.split(key, self.updates)
        learner, figures = jax.lax.scan(one, state.learner, (self.batches_of(data), keys))
        state = State(learner, data.facts["mean"], data.facts["std"])
        return state, {name: jnp.mean(x) for name, x in figures.items()}


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, deviation to divide by) of each component of `x` [M, *], in double precision.

    The deviation is 1 for a component that is constant up to rounding: it becomes 0, and deviations from it at test
    time
    stay small. For a component that rarely changes it is large enough that no row lies beyond `MAX_DEVIATIONS`
    deviations.
    """
    mean = x.mean(0, np.float64)
    reach = np.maximum(x.max(0) - mean, mean - x.min(0))
    std = np.maximum(x.std(0, np.float64), reach / MAX_DEVIATIONS)
    return mean, np.where(reach > ROUNDING * np.abs(mean), std, 1)


def last_rows(dataset: Dataset) -> np.ndarray:
    """The index of the last row [episodes] of each episode."""
    return np.append(np.asarray(dataset.firsts)[1:], len(dataset.rows["reward"])) - 1


def per_row(dataset: Dataset, each: np.ndarray) -> np.ndarray:
    """Values of episodes [episodes, ...], repeated for each of their rows [M, ...]."""
    return np.repeat(each, np.diff(np.append(np.asarray(dataset.firsts), len(dataset.rows["reward"]))), axis=0)


def returns_of(dataset: Dataset) -> np.ndarray:
    """The return [episodes] of each episode (sum of its rewards), in double precision."""
    return np.add.reduceat(np.asarray(dataset.rows["reward"], np.float64), np.asarray(dataset.firsts))


def select_rows(dataset: Dataset, keep: np.ndarray) -> Dataset:
    """The rows where `keep` [M] holds; episodes without remaining rows are dropped."""
    firsts = np.asarray(dataset.firsts)
    number = np.cumsum(keep) - keep
    rows = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[keep]), dataset.rows)
    return Dataset(rows=rows, firsts=jnp.asarray(number[firsts][np.add.reduceat(keep, firsts) > 0], jnp.int32))


def with_successors(dataset: Dataset) -> Dataset:
    """The dataset with `next_obs`.

    Where the data has none, they are taken from the next row of the episode. An episode's last row stays if it is
    `terminated`, as its next observation is never used. A truncated last row is dropped, with a warning where half or
    more
    of the rewards above the minimum are dropped with such rows.
    """
    if "next_obs" in dataset.rows:
        return dataset
    reward, last = np.asarray(dataset.rows["reward"]), np.zeros(len(dataset.rows["reward"]), bool)
    last[last_rows(dataset)] = True
    keep = ~last | np.asarray(dataset.rows["terminated"], bool)
    if not keep.any():
        raise ValueError("the dataset has no next observations: its episodes have one row each, and no next_obs")
    rewarded = reward > reward.min()
    lost, total = int((rewarded & ~keep).sum()), int(rewarded.sum())
    if total and 2 * lost >= total:
        warnings.warn(
            f"{'all' if lost == total else f'{lost} of'} {total} rewards above the minimum are lost: the dataset has "
            "no next_obs, so the last row of a truncated episode has no next observation and is dropped",
            stacklevel=2,
        )
    following = np.flatnonzero(keep) + ~last[keep]
    successors = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[following]), dataset.rows["obs"])
    left = select_rows(dataset, keep)
    return Dataset(rows=left.rows | {"next_obs": successors}, firsts=left.firsts)
