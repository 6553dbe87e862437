"""The state of STAX beside SERENE's: the autoencoder and its training, the scheduler, and all rows with features."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array, Tree
from prospect_rl.agents.evolution.rows import Rows
from prospect_rl.agents.evolution.serene import state as serene
from prospect_rl.agents.nn.autoencoder import Params

TRAIN, RENEW = 5, 6
"""The phases after SERENE's: a part of an epoch of training, and new features for a part of all stored rows."""


@struct.dataclass
class Learner:
    """The autoencoder, and how far its training is."""

    params: Params
    """Weights of the autoencoder, or the matrix of the random projection."""
    optimiser: Tree
    """Adam's moments, which live on between trainings."""
    mean: Array
    """[n, n, C] mean picture, by which pictures are centred."""
    spread: Array
    """[] standard deviation of pictures around their mean."""
    interval: Array
    """[] int32 number of chunks of EXPLORE between the last training and the next."""
    since: Array
    """[] int32 chunks of EXPLORE since the last training."""
    order: Array
    """[pictures] int32 numbers of the pictures of this training: those held out, then the others as shuffled now."""
    count: Array
    """[] int32 how many of them count; 0 while there is no training."""
    at: Array
    """[] int32 place in `order` that comes next; while features are renewed, the number of rows that have new ones."""
    epoch: Array
    """[] int32 finished epochs of this training."""
    worse: Array
    """[] int32 validations in a row whose error was above the lowest."""
    best: Array
    """[] lowest validation error of this training."""
    figures: dict[str, Array]
    """Metrics of the last training and of the last generation."""


@struct.dataclass
class Turns:
    """What the scheduler knows."""

    used: Array
    """[] int32 evaluations so far."""
    known: Array
    """[] int32 emitters and candidates when the chunk began."""
    pulls: Array
    """[2] int32 chunks of EXPLORE and of EXPLOIT so far."""
    value: Array
    """[2] mean reward of the bandit's two arms."""


@struct.dataclass
class State(serene.State):
    """SERENE's state, the autoencoder and the scheduler."""

    learner: Learner
    """The autoencoder and its training."""
    turns: Turns
    """What the scheduler knows."""


def waiting(state: State) -> Array:
    """[] int32 number of emitters and candidates."""
    candidates = jnp.sum(state.rewards.rows["candidate"], dtype=jnp.int32)
    return candidates + jnp.sum(state.table.active, dtype=jnp.int32)


def tables(state: State) -> list[tuple[Rows, Array]]:
    """All rows that hold features, with a mask of those that count: first what a network is trained on.

    Population, children, archive, rewards; then of the emitters the members, the reservoirs and the records.
    """
    table = state.table
    flat = lambda rows: jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), rows)  # noqa: E731
    members, slots = table.members["fitness"].shape[1], table.reservoir["fitness"].shape[1]
    held = table.active[:, None] & (jnp.arange(slots) < table.seen[:, None])
    assert table.record is not None
    return [
        (state.population, jnp.ones(state.population["fitness"].shape, bool)),
        (state.children, jnp.ones(state.children["fitness"].shape, bool)),
        (state.archive.rows, state.archive.filled),
        (state.rewards.rows, state.rewards.filled),
        (flat(table.members), jnp.repeat(table.active, members)),
        (flat(table.reservoir), held.reshape(-1)),
        (table.record, recorded(state)),
    ]


def recorded(state: State) -> Array:
    """[M] the emitters with a member that was more novel than their ancestor."""
    return state.table.active & jnp.isfinite(state.table.novelty)


def with_features(state: State, features: Array, surprise: Array) -> State:
    """The state with other features [rows, d] and surprises [rows] in all rows of `tables`, in its order."""
    found, start = [], 0
    for rows, mask in tables(state):
        part = slice(start, start + mask.shape[0])
        found.append(rows | {"descriptor": features[part], "surprise": surprise[part]})
        start += mask.shape[0]
    population, children, archive, rewards, members, reservoir, record = found
    lead = state.table.active.shape[0]
    fold = lambda rows: jax.tree.map(lambda x: x.reshape(lead, len(x) // lead, *x.shape[1:]), rows)  # noqa: E731
    # R's rows do not move, so an ancestor is where it was
    ancestors = rewards["descriptor"][state.table.ancestor]
    table = replace(
        state.table, members=fold(members), reservoir=fold(reservoir), record=record, descriptor=ancestors
    )  # fmt: skip
    return replace(
        state, population=population, children=children, archive=replace(state.archive, rows=archive),
        rewards=replace(state.rewards, rows=rewards), table=table,
    )  # fmt: skip
