"""What the agent sees: Farama's observations, exactly. Written for ONE episode; S is the width of the view.

A view [S, S] is indexed [x, y] from the agent's place (S // 2, S - 1), facing up. What hides what is decided row by
row, from the agent's on: within a row light goes from cell to cell, first to the right, then to the left, and from
every transparent cell that is lit it falls on the cell above and on the next one above in the sweep's direction. A
row is the bits of an integer, so that a sweep is an addition whose carry runs through transparent cells.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Array
from prospect_rl.envs.minigrid.rules import at, heading
from prospect_rl.envs.minigrid.state import AGENT, DOOR, OPEN, RED, WALL, WALL_TYPE, State, code, door_of, kind_of
from prospect_rl.envs.minigrid.table import COLOURS, FIRST, OBJECTS, WORDS, say, slots

SHIFTS, MASKS = np.array([0, 4, 8]), np.array([15, 7, 3])
"""Where the three channels are in a code."""
LETTERS, LENGTH = 28, 96
"""Characters that a flat observation tells apart (a-z, blank, comma), and how many it has room for."""


def window(state: State, size: int) -> Array:
    """The codes [S, S] before the agent, nothing hidden, int32."""
    width, height = state.cells.shape
    dx, dy = heading(state.direction)
    right, forward = np.arange(size)[:, None] - size // 2, size - 1 - np.arange(size)
    x = state.x + forward * dx - right * dy
    y = state.y + forward * dy + right * dx
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    cell = jnp.where(inside, x * height + y, 0)
    # a loop, lest XLA read every cell once for each channel of an image
    _, codes = jax.lax.scan(lambda _, column: (None, at(state.cells, column)), None, cell)
    return jnp.where(inside, codes.astype(jnp.int32), WALL)


def transparent(codes: Array) -> Array:
    """Whether one can see through a cell."""
    kind = kind_of(codes)
    return (kind != WALL_TYPE) & ((kind != DOOR) | (door_of(codes) == OPEN))


def sweep(seed: Array, row: Array, size: int) -> tuple[Array, Array]:
    """(the lit cells of the row above before its own sweep, those of this one after it), as bits; `row`: the clear."""
    seen = (seed | (((seed & row) + row) ^ row)) & ((1 << size) - 1)  # to the right
    out = seen & row & ~(1 << (size - 1))
    above = out | out << 1
    for _ in range(size - 1):  # to the left
        seen |= (seen & row) >> 1
    out = seen & row & ~1
    return above | out | out >> 1, seen


def lit(clear: Array) -> Array:
    """Which cells [S, S] can be seen, given which are transparent, bool [S, S]."""
    size = clear.shape[0]
    bits = jnp.asarray(1 << np.arange(size), jnp.int32)[:, None]
    rows = jnp.sum(jnp.where(clear, bits, 0), axis=0)
    # a loop, lest XLA fuse all rows into every cell that asks for one
    _, seen = jax.lax.scan(partial(sweep, size=size), jnp.int32(1 << size // 2), rows, reverse=True)
    return (seen & bits) != 0


def look(state: State, size: int, see_through: bool) -> Array:
    """The codes [S, S] that are seen, 0 where nothing is; the agent's own cell shows what it carries."""
    codes = window(state, size)
    if not see_through:
        codes = jnp.where(lit(transparent(codes)), codes, 0)
    own = np.zeros((size, size), bool)
    own[size // 2, size - 1] = True
    return jnp.where(own, state.carry.astype(jnp.int32), codes)


def image(codes: Array) -> Array:
    """Codes [...] as triples (type, colour, state of a door), uint8 [..., 3]."""
    return (codes[..., None] >> SHIFTS & MASKS).astype(jnp.uint8)


def onehot(codes: Array) -> Array:
    """The triples as 11 + 6 + 3 bits, uint8 [..., 20]; what is not seen counts as unseen, red and open."""
    offsets = np.cumsum([0, len(OBJECTS), len(COLOURS)])
    bit = image(codes) + offsets
    return jnp.any(bit[..., None] == np.arange(len(OBJECTS) + len(COLOURS) + 3), axis=-2).astype(jnp.uint8)


def full(state: State) -> Array:
    """The whole map as triples, uint8 [W, H, 3]; the agent's cell shows it and its direction."""
    width, height = state.cells.shape
    me = (np.arange(width)[:, None] == state.x) & (np.arange(height) == state.y)
    agent = code(AGENT, RED) + (state.direction << 8)
    return image(jnp.where(me, agent, state.cells.astype(jnp.int32)))


def letters(mission: str) -> np.ndarray:
    """The characters of all missions of a template, uint8 [number of missions, LENGTH]; LETTERS after the end."""
    kinds = slots(mission)
    codes = {character: i for i, character in enumerate("abcdefghijklmnopqrstuvwxyz ,")}
    first = np.array([FIRST[kind] for kind in kinds], int)
    texts = [say(mission, list(ids + first)) for ids in np.ndindex(*(len(WORDS[kind]) for kind in kinds))]
    table = np.full((len(texts), LENGTH), LETTERS, np.uint8)
    for row, text in zip(table, texts, strict=True):
        row[: len(text)] = [codes[character] for character in text]
    return table


def flat(codes: Array, ids: Array, mission: str) -> Array:
    """The view's triples, then a one-hot character after the other of the mission, uint8 [S * S * 3 + 96 * 28]."""
    number = jnp.int32(0)
    for i, kind in enumerate(slots(mission)):
        number = number * len(WORDS[kind]) + ids[i] - FIRST[kind]
    text = jnp.asarray(letters(mission))[number]
    hot = (text[:, None] == np.arange(LETTERS)).astype(jnp.uint8)
    return jnp.concatenate([image(codes).reshape(-1), hot.reshape(-1)])
