"""Evaluated policies as rows of an archive, and the metrics of every agent with an archive."""

from __future__ import annotations

from typing import TypeVar

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Episodes, Spec, Tree
from prospect_rl.agents.ops import archive as archives
from prospect_rl.agents.ops.archive import Archive

Rows = dict[str, Tree]
"""Evaluated policies: genome [n, G], descriptor [n, d], fitness [n], area [n] int32, and any others."""


def rows_of(data: Episodes) -> Rows:
    """The evaluated policies of a rollout, as rows of an archive.

    Without a finite descriptor or a finite return the fitness is -inf: such a policy is never selected or stored.
    """
    known = jnp.all(jnp.isfinite(data.descriptor), axis=1)
    return {
        "genome": data.behaviour,
        "descriptor": data.descriptor,
        "fitness": jnp.where(known, data.fitness, -jnp.inf),
        "area": areas_of(data),
    }


T = TypeVar("T")


def join(*parts: T) -> T:
    """The rows of all parts, concatenated."""
    return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def take(rows: T, index: Array) -> T:
    """The rows at `index` of what leads with rows: columns, or a table of emitters."""
    return jax.tree.map(lambda x: x[index], rows)


def full_notice(what: str, field: str, capacity: int) -> str:
    """The notice that an archive or a table is full."""
    return f"the {what} is full and drops new entries (archive/overflow); raise {field} above {capacity}"


def best_genome(archive: Archive) -> Array:
    """[G] the stored genome with the highest fitness."""
    return archive.rows["genome"][jnp.argmax(jnp.where(archive.filled, archive.rows["fitness"], -jnp.inf))]


def archive_metrics(spec: Spec, archive: Archive) -> dict[str, Array]:
    """The metrics that every agent with an archive reports."""
    return {
        "archive/size": archive.count,
        "archive/overflow": archive.overflow,
        "archive/best": archives.best_by_area(archive, spec.areas),
    }


def areas_of(data: Episodes) -> Array:
    """[P] the reward area that rewarded each policy, or -1 (also where the environment has no areas)."""
    return data.area if "area" in data.info else jnp.full(data.active.shape, -1, jnp.int32)
