"""The state of a MiniGrid episode, and the code of its cells.

A cell is one uint16, so that resetting, writing and looking at a grid touch little memory:

    bits 0-3 type    4-6 colour    8-9 state of a door    10-12 type in a box (0: nothing)    13-15 its colour

with Farama's numbers (`table.OBJECTS`, `table.COLOURS`; a door is open 0, closed 1, locked 2). What the agent
carries is such a code too. Shapes: a grid is W x H cells, x first.
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
"""Types."""
RED, GREEN, BLUE, PURPLE, YELLOW, GREY = range(6)
"""Colours."""
OPEN, CLOSED, LOCKED = range(3)
"""States of a door."""
RIGHT, DOWN, LEFT, UP = range(4)
"""Directions."""
TURN_LEFT, TURN_RIGHT, FORWARD, PICKUP, DROP, TOGGLE, FINISH = range(7)
"""Actions; Farama calls the last one `done`."""
TASK = 8
"""Numbers in `State.task`."""


@struct.dataclass
class State:
    """One episode; all leaves are arrays."""

    cells: Array
    """uint16 [W, H]; the agent is not among them."""
    x: Array
    y: Array
    """int32 [] where the agent is."""
    direction: Array
    """int32 [] 0 right (+x), 1 down (+y), 2 left, 3 up."""
    carry: Array
    """uint16 [] what it carries; EMPTY for nothing."""
    t: Array
    """int32 [] steps so far."""
    task: Array
    """int32 [8] what the family's rule needs (see `rules`): cells as x * H + y, objects as codes."""
    mission: Array
    """uint8 [4] the ids of the mission's slots (see `table`)."""


def on_host(
    cells: Any, x: int, y: int, direction: int, *, carry: int = EMPTY, t: int = 0, task: Sequence[int] = (),
    mission: Sequence[int] = (),
) -> State:  # fmt: skip
    """A state with NumPy leaves; what is missing of task and mission is 0."""
    leaves: dict[str, Any] = {
        "cells": np.asarray(cells, np.uint16), "carry": np.asarray(carry, np.uint16),
        **{name: np.asarray(n, np.int32) for name, n in (("x", x), ("y", y), ("direction", direction), ("t", t))},
        "task": np.array([*task, *[0] * (TASK - len(task))], np.int32),
        "mission": np.array([*mission, *[0] * (SLOTS - len(mission))], np.uint8),
    }  # fmt: skip
    return State(**leaves)


def code(kind: Any, colour: Any = 0, state: Any = 0, inside: Any = 0, inside_colour: Any = 0) -> Any:
    """The code of a cell: ints or integer arrays."""
    return kind | colour << 4 | state << 8 | inside << 10 | inside_colour << 13


WALL = code(WALL_TYPE, GREY)
"""What lies outside of every map."""


def kind_of(cell: Any) -> Any:
    """The type in a code."""
    return cell & 15


def colour_of(cell: Any) -> Any:
    """The colour in a code."""
    return cell >> 4 & 7


def door_of(cell: Any) -> Any:
    """The state in a code."""
    return cell >> 8 & 3


def object_of(cell: Any) -> Any:
    """Type and colour alone: what a task's target is compared with."""
    return cell & 127


def inside_of(cell: Any) -> Any:
    """The code of what a box holds: EMPTY where that is nothing."""
    kind = cell >> 10 & 7
    return kind + (kind == 0) + (cell >> 13 << 4)


def encode(cells: Array) -> Array:
    """Codes [...] as Farama's triples (type, colour, state), uint8 [..., 3]."""
    return jnp.stack([kind_of(cells), colour_of(cells), door_of(cells)], -1).astype(jnp.uint8)


def contents(cells: Array) -> Array:
    """What the boxes of codes [...] hold, (type, colour), uint8 [..., 2]; zeros for nothing."""
    return jnp.stack([cells >> 10 & 7, cells >> 13], -1).astype(jnp.uint8)
