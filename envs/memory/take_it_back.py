"""TakeItBack-lite: take a cube to a disc, then back to where it came from, which is no longer shown.

A simplified version of MIKASA-Robo's TakeItBack with the same radii and steps, but a magnet on a table instead of an
arm and numbers instead of images. Source: CognitiveAISystems/MIKASA-Robo,
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
"""Radius of both regions (m)."""
STARTS, WAYS = (0.1, 0.2), (0.2, 0.4)
"""Smallest and largest distance of the cube's start from the centre, and of the goal from the start (m)."""


@struct.dataclass
class TakeItBackFacts:
    """The positions of an episode, and what has been achieved."""

    start: Array
    """[2] float32 initial position of the cube (m)."""
    goal: Array
    """[2] float32 position of the goal disc (m)."""
    reached: Array
    """[] bool, whether the cube has been at the goal."""


@struct.dataclass
class TakeItBack(Tabletop):
    """Take a cube to a goal region with a magnet, then back to its start region, which is then no longer shown.

    The tip is a magnet: within 2.2 cm of the cube's centre it lifts the cube and drags it along. The cube is in a
    region if it is within 0.08 m of its centre and nearly static (no faster than 0.2 m/s).
    Observation [13]: 0 and 1, position of the tip; 2 and 3, of the cube; 4 and 5, of the goal; 6 and 7, of the start
    (zeros once the goal has been reached), all in units of 0.3 m; 8 and 9, velocity of the tip; 10 and 11, of the cube,
    in units of 0.5 m/s; 12, 1 if the goal has been reached, else 0. Action [2] in [-1, 1]: velocity of the tip, 1 for
    0.5 m/s. A step lasts 0.02 s. Reward: 1 on success, else 0. Success: the cube is in the start region after having
    been in the goal region. The episode terminates on success; it is truncated after 180 steps.
    """

    file: ClassVar[str] = "take_it_back.xml"
    horizon: ClassVar[int] = 180
    id: ClassVar[str] = "memory/take_it_back"
    size: ClassVar[int] = 13

    def draw(self, key: Key) -> tuple[Array, TakeItBackFacts]:
        """Draw the start in a random direction from the centre, and the goal in a random direction from the start."""
        k_bearing, k_start, k_way = jax.random.split(key, 3)
        bearing = jax.random.uniform(k_bearing, (2,), jnp.float32, 0, 2 * jnp.pi)
        away = jnp.stack([
            jax.random.uniform(k_start, (), jnp.float32, *STARTS), jax.random.uniform(k_way, (), jnp.float32, *WAYS),
        ])  # fmt: skip
        start, way = away[:, None] * jnp.stack([jnp.cos(bearing), jnp.sin(bearing)], axis=1)
        return jnp.zeros(5).at[2:4].set(start), TakeItBackFacts(start, start + way, jnp.zeros((), bool))

    def evaluate(self, state: TableState) -> tuple[TakeItBackFacts, Array]:
        """Return the facts, with the goal marked as reached if it was, and whether the cube is back at its start."""
        facts, still = state.facts, jnp.all(jnp.abs(state.read[7:9]) <= STATIC)
        there, back = (still & (jnp.linalg.norm(cube(state) - place) <= RADIUS) for place in (facts.goal, facts.start))
        return facts.replace(reached=facts.reached | there), facts.reached & back

    def observe(self, state: TableState) -> Array:
        """Return the observation [13]."""
        facts, velocity = state.facts, state.read[5:9]
        start = jnp.where(facts.reached, 0, facts.start)
        places = jnp.concatenate([state.tip, cube(state), facts.goal, start])
        return jnp.concatenate([places / REACH, velocity / SPEED, facts.reached.astype(jnp.float32)[None]])

    def visual_geoms(self, state: TableState) -> Array:
        """Return the rendered positions [3, 3] (m) of the discs: start and goal, or the goal in another colour."""
        facts = state.facts
        places = jnp.stack([facts.start, facts.goal, facts.goal])
        hidden = jnp.stack([facts.reached, facts.reached, ~facts.reached])
        return jnp.concatenate([places, jnp.where(hidden, UNDER, 0.001)[:, None]], axis=1)


def cube(state: TableState) -> Array:
    """Return the position of the cube [2] (m)."""
    return state.read[2:4]
