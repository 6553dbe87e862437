"""TakeItBack-lite: take a cube to a disc, then back to where it came from, which can no longer be seen.

A light rebuild of MIKASA-Robo's TakeItBack: its radii and steps, with a magnet on a table instead of an arm and numbers
instead of pictures. Source: CognitiveAISystems/MIKASA-Robo,
mikasa_robo_suite/rl/memory_envs/take_it_back.py.
"""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key
from prospect_rl.envs.memory.tabletop import REACH, SPEED, STATIC, UNDER, TableState, Tabletop

RADIUS = 0.08
"""Of both regions (m)."""
STARTS, WAYS = (0.1, 0.2), (0.2, 0.4)
"""Least and most distance of the cube's start from the middle, and of the goal from there (m)."""


@struct.dataclass
class Errand:
    """From where to where, and how far it got."""

    start: Array
    """[2] float32 where the cube lay at first (m)."""
    goal: Array
    """[2] float32 the middle of the disc (m)."""
    reached: Array
    """[] bool whether the cube has been there."""


@struct.dataclass
class TakeItBack(Tabletop):
    """The tip is a magnet: within 2.2 cm of the cube's middle it lifts it and drags it along; 180 steps of 0.02 s.

    The cube is in a region when it is nearly static within 0.08 m of its middle; success: in the start region after
    having been in the goal region. Observation float32 [13]: the positions of tip and cube, of the goal's disc and of
    the start's, which are zeros once the goal has been reached, the velocities of tip and cube, and whether it has.
    """

    file: ClassVar[str] = "take_it_back.xml"
    horizon: ClassVar[int] = 180
    id: ClassVar[str] = "memory/take_it_back"
    size: ClassVar[int] = 13

    def draw(self, key: Key) -> tuple[Array, Errand]:
        """The start anywhere round the middle, the goal anywhere round the start."""
        k_bearing, k_start, k_way = jax.random.split(key, 3)
        bearing = jax.random.uniform(k_bearing, (2,), jnp.float32, 0, 2 * jnp.pi)
        away = jnp.stack([
            jax.random.uniform(k_start, (), jnp.float32, *STARTS), jax.random.uniform(k_way, (), jnp.float32, *WAYS),
        ])  # fmt: skip
        start, way = away[:, None] * jnp.stack([jnp.cos(bearing), jnp.sin(bearing)], axis=1)
        return jnp.zeros(5).at[2:4].set(start), Errand(start, start + way, jnp.zeros((), bool))

    def evaluate(self, state: TableState) -> tuple[Errand, Array]:
        """The goal first, then the start."""
        errand, still = state.facts, jnp.all(jnp.abs(state.read[7:9]) <= STATIC)
        there, back = (
            still & (jnp.linalg.norm(cube(state) - place) <= RADIUS) for place in (errand.goal, errand.start)
        )
        return errand.replace(reached=errand.reached | there), errand.reached & back

    def observe(self, state: TableState) -> Array:
        """See the class."""
        errand, velocity = state.facts, state.read[5:9]
        start = jnp.where(errand.reached, 0, errand.start)
        places = jnp.concatenate([state.tip, cube(state), errand.goal, start])
        return jnp.concatenate([places / REACH, velocity / SPEED, errand.reached.astype(jnp.float32)[None]])

    def visual_geoms(self, state: TableState) -> Array:
        """The discs: start and goal, then the goal in another colour alone [3, 3]."""
        errand = state.facts
        places = jnp.stack([errand.start, errand.goal, errand.goal])
        hidden = jnp.stack([errand.reached, errand.reached, ~errand.reached])
        return jnp.concatenate([places, jnp.where(hidden, UNDER, 0.001)[:, None]], axis=1)


def cube(state: TableState) -> Array:
    """Where the cube is [2] (m)."""
    return state.read[2:4]
