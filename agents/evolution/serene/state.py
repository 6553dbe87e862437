"""The state of SERENE, its phases, and functions of the state alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array
from prospect_rl.agents.evolution.rows import Rows, join
from prospect_rl.agents.ops import archive as archives
from prospect_rl.agents.ops.archive import Archive
from prospect_rl.agents.ops.emitters import Emitter

START, EXPLORE, TRIAL, TRIAL_STEP, EMITTER_STEP = range(5)
"""The phases: first population, a generation, first members of trials, a step of all trials, a step of one emitter."""
TRIAL_STEPS = 5
"""Number of emitter steps in a trial."""


@struct.dataclass
class State:
    """Population, archives, candidates (flags on rows of R), trials, emitters, and which emitter is running."""

    population: Rows
    """The current population of novelty search."""
    children: Rows
    """The children of the last generation; with the population, references for the novelty."""
    archive: Archive
    """The novelty archive of sampled children."""
    rewards: Archive
    """The reward archive R, with columns `candidate` and `sigma` besides the usual ones."""
    trials: Emitter
    """The trials of the running chunk, leading [trials]."""
    table: Emitter
    """The table of emitters, leading [emitter_capacity]."""
    current: Array
    """[] int32 row of the table with the running emitter."""
    bar: Array
    """[] novelty that members of the running emitter must exceed to be offered to its reservoir."""
    known: Array
    """[2] int32 number of rows of the archive and of R that novelty is measured against in this EXPLOIT."""
    phase: Array
    """[] int32 number of the phase that comes next."""
    chunk: Array
    """[] int32 number of evaluations left in this chunk."""
    lost: Array
    """[] int32 number of emitters dropped because the table was full."""


S = TypeVar("S", bound=State)


def unflagged(rows: Rows) -> Rows:
    """Rows that have not been considered as candidates."""
    return rows | {"flagged": jnp.zeros(rows["fitness"].shape[0], bool)}


def repeated(blank: Emitter, count: int) -> Emitter:
    """A table of equal emitters, leading [count]."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), blank)


def freeze_references(state: S) -> S:
    """Record the archive sizes: novelty is measured against these rows until the next EXPLOIT."""
    return replace(state, known=jnp.stack([state.archive.count, state.rewards.count]))


def admit(state: State, promoted: Array) -> State:
    """The state with the promoted trials in free rows of the emitter table; those without a free row are lost."""
    capacity = state.table.active.shape[0]
    free = jnp.nonzero(~state.table.active, size=promoted.shape[0], fill_value=capacity)[0]
    place = jnp.where(promoted, free[jnp.cumsum(promoted) - 1], capacity)
    table = jax.tree.map(lambda t, x: t.at[place].set(x, mode="drop"), state.table, state.trials)
    lost = state.lost + jnp.sum(promoted & (place == capacity), dtype=jnp.int32)
    return replace(state, table=table, lost=lost)


def references(state: State) -> list[tuple[Array, Array | int]]:
    """References for the novelty of emitters: the rows at the start of this EXPLOIT's emitter steps."""
    population, children = state.population["descriptor"], state.children["descriptor"]
    archive, rewards = state.archive.rows["descriptor"], state.rewards.rows["descriptor"]
    return [
        (population, population.shape[0]),
        (children, children.shape[0]),
        (archive, state.known[0]),
        (rewards, state.known[1]),
    ]


def store(state: State, rows: Rows, mask: Array) -> State:
    """The state with the masked rows added to R."""
    plain = {"candidate": jnp.zeros(mask.shape, bool), "sigma": jnp.zeros(mask.shape)}
    return replace(state, rewards=archives.append(state.rewards, rows | plain, mask))


def report(state: State) -> dict[str, Array]:
    """The rows of both archives, which of them are filled, and which belong to the reward archive."""
    rewards = {name: state.rewards.rows[name] for name in state.archive.rows}
    filled = [state.archive.filled, state.rewards.filled]
    return {
        **join(state.archive.rows, rewards),
        "filled": jnp.concatenate(filled),
        "rewarded": jnp.arange(sum(f.shape[0] for f in filled)) >= state.archive.capacity,
    }


def figures(state: State, areas: int) -> dict[str, Array]:
    """Sizes, overflow, and the best stored fitness in each area."""
    best = jnp.maximum(archives.best_by_area(state.archive, areas), archives.best_by_area(state.rewards, areas))
    return {
        "archive/size": state.archive.count,
        "archive/rewards": state.rewards.count,
        "archive/overflow": state.archive.overflow + state.rewards.overflow + state.lost,
        "archive/best": best,
        "emitters/candidates": jnp.sum(state.rewards.rows["candidate"], dtype=jnp.int32),
        "emitters/active": jnp.sum(state.table.active, dtype=jnp.int32),
        "emitters/lost": state.lost,
    }
