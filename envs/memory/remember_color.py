"""RememberColor-lite: a coloured cube is shown, then cubes of all colours in shuffled places; reach the one shown.

A simplified version of MIKASA-Robo's RememberColor3, 5 and 9 with the same phases, places and success criterion, but a
point instead of an arm and numbers instead of images. Source: CognitiveAISystems/MIKASA-Robo,
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
"""The cue is shown at steps 0 to `SHOWN` - 1, the cubes from step `CHOICE` on."""
RADIUS = 0.05
"""Largest distance of the tip from the target cube for success (m)."""
SPACING, NOISE = 0.1, 0.01
"""Distance between neighbours in the row of three; largest offset of each place along each axis (m)."""
HEIGHT = 0.02
"""Half the height of a cube (m)."""
CENTRE = (0.0, REACH, HEIGHT)
"""Position at which the cue is rendered (m)."""
MOST = 9
"""Number of cubes in the model."""


@struct.dataclass
class CubeFacts:
    """The cue and the cubes of an episode, for K places."""

    target: Array
    """[] int32 number of the colour that is shown."""
    colours: Array
    """[K] int32 colour of the cube in each place."""
    places: Array
    """[K, 2] float32 positions of the places (m)."""


@struct.dataclass
class RememberColor(Tabletop):
    """Remember the colour that was shown, and reach the cube of that colour.

    The colour is shown at steps 0 to 4 and nothing at steps 5 to 9; from step 10 on there are K cubes 0.3 m away, one
    of each colour in shuffled places: a row of three 0.1 m apart, or a semicircle around the tip's start.
    Observation [4 + K + K (2 + K)]: position (in units of 0.3 m) and velocity (in units of 0.5 m/s) of the tip; the
    colour shown, one-hot (zeros if none is); and for each place its position (in units of 0.3 m) and its cube's colour,
    one-hot (both zeros before step 10). Action [2] in [-1, 1]: velocity of the tip, 1 for 0.5 m/s. A step lasts 0.02 s.
    Reward: 1 on success, else 0. Success: from step 10 on, the tip is within 0.05 m of the right cube and no faster
    than 0.2 m/s along either axis. The episode terminates on success; it is truncated after 60 steps.

    A policy without memory that goes to a cube and stays there succeeds with probability 1/K. A wrong choice does not
    end the episode, as in MIKASA: since the way takes half of the remaining steps, there may be time to try a
    neighbouring cube.
    """

    colours: Literal[3, 5, 9] = static(3)
    """Number of colours and cubes, K (3, 5 or 9)."""

    file: ClassVar[str] = "remember_color.xml"
    horizon: ClassVar[int] = 60

    @property
    def id(self) -> str:
        """The registered id of the task."""
        return f"memory/remember_color_{self.colours}"

    @property
    def size(self) -> int:
        """The length of an observation."""
        return 4 + self.colours * (3 + self.colours)

    @property
    def grid(self) -> np.ndarray:
        """The positions of the places without noise, float32 [K, 2] (m)."""
        if self.colours == 3:
            return np.array([[-SPACING, REACH], [0, REACH], [SPACING, REACH]], np.float32)
        bearing = np.linspace(np.pi, 0, self.colours)
        return REACH * np.stack([np.cos(bearing), np.sin(bearing)], 1).astype(np.float32)

    def draw(self, key: Key) -> tuple[Array, CubeFacts]:
        """Draw the target, the order of the colours and the noise of the places."""
        k_target, k_colours, k_places = jax.random.split(key, 3)
        places = jnp.asarray(self.grid) + jax.random.uniform(k_places, self.grid.shape, jnp.float32, -NOISE, NOISE)
        colours = jax.random.permutation(k_colours, self.colours).astype(jnp.int32)
        return jnp.zeros(2), CubeFacts(jax.random.randint(k_target, (), 0, self.colours, jnp.int32), colours, places)

    def goal(self, state: TableState) -> Array:
        """Return the position of the target cube [2] (m)."""
        return state.facts.places[jnp.argmax(state.facts.colours == state.facts.target)]

    def evaluate(self, state: TableState) -> tuple[CubeFacts, Array]:
        """Return the unchanged facts, and whether the tip is near the target cube and nearly static."""
        near = jnp.linalg.norm(state.tip - self.goal(state)) <= RADIUS
        return state.facts, near & (state.time >= CHOICE) & jnp.all(jnp.abs(state.read[2:]) <= STATIC)

    def observe(self, state: TableState) -> Array:
        """Return the observation."""
        cubes, hot = state.facts, partial(jax.nn.one_hot, num_classes=self.colours)
        cue = jnp.where(state.time < SHOWN, hot(cubes.target), 0)
        table = jnp.concatenate([cubes.places / REACH, hot(cubes.colours)], axis=1)
        table = jnp.where(state.time >= CHOICE, table, 0)
        return jnp.concatenate([state.read[:2] / REACH, state.read[2:] / SPEED, cue, table.ravel()])

    def visual_geoms(self, state: TableState) -> Array:
        """Return the rendered positions [9, 3] (m) of the cubes by colour: only the cue, none, or all."""
        cubes, nowhere = state.facts, jnp.array([0.0, 0.0, UNDER])
        cue = jnp.where(state.time < SHOWN, jnp.array(CENTRE), nowhere)
        hidden = jnp.tile(nowhere, (MOST, 1)).at[cubes.target].set(cue)
        lie = jnp.concatenate([cubes.places, jnp.full((self.colours, 1), HEIGHT)], axis=1)
        return jnp.where(state.time >= CHOICE, hidden.at[cubes.colours].set(lie), hidden)


remember_color_3 = partial(RememberColor, colours=3)
remember_color_5 = partial(RememberColor, colours=5)
remember_color_9 = partial(RememberColor, colours=9)
