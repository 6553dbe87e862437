"""The state of a MiniGrid episode, and the encoding of its cells.

A cell is encoded as one uint16, so that resetting, writing and reading a grid use little memory bandwidth:

    bits 0-3 type    4-6 colour    8-9 door state    10-12 type of a box's contents (0: nothing)    13-15 its colour

with Farama's numbers (`table.OBJECTS`, `table.COLOURS`; a door is open 0, closed 1, locked 2). The carried object is
such a code too. Shapes: a grid is W x H cells, x first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array
from prospect_rl.envs.minigrid.table import SLOTS

UNSEEN, EMPTY, WALL_TYPE, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA, AGENT = range(11)
"""Object types."""
RED, GREEN, BLUE, PURPLE, YELLOW, GREY = range(6)
"""Colours."""
OPEN, CLOSED, LOCKED = range(3)
"""Door states."""
RIGHT, DOWN, LEFT, UP = range(4)
"""Directions."""
TURN_LEFT, TURN_RIGHT, FORWARD, PICKUP, DROP, TOGGLE, FINISH = range(7)
"""Actions; Farama calls the last one `done`."""
TASK = 8
"""Length of `State.task`."""


@struct.dataclass
class State:
    """The state of one episode; all leaves are arrays."""

    cells: Array
    """uint16 [W, H] codes of the cells, without the agent."""
    x: Array
    """int32 [] column of the agent's cell."""
    y: Array
    """int32 [] row of the agent's cell, downwards."""
    direction: Array
    """int32 [] direction of the agent: 0 right (+x), 1 down (+y), 2 left, 3 up."""
    carry: Array
    """uint16 [] code of the carried object; EMPTY for nothing."""
    t: Array
    """int32 [] steps taken so far."""
    task: Array
    """int32 [8] what the family's rule needs (see `rules`): cells as x * H + y, objects as codes."""
    mission: Array
    """uint8 [4] ids of the mission's words, by slot (see `table`)."""


def on_host(
    cells: Any, x: int, y: int, direction: int, *, carry: int = EMPTY, t: int = 0, task: Sequence[int] = (),
    mission: Sequence[int] = (),
) -> State:  # fmt: skip
    """Make a state with NumPy arrays as leaves; `task` and `mission` are padded with zeros."""
    leaves: dict[str, Any] = {
        "cells": np.asarray(cells, np.uint16), "carry": np.asarray(carry, np.uint16),
        **{name: np.asarray(n, np.int32) for name, n in (("x", x), ("y", y), ("direction", direction), ("t", t))},
        "task": np.array([*task, *[0] * (TASK - len(task))], np.int32),
        "mission": np.array([*mission, *[0] * (SLOTS - len(mission))], np.uint8),
    }  # fmt: skip
    return State(**leaves)


def code(kind: Any, colour: Any = 0, state: Any = 0, inside: Any = 0, inside_colour: Any = 0) -> Any:
    """Return the code of a cell; all arguments are ints or integer arrays."""
    return kind | colour << 4 | state << 8 | inside << 10 | inside_colour << 13


WALL = code(WALL_TYPE, GREY)
"""Code of a wall, and of every cell outside the map."""


def kind_of(cell: Any) -> Any:
    """Return the object type in a code."""
    return cell & 15


def colour_of(cell: Any) -> Any:
    """Return the colour in a code."""
    return cell >> 4 & 7


def door_of(cell: Any) -> Any:
    """Return the door state in a code."""
    return cell >> 8 & 3


def object_of(cell: Any) -> Any:
    """Return only the type and colour of a code, to be compared with a task's target."""
    return cell & 127


def inside_of(cell: Any) -> Any:
    """Return the code of a box's contents, EMPTY if it has none."""
    kind = cell >> 10 & 7
    return kind + (kind == 0) + (cell >> 13 << 4)


def encode(cells: Array) -> Array:
    """Convert codes [...] to Farama's triples (type, colour, state), uint8 [..., 3]."""
    return jnp.stack([kind_of(cells), colour_of(cells), door_of(cells)], -1).astype(jnp.uint8)


def contents(cells: Array) -> Array:
    """Return the contents (type, colour) of boxes with codes [...], uint8 [..., 2]; zeros for nothing."""
    return jnp.stack([cells >> 10 & 7, cells >> 13], -1).astype(jnp.uint8)
