"""The state of SERENE, its phases, and functions of the state alone."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array
from prospect_rl.agents.evolution.rows import Rows
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


def unflagged(rows: Rows) -> Rows:
    """Rows that have not been considered as candidates."""
    return rows | {"flagged": jnp.zeros(rows["fitness"].shape[0], bool)}


def emitter_at(table: Emitter, index: Array) -> Emitter:
    """One emitter of the table."""
    return jax.tree.map(lambda x: x[index], table)


def freeze_references(state: State) -> State:
    """Record the archive sizes: novelty is measured against these rows until the next EXPLOIT."""
    return replace(state, known=jnp.stack([state.archive.count, state.rewards.count]))
