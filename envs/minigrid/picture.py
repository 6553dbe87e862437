"""Rendering of a map: each cell is a tile with a shape in its object's colour.

Shapes: a tile is P x P pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Array
from prospect_rl.envs.minigrid.rules import heading
from prospect_rl.envs.minigrid.state import (
    AGENT,
    BALL,
    BOX,
    CLOSED,
    DOOR,
    EMPTY,
    FLOOR,
    GOAL,
    KEY,
    LAVA,
    LOCKED,
    OPEN,
    WALL_TYPE,
    State,
    colour_of,
    door_of,
    kind_of,
)  # fmt: skip
from prospect_rl.envs.minigrid.view import lit, transparent, window

P = 16
FINE = 4
"""Samples along each side of a pixel, for anti-aliasing."""
GROUND, LINE, AGENT_COLOUR = (38, 40, 46), (54, 57, 65), (250, 250, 245)
WALLS, MOLTEN = (104, 108, 120), (238, 118, 34)
PALETTE = ((214, 66, 66), (72, 172, 96), (70, 120, 220), (150, 88, 200), (236, 196, 64), (162, 166, 176))
"""RGB colours in the order of `table.COLOURS`."""
SHADE = 0.55
"""Brightness (share from 0 to 1) of cells that the agent does not see."""

Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Function of the position (x, y) in a tile, both from 0 to 1 with y down -> whether that point is covered."""


def box(left: float, top: float, right: float, bottom: float) -> Shape:
    """Return a rectangle."""
    return lambda x, y: (x >= left) & (x <= right) & (y >= top) & (y <= bottom)


def disc(cx: float, cy: float, radius: float) -> Shape:
    """Return a disc."""
    return lambda x, y: np.hypot(x - cx, y - cy) <= radius


def less(a: Shape, *others: Shape) -> Shape:
    """Return the first shape without the others."""
    return lambda x, y: a(x, y) & ~np.any([other(x, y) for other in others], axis=0)


def union(*shapes: Shape) -> Shape:
    """Return the union of shapes."""
    return lambda x, y: np.any([shape(x, y) for shape in shapes], axis=0)


SHAPES: dict[int, Shape] = {
    EMPTY: lambda x, y: x < 0,
    WALL_TYPE: box(0, 0, 1, 1),
    FLOOR: box(0.08, 0.08, 1, 1),
    GOAL: less(box(0.06, 0.06, 1, 1), less(box(0.22, 0.22, 0.84, 0.84), box(0.32, 0.32, 0.74, 0.74))),
    LAVA: lambda x, y: np.abs((y + 0.08 * np.sin(2 * np.pi * x)) % 0.34 - 0.17) > 0.05,
    KEY: union(
        less(disc(0.5, 0.28, 0.2), disc(0.5, 0.28, 0.09)), box(0.44, 0.45, 0.56, 0.9), box(0.56, 0.62, 0.72, 0.7),
        box(0.56, 0.8, 0.72, 0.88),
    ),
    BALL: disc(0.53, 0.53, 0.34),
    BOX: less(box(0.14, 0.14, 0.92, 0.92), less(box(0.24, 0.24, 0.82, 0.82), box(0.24, 0.46, 0.82, 0.58))),
    DOOR + 16 * OPEN: box(0, 0, 0.16, 1),
    DOOR + 16 * CLOSED: less(
        box(0, 0, 1, 1), less(box(0.1, 0.1, 0.9, 0.9), box(0.2, 0.2, 0.8, 0.8)), disc(0.68, 0.5, 0.07)
    ),
    DOOR + 16 * LOCKED: less(box(0, 0, 1, 1), disc(0.5, 0.4, 0.13), box(0.45, 0.45, 0.55, 0.74)),
    AGENT: lambda x, y: (x >= 0.18) & (x <= 0.9) & (np.abs(y - 0.53) <= 0.42 * (0.9 - x)),
}  # fmt: skip
"""Object type + 16 * door state -> shape."""


@lru_cache(1)
def tiles() -> np.ndarray:
    """Return the share of each pixel that a shape covers, float32 [keys of SHAPES, P, P] indexed [y, x]."""
    points = (np.arange(P * FINE) + 0.5) / (P * FINE)
    x, y = np.meshgrid(points, points)
    made = np.zeros((max(SHAPES) + 1, P, P), np.float32)
    for number, shape in SHAPES.items():
        made[number] = shape(x, y).reshape(P, FINE, P, FINE).mean((1, 3))
    return made


def seen_cells(state: State, size: int, see_through: bool) -> Array:
    """Return which cells of the map the agent sees, bool [W, H]."""
    width, height = state.cells.shape
    codes = window(state, size)
    visible = jnp.ones((size, size), bool) if see_through else lit(transparent(codes))
    dx, dy = heading(state.direction)
    right, down = jnp.arange(width)[:, None] - state.x, jnp.arange(height) - state.y
    i, j = right * -dy + down * dx + size // 2, size - 1 - (right * dx + down * dy)
    inside = (i >= 0) & (i < size) & (j >= 0) & (j < size)
    return inside & visible[jnp.clip(i, 0, size - 1), jnp.clip(j, 0, size - 1)]


def draw(state: State, size: int, see_through: bool) -> Array:
    """Draw the map, uint8 [P H, P W, 3]."""
    width, height = state.cells.shape
    cells = state.cells.astype(jnp.int32)
    kind, cover = kind_of(cells), jnp.asarray(tiles())
    ground = np.full((P, P, 3), GROUND, np.float32)
    ground[0], ground[:, 0] = LINE, LINE
    ink = jnp.where((kind == LAVA)[..., None], jnp.asarray(MOLTEN), jnp.asarray(PALETTE)[colour_of(cells)])
    ink = jnp.where((kind == WALL_TYPE)[..., None], jnp.asarray(WALLS), ink)
    share = cover[jnp.where(kind == DOOR, kind + 16 * door_of(cells), kind)][..., None]  # [W, H, P, P, 1]
    picture = ground + share * (ink[:, :, None, None] - ground)
    agent = jnp.stack([jnp.rot90(cover[AGENT], -turns) for turns in range(4)])[state.direction]
    me = (jnp.arange(width)[:, None] == state.x) & (jnp.arange(height) == state.y)
    share = me[:, :, None, None, None] * agent[..., None]
    picture = picture + share * (jnp.asarray(AGENT_COLOUR, jnp.float32) - picture)
    light = jnp.where(seen_cells(state, size, see_through) | me, 1.0, SHADE)
    picture = picture * light[:, :, None, None, None]
    return jnp.round(picture.transpose(1, 2, 0, 3, 4).reshape(P * height, P * width, 3)).astype(jnp.uint8)
