"""RememberColor-lite: a coloured cube is shown, then all of them in shuffled places; reach the one that was shown.

A light rebuild of MIKASA-Robo's RememberColor3, 5 and 9: its phases, places and success, with a point instead of an
arm and numbers instead of pictures. Source: CognitiveAISystems/MIKASA-Robo,
mikasa_robo_suite/rl/memory_envs/remember_color.py.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Key, static
from prospect_rl.envs.memory.tabletop import REACH, SPEED, STATIC, UNDER, TableState, Tabletop

SHOWN, CHOICE = 5, 10
"""The cue is seen at steps 0 to `SHOWN` - 1, the cubes from step `CHOICE` on."""
RADIUS = 0.05
"""Success: the tip is so near to the target cube (m), and nearly static."""
SPACING, NOISE = 0.1, 0.01
"""Of the row of three; of each place, along each axis (m)."""
HEIGHT = 0.02
"""Half a cube (m)."""
CENTRE = (0.0, REACH, HEIGHT)
"""Where the cue lies in pictures."""
MOST = 9


@struct.dataclass
class Cubes:
    """What lies where; K places."""

    target: Array
    """[] int32 the colour that is shown."""
    colours: Array
    """[K] int32 the colour of the cube in each place."""
    places: Array
    """[K, 2] float32 (m)."""


@struct.dataclass
class RememberColor(Tabletop):
    """K cubes 0.3 m away: in a row of three 0.1 m apart, or on half a circle round the tip's start; 60 steps of 0.02 s.

    Observation float32 [4 + K + K (2 + K)]: the tip's position and velocity, the colour of the cue (one-hot, zeros
    when none is shown), and for each place its position and its cube's colour (one-hot; zeros before step 10). One
    that goes to a cube and stays is right with 1/K, whatever it forgets. The way takes half of the steps that are left:
    whoever has time may look for success at a neighbour, as in MIKASA, where no wrong choice ends an episode either.
    """

    colours: Literal[3, 5, 9] = static(3)
    """K: 3, 5 or 9."""

    file: ClassVar[str] = "remember_color.xml"
    horizon: ClassVar[int] = 60

    @property
    def id(self) -> str:
        """By the number of colours."""
        return f"memory/remember_color_{self.colours}"

    @property
    def size(self) -> int:
        """See the class."""
        return 4 + self.colours * (3 + self.colours)

    @property
    def grid(self) -> np.ndarray:
        """The places without their noise, float32 [K, 2] (m)."""
        if self.colours == 3:
            return np.array([[-SPACING, REACH], [0, REACH], [SPACING, REACH]], np.float32)
        bearing = np.linspace(np.pi, 0, self.colours)
        return REACH * np.stack([np.cos(bearing), np.sin(bearing)], 1).astype(np.float32)

    def draw(self, key: Key) -> tuple[Array, Cubes]:
        """The target, the order of the colours and the places' noise."""
        k_target, k_colours, k_places = jax.random.split(key, 3)
        places = jnp.asarray(self.grid) + jax.random.uniform(k_places, self.grid.shape, jnp.float32, -NOISE, NOISE)
        colours = jax.random.permutation(k_colours, self.colours).astype(jnp.int32)
        return jnp.zeros(2), Cubes(jax.random.randint(k_target, (), 0, self.colours, jnp.int32), colours, places)

    def goal(self, state: TableState) -> Array:
        """Where the target cube lies [2] (m)."""
        return state.facts.places[jnp.argmax(state.facts.colours == state.facts.target)]

    def evaluate(self, state: TableState) -> tuple[Cubes, Array]:
        """Near the target and nearly static, once the cubes lie there."""
        near = jnp.linalg.norm(state.tip - self.goal(state)) <= RADIUS
        return state.facts, near & (state.time >= CHOICE) & jnp.all(jnp.abs(state.read[2:]) <= STATIC)

    def observe(self, state: TableState) -> Array:
        """See the class."""
        cubes, hot = state.facts, partial(jax.nn.one_hot, num_classes=self.colours)
        cue = jnp.where(state.time < SHOWN, hot(cubes.target), 0)
        table = jnp.concatenate([cubes.places / REACH, hot(cubes.colours)], axis=1)
        table = jnp.where(state.time >= CHOICE, table, 0)
        return jnp.concatenate([state.read[:2] / REACH, state.read[2:] / SPEED, cue, table.ravel()])

    def visual_geoms(self, state: TableState) -> Array:
        """The cubes by colour: the cue alone, none, or all of them [9, 3]."""
        cubes, nowhere = state.facts, jnp.array([0.0, 0.0, UNDER])
        cue = jnp.where(state.time < SHOWN, jnp.array(CENTRE), nowhere)
        hidden = jnp.tile(nowhere, (MOST, 1)).at[cubes.target].set(cue)
        lie = jnp.concatenate([cubes.places, jnp.full((self.colours, 1), HEIGHT)], axis=1)
        return jnp.where(state.time >= CHOICE, hidden.at[cubes.colours].set(lie), hidden)


remember_color_3 = partial(RememberColor, colours=3)
remember_color_5 = partial(RememberColor, colours=5)
remember_color_9 = partial(RememberColor, colours=9)
