"""Levels drawn as text, with two characters per cell.

##  wall      ..  empty     GG  goal      ~~  lava       >> vv << ^^  the agent and its direction
F?  floor     K?  key       B?  ball      X?  empty box
D?  closed door   L?  locked door   O?  open door        ? is a colour: r g b p y e (e is grey)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import jax
import numpy as np

from prospect_rl.envs.minigrid import state as s
from prospect_rl.envs.minigrid.state import State, code

WHOLE = {"##": s.WALL, "..": s.EMPTY, "GG": code(s.GOAL, s.GREEN), "~~": code(s.LAVA, s.RED)}
COLOURED = {
    "F": code(s.FLOOR), "K": code(s.KEY), "B": code(s.BALL), "X": code(s.BOX), "D": code(s.DOOR, 0, s.CLOSED),
    "L": code(s.DOOR, 0, s.LOCKED), "O": code(s.DOOR, 0, s.OPEN),
}  # fmt: skip
AGENTS = {">>": s.RIGHT, "vv": s.DOWN, "<<": s.LEFT, "^^": s.UP}


def level(text: str, *, task: Sequence[int] = (), mission: Sequence[int] = ()) -> State:
    """Make a level from its drawing.

    Args:
        text: The drawing; rows are lines.
        task: What the family's rule needs, see `rules`.
        mission: The ids of the mission's words, see `table`.

    Returns:
        The initial state, with NumPy arrays as leaves.

    Raises:
        ValueError: If the map is not a rectangle enclosed by walls with exactly one agent, or contains an unknown tile.
    """
    rows = [[line[i : i + 2] for i in range(0, len(line), 2)] for line in map(str.strip, text.strip().splitlines())]
    if len({len(row) for row in rows}) != 1:
        raise ValueError("the rows of a level differ in length")
    agents = [(x, y, AGENTS[tile]) for y, row in enumerate(rows) for x, tile in enumerate(row) if tile in AGENTS]
    if len(agents) != 1:
        raise ValueError(f"a level must have one agent, not {len(agents)}")
    cells = np.array([[_code(tile) for tile in row] for row in rows], np.uint16).T
    if any((edge != s.WALL).any() for edge in (cells[0], cells[-1], cells[:, 0], cells[:, -1])):
        raise ValueError("a level must be enclosed by walls")
    return s.on_host(cells, *agents[0], task=task, mission=mission)


def stack(levels: Iterable[State]) -> State:
    """Stack levels of one size into a bank, with leading axis [L]."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *levels)


def _code(tile: str) -> int:
    if tile in WHOLE:
        return WHOLE[tile]
    if tile in AGENTS:
        return s.EMPTY
    if len(tile) == 2 and tile[0] in COLOURED and tile[1] in "rgbpye":
        return COLOURED[tile[0]] | code(0, "rgbpye".index(tile[1]))
    raise ValueError(f"unknown tile {tile!r} in a level")
