"""Observations, equal to Farama's. The functions are for ONE episode; S is the width of the view in cells.

A view [S, S] is indexed [x, y]; the agent is at (S // 2, S - 1) and faces up. Visibility is computed row by row,
starting from the agent's: within a row, light passes from cell to cell, first to the right, then to the left; from each
visible transparent cell it also reaches the cell above and the next cell above in the direction of the sweep. A row is
stored as the bits of an integer, so that a sweep is an addition whose carry passes through transparent cells.
"""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np

from prospect_rl.envs import device
from prospect_rl.envs.api import Array
from prospect_rl.envs.minigrid.rules import at, heading
from prospect_rl.envs.minigrid.state import AGENT, DOOR, OPEN, RED, WALL, WALL_TYPE, State, code, door_of, kind_of
from prospect_rl.envs.minigrid.table import COLOURS, FIRST, OBJECTS, WORDS, say, slots

SHIFTS, MASKS = np.array([0, 4, 8]), np.array([15, 7, 3])
"""Bit positions and masks of the three channels in a code."""
LETTERS, LENGTH = 28, 96
"""Number of distinct characters in a flat observation (a-z, blank, comma), and maximum length of the mission."""


def window(state: State, size: int) -> Array:
    """Return the codes of the cells in front of the agent without occlusion, int32 [S, S]."""
    width, height = state.cells.shape
    dx, dy = heading(state.direction)
    right, forward = np.arange(size)[:, None] - size // 2, size - 1 - np.arange(size)
    x = state.x + forward * dx - right * dy
    y = state.y + forward * dy + right * dx
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    cell = jnp.where(inside, x * height + y, 0)
    # in a loop, because otherwise XLA reads every cell once for each channel of an image
    _, codes = device.scan(lambda _, column: (None, at(state.cells, column)), None, cell)
    return jnp.where(inside, codes.astype(jnp.int32), WALL)


def transparent(codes: Array) -> Array:
    """Return whether cells are transparent, given their codes."""
    kind = kind_of(codes)
    return (kind != WALL_TYPE) & ((kind != DOOR) | (door_of(codes) == OPEN))


def sweep(seed: Array, row: Array, size: int) -> tuple[Array, Array]:
    """Propagate light within a row and to the row above; all cells are bits of an integer.

    Args:
        seed: Visible cells of this row before its sweep.
        row: Transparent cells of this row.
        size: S.

    Returns:
        The visible cells of the row above before its sweep, and those of this row after its sweep.
    """
    seen = (seed | (((seed & row) + row) ^ row)) & ((1 << size) - 1)  # to the right
    out = seen & row & ~(1 << (size - 1))
    above = out | out << 1
    for _ in range(size - 1):  # to the left
        seen |= (seen & row) >> 1
    out = seen & row & ~1
    return above | out | out >> 1, seen


def lit(clear: Array) -> Array:
    """Return which cells are visible, bool [S, S], given which are transparent, bool [S, S]."""
    size = clear.shape[0]
    bits = jnp.asarray(1 << np.arange(size), jnp.int32)[:, None]
    rows = jnp.sum(jnp.where(clear, bits, 0), axis=0)
    # in a loop, because otherwise XLA fuses the computation of all rows into every cell
    _, seen = device.scan(partial(sweep, size=size), jnp.int32(1 << size // 2), rows, reverse=True)
    return (seen & bits) != 0


def look(state: State, size: int, see_through: bool) -> Array:
    """Return the visible codes, int32 [S, S], 0 where hidden; the agent's own cell shows the carried object."""
    codes = window(state, size)
    if not see_through:
        codes = jnp.where(lit(transparent(codes)), codes, 0)
    own = np.zeros((size, size), bool)
    own[size // 2, size - 1] = True
    return jnp.where(own, state.carry.astype(jnp.int32), codes)


def image(codes: Array) -> Array:
    """Convert codes [...] to triples (type, colour, door state), uint8 [..., 3]."""
    return (codes[..., None] >> SHIFTS & MASKS).astype(jnp.uint8)


def onehot(codes: Array) -> Array:
    """Convert codes [...] to one-hot triples of 11 + 6 + 3 bits, uint8 [..., 20]; hidden: unseen, red and open."""
    offsets = np.cumsum([0, len(OBJECTS), len(COLOURS)])
    bit = image(codes) + offsets
    return jnp.any(bit[..., None] == np.arange(len(OBJECTS) + len(COLOURS) + 3), axis=-2).astype(jnp.uint8)


def full(state: State) -> Array:
    """Return the whole map as triples, uint8 [W, H, 3]; the agent's cell contains the agent and its direction."""
    width, height = state.cells.shape
    me = (np.arange(width)[:, None] == state.x) & (np.arange(height) == state.y)
    agent = code(AGENT, RED) + (state.direction << 8)
    return image(jnp.where(me, agent, state.cells.astype(jnp.int32)))


def letters(mission: str) -> np.ndarray:
    """Return the characters of all missions of a template, uint8 [missions, LENGTH], padded with LETTERS."""
    kinds = slots(mission)
    codes = {character: i for i, character in enumerate("abcdefghijklmnopqrstuvwxyz ,")}
    first = np.array([FIRST[kind] for kind in kinds], int)
    texts = [say(mission, list(ids + first)) for ids in np.ndindex(*(len(WORDS[kind]) for kind in kinds))]
    table = np.full((len(texts), LENGTH), LETTERS, np.uint8)
    for row, text in zip(table, texts, strict=True):
        row[: len(text)] = [codes[character] for character in text]
    return table


def flat(codes: Array, ids: Array, mission: str) -> Array:
    """Return the view's triples, then the mission's characters one-hot, uint8 [S * S * 3 + 96 * 28]."""
    number = jnp.int32(0)
    for i, kind in enumerate(slots(mission)):
        number = number * len(WORDS[kind]) + ids[i] - FIRST[kind]
    text = jnp.asarray(letters(mission))[number]
    hot = (text[:, None] == np.arange(LETTERS)).astype(jnp.uint8)
    return jnp.concatenate([image(codes).reshape(-1), hot.reshape(-1)])
