"""Ledger of a run of `Rollouts`: counts over all evaluations, updated by the driver inside the jitted iteration.

Coverage and the first evaluation that reached an area are thus measured on the evaluated policies, in the same way for
every agent, and never reported by the agent itself. Every episode of an active population member is one evaluation;
evaluations are numbered from 1 in the order of the members.

Shapes: P policies, E episodes, K reward areas, C cells along each side of the descriptor grid.
"""

from __future__ import annotations

import math
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Episodes, Spec

CELLS = 50
"""Cells along each side of the grid over the first two components of the descriptor (SERENE, section 4)."""
REACHED = 0.9
"""Smallest fitness at which an area counts as reached."""
NEVER = -1


@struct.dataclass
class Stored:
    """Contents of the agent's archive, from its metric `archive/best` [K]; exact to the iteration."""

    best: Array
    """[K] the largest reward ever stored, -inf before the first one."""
    first: Array
    """[K] int32 evaluations used when the archive first contained a rewarded policy; -1: never."""
    reached: Array
    """[K] int32 evaluations used when it first contained a policy with at least REACHED; -1: never."""


@struct.dataclass
class Ledger:
    """Counts over all evaluations so far; int32, and -1 stands for never."""

    explored: Array
    """[C, C] number of evaluations that ended in each cell, in phases that explore (`Rollouts.covers`)."""
    visited: Array
    """[C, C] number of evaluations that ended in each cell, in all phases."""
    per_phase: Array
    """[phases] number of evaluations in each phase."""
    best: Array
    """[K] largest fitness of an evaluation rewarded in the area, -inf before the first one."""
    first: Array
    """[K] number of the first evaluation rewarded in the area."""
    reached: Array
    """[K] number of the first evaluation with a reward of at least REACHED in the area."""
    paid: Array
    """[K] number of evaluations rewarded in the area."""
    stored: Stored | None
    """Contents of the archive, for agents with the metric `archive/best`."""


def open_ledger(spec: Spec, phases: int, *, archive: bool) -> Ledger:
    """An empty ledger. `archive`: whether the agent reports the metric `archive/best`."""
    assert spec.descriptor is not None
    grid = jnp.zeros((CELLS,) * min(2, spec.descriptor.size), jnp.int32)
    areas = max(1, spec.areas)
    best, never = jnp.full(areas, -jnp.inf), jnp.full(areas, NEVER, jnp.int32)
    return Ledger(
        explored=grid, visited=grid, per_phase=jnp.zeros(phases, jnp.int32), best=best, first=never, reached=never,
        paid=jnp.zeros(areas, jnp.int32), stored=Stored(best, never, never) if archive else None,
    )  # fmt: skip


def cells(descriptor: Array, space: Box) -> tuple[Array, ...]:
    """The grid cell of descriptors [..., d]: one int32 [...] for each of the first two components."""
    low = jnp.asarray(np.broadcast_to(space.low, space.shape), jnp.float32)
    high = jnp.asarray(np.broadcast_to(space.high, space.shape), jnp.float32)
    part = (descriptor - low) / (high - low)
    index = jnp.clip(jnp.floor(jnp.nan_to_num(part) * CELLS), 0, CELLS - 1).astype(jnp.int32)
    return tuple(index[..., i] for i in range(min(2, space.size)))


def update(ledger: Ledger, spec: Spec, data: Episodes, used: Array, *, phase: int, covers: bool) -> Ledger:
    """Count the evaluations of one iteration. used: int32 [], evaluations before it."""
    assert spec.descriptor is not None
    returns, active = data.returns, jnp.broadcast_to(data.active[:, None], data.returns.shape)
    descriptor = data.info["descriptor"]
    rank = jnp.cumsum(data.active.astype(jnp.int32)) - 1
    number = used + rank[:, None] * returns.shape[1] + jnp.arange(1, returns.shape[1] + 1, dtype=jnp.int32)

    index = cells(descriptor, spec.descriptor)
    weight = (active & jnp.all(jnp.isfinite(descriptor), axis=-1)).astype(jnp.int32)

    sound = active & jnp.isfinite(returns)
    area = data.info["area"] if spec.areas else jnp.where(returns > 0, 0, -1)
    pays = sound[..., None] & (area[..., None] == jnp.arange(max(1, spec.areas)))  # [P, E, K]
    fitness, number = returns[..., None], number[..., None]
    return replace(
        ledger,
        explored=ledger.explored.at[index].add(weight) if covers else ledger.explored,
        visited=ledger.visited.at[index].add(weight),
        per_phase=ledger.per_phase.at[phase].add(jnp.sum(active, dtype=jnp.int32)),
        best=jnp.maximum(ledger.best, jnp.max(jnp.where(pays, fitness, -jnp.inf), axis=(0, 1))),
        first=_earliest(ledger.first, pays, number),
        reached=_earliest(ledger.reached, pays & (fitness >= REACHED), number),
        paid=ledger.paid + jnp.sum(pays, axis=(0, 1), dtype=jnp.int32),
    )


def _earliest(known: Array, mask: Array, number: Array) -> Array:
    """[K] number of the first evaluation in `mask` [P, E, K]; a known number is kept."""
    late = jnp.iinfo(jnp.int32).max
    now = jnp.min(jnp.where(mask, number, late), axis=(0, 1))
    return jnp.where((known == NEVER) & (now < late), now, known)


def update_stored(ledger: Ledger, best: Array, used: Array) -> Ledger:
    """Record the archive's contents after an iteration. best: [K], not positive or not finite without a reward."""
    if ledger.stored is None:
        return ledger
    held = jnp.isfinite(best) & (best > 0)
    old = ledger.stored
    return replace(
        ledger,
        stored=Stored(
            best=jnp.maximum(old.best, jnp.where(held, best, -jnp.inf)),
            first=jnp.where((old.first == NEVER) & held, used, old.first),
            reached=jnp.where((old.reached == NEVER) & held & (best >= REACHED), used, old.reached),
        ),
    )


# --- figures -----------------------------------------------------------------------------------------


def uniformity(visits: np.ndarray) -> float:
    """1 - the Jensen-Shannon distance (base 2) between visits and the uniform distribution; NaN without visits."""
    counts = np.asarray(visits, np.float64).ravel()
    if not counts.sum():
        return math.nan
    p, q = counts / counts.sum(), np.full(counts.size, 1 / counts.size)
    m = (p + q) / 2
    some = p > 0
    divergence = (np.sum(p[some] * np.log2(p[some] / m[some])) + np.sum(q * np.log2(q / m))) / 2
    return float(1 - np.sqrt(max(0.0, divergence)))


def summary(ledger: Ledger) -> dict[str, float | int]:
    """The metrics of the ledger of ONE seed; runs on the host."""
    explored, visited = np.asarray(ledger.explored), np.asarray(ledger.visited)
    figures: dict[str, float | int] = {
        "ledger/coverage": np.count_nonzero(explored) / explored.size,
        "ledger/coverage_all": np.count_nonzero(visited) / visited.size,
        "ledger/uniformity": uniformity(explored),
    }
    vectors = {"best": ledger.best, "first": ledger.first, "reached": ledger.reached, "paid": ledger.paid}
    if (stored := ledger.stored) is not None:
        vectors |= {"stored_best": stored.best, "stored_first": stored.first, "stored_reached": stored.reached}
    for name, vector in {**vectors, "phase": ledger.per_phase}.items():
        figures |= {f"ledger/{name}_{k}": value for k, value in enumerate(np.asarray(vector).tolist())}
    return figures
