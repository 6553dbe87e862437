"""Evaluated policies as rows of an archive, and what every agent with an archive reports."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Episodes, Spec
from prospect_rl.agents.ops import archive as archives
from prospect_rl.agents.ops.archive import Archive

Rows = dict[str, Array]
"""Evaluated policies: genome [n, G], descriptor [n, d], fitness [n], area [n] int32."""


def rows_of(data: Episodes) -> Rows:
    """The evaluated policies of a rollout, as rows of an archive.

    Without a finite descriptor the fitness is -inf, as it is without a finite return: nothing selects or stores it.
    """
    known = jnp.all(jnp.isfinite(data.descriptor), axis=1)
    return {
        "genome": data.behaviour,
        "descriptor": data.descriptor,
        "fitness": jnp.where(known, data.fitness, -jnp.inf),
        "area": areas_of(data),
    }


def join(*parts: Rows) -> Rows:
    """Rows one after another."""
    return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def take(rows: Rows, index: Array) -> Rows:
    """The rows at `index`."""
    return jax.tree.map(lambda x: x[index], rows)


def full_up(what: str, field: str, capacity: int) -> str:
    """The notice that a table has no room left."""
    return f"the {what} is full, and what no longer fits is lost (archive/overflow); raise {field} above {capacity}"


def best_genome(archive: Archive) -> Array:
    """[G] the stored genome with the highest fitness."""
    return archive.rows["genome"][jnp.argmax(jnp.where(archive.filled, archive.rows["fitness"], -jnp.inf))]


def archive_metrics(spec: Spec, archive: Archive) -> dict[str, Array]:
    """The figures that every archive agent reports."""
    return {
        "archive/size": archive.count,
        "archive/overflow": archive.overflow,
        "archive/best": archives.best_by_area(archive, spec.areas),
    }


def areas_of(data: Episodes) -> Array:
    """[P] the area that paid each policy, or -1 (also where the environment has no areas)."""
    return data.area if "area" in data.info else jnp.full(data.active.shape, -1, jnp.int32)
