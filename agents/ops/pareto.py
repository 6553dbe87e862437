"""Pareto fronts and crowding distance, for maximised objectives.

A point dominates another if it is nowhere worse and somewhere better; equal points do not dominate each other.
Shapes: n points, m objectives.

Source: Deb et al. 2002 (NSGA-II), sections III-A and III-B.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Array


def dominates(values: Array) -> Array:
    """[n, n] whether point i (row) dominates point j (column). values [n, m]."""
    ahead, behind = values[:, None], values[None]
    return jnp.all(ahead >= behind, axis=-1) & jnp.any(ahead > behind, axis=-1)


def first_front(values: Array, valid: Array) -> Array:
    """[n] the valid points that no valid point dominates. values [n, m]; valid [n]; a NaN makes a point invalid."""
    valid = valid & ~jnp.any(jnp.isnan(values), axis=1)
    beaten = jnp.any(dominates(values) & valid[:, None], axis=0)
    return valid & ~beaten


def fronts(values: Array, valid: Array, *, enough: int | None = None) -> Array:
    """[n] int32 index of the front of each point: 0 is dominated by no point, 1 only by points of front 0, and so on.

    values [n, m]; valid [n]: points that are not valid or hold a NaN come after all fronts, with index n. `enough`
    stops
    once so many points have an index and leaves the rest at n: selection needs no more, and where one objective is
    constant every front is a single point.
    """
    count, valid = values.shape[0], valid & ~jnp.any(jnp.isnan(values), axis=1)
    enough = count if enough is None else enough
    wins = dominates(values) & valid[:, None] & valid[None]
    wins = wins.astype(jnp.float32)  # as floats: each front costs one matrix-vector product

    def peel(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        number, rank, beaten = carry
        front = (rank == count) & (beaten == 0) & valid
        return number + 1, jnp.where(front, number, rank), beaten - front.astype(jnp.float32) @ wins

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        done = jnp.sum(carry[1] < count)
        return (done < enough) & (done < jnp.sum(valid))

    start = (jnp.int32(0), jnp.full(count, count, jnp.int32), jnp.sum(wins, axis=0))
    return jax.lax.while_loop(unfinished, peel, start)[1]


def best(values: Array, valid: Array, count: int, *, official: bool = False) -> Array:
    """[count] the points that NSGA-II keeps: front by front, those of the last front by their crowding distance.

    values [n, m]; valid [n]: other points come last. `official`: see `crowding`.
    """
    values = jnp.where(valid[:, None], values, 0.0)
    rank = fronts(values, valid, enough=count)
    return jnp.lexsort((-crowding(values, rank, official=official), rank))[:count]


def crowding(values: Array, rank: Array, *, official: bool = False) -> Array:
    """[n] crowding distance of each point within its front; infinite at the ends of each objective.

    The distance is the gap between a point's two neighbours in an objective, as a share of the front's range in it,
    summed over the objectives. An objective that is constant within the front adds nothing (it has no ends).
    values [n, m] finite for valid points; rank [n] as `fronts` gives it.

    official: the distance as in GPaolo/SERENE (core/evolvers/utils.py, `crowding_distance`): the k-th gap goes to
    the k-th point of the front in index order, not to the point it was measured at; the first and last of that
    order are infinite; the range is that of all points. (Their order within later fronts is the order of discovery;
    here it is always the index.)
    """
    count = values.shape[0]
    by_index = jnp.argsort(rank, stable=True)
    total = jnp.zeros(count)
    for column in values.T:
        order = jnp.lexsort((column, rank))
        group, ordered = rank[order], column[order]
        same = group[1:] == group[:-1]
        first, last = jnp.append(True, ~same), jnp.append(~same, True)
        low = jax.ops.segment_min(column, rank, count + 1)[group]
        high = jax.ops.segment_max(column, rank, count + 1)[group]
        if official:
            low, high = jnp.min(column), jnp.max(column)
        gap = (jnp.roll(ordered, -1) - jnp.roll(ordered, 1)) / (high - low)
        gap = jnp.where(high > low, jnp.where(first | last, jnp.inf, gap), jnp.inf if official else 0.0)
        gap = jnp.where(first & last, jnp.inf, gap)
        total = total.at[by_index if official else order].add(gap)
    return total
