"""MiniGrid's tasks with a verifier.

    progress   share of the actions on a shortest path that have been done; to the key first, if a door is locked
    proxy      share of the distance to the goal that has been gone, as the crow flies: walls and keys do not count

Shapes: L levels, W x H cells, 4 directions.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key, Step, Tree, static
from prospect_rl.envs.minigrid.controller import solve, targets_and_costs
from prospect_rl.envs.minigrid.env import Bank, MiniGrid
from prospect_rl.envs.minigrid.state import DOOR, EMPTY, GOAL, KEY, LOCKED, code, colour_of, door_of, kind_of
from prospect_rl.envs.minigrid.state import State as Level
from prospect_rl.envs.minigrid.table import TASKS
from prospect_rl.envs.verified.task import Verified

Name = Literal["Empty-Random-6x6-v0", "DoorKey-5x5-v0", "MultiRoom-N2-S4-v0"]


@struct.dataclass
class Table:
    """Where the goal of a level is, and how many actions there are left to do from every pose."""

    goal: Array
    """[2] int32 column and row of the goal."""
    home: Array
    """[4, W, H] int32 actions to the goal from a pose, with the key in hand if there is one."""
    key: Array
    """[4, W, H] int32 actions to the key; 0 in levels without a locked door."""


@struct.dataclass
class Start:
    """What is remembered of an episode."""

    table: Table
    """That of its level."""
    left: Array
    """[] int32 actions that were left to do at the start."""
    distance: Array
    """[] int32 distance to the goal at the start, in columns plus rows."""


def table(level: Level) -> Table:
    """The table of a level as it begins."""
    cells = level.cells.astype(jnp.int32)
    kind = kind_of(cells)
    goal = jnp.argwhere(kind == GOAL, size=1)[0]
    locked = (kind == DOOR) & (door_of(cells) == LOCKED)
    near = solve(*targets_and_costs(level))
    colour = jnp.max(jnp.where(locked, colour_of(cells), 0))
    armed = replace(level, carry=code(KEY, colour).astype(jnp.uint16))
    cleared = jnp.where(kind == KEY, EMPTY, level.cells).astype(jnp.uint16)
    home = solve(*targets_and_costs(replace(armed, cells=cleared)))
    return Table(goal.astype(jnp.int32), home, jnp.where(jnp.any(locked), near, 0))


@struct.dataclass
class Grid(Verified):
    """A short episode of a MiniGrid task, whose success a verifier judges. See `minigrid` for what is seen and done."""

    name: Name = static("DoorKey-5x5-v0")
    """Farama's id of the task without `MiniGrid-`."""
    levels: int = static(512, least=1)
    """Number of levels in the bank."""
    task: MiniGrid = struct.field(default=None)  # type: ignore[assignment]  # made below
    """The task, with its bank of levels."""
    tables: Bank = struct.field(default=None)  # type: ignore[assignment]  # made below
    """The tables of all levels, leading [L]; made when they are first needed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.horizon > (most := TASKS[self.name].max_steps):
            raise ValueError(f"horizon of {self.id} must be at most {most}, not {self.horizon}")
        if self.task is None:
            object.__setattr__(self, "task", MiniGrid(self.name, levels=self.levels))
        if self.tables is None:
            object.__setattr__(self, "tables", Bank(partial(made, self.task)))

    @property
    def id(self) -> str:
        """The registered id."""
        return f"verified/{self.name.removesuffix('-v0')}"

    @property
    def inner(self) -> MiniGrid:
        """The MiniGrid task."""
        return self.task

    def unseen(self) -> Grid:
        """The same task with held-out levels, for evaluation."""
        return replace(self, task=self.task.unseen(), tables=None)

    def start(self, needed: Array, key: Key) -> tuple[Level, Tree, Start]:
        """Draw a level."""
        number = self.task.bank.number(key)
        level, known = jax.tree.map(lambda x: x[number], (self.task.bank.levels, self.tables.levels))
        return level, self.task.observe(level), Start(known, left(known, level), distance(known, level))

    def judge(self, memory: Start, state: Level, step: Step, last: Array) -> tuple[Start, Array, Array, Array]:
        """By the table of the level."""
        success = step.info["success"]
        done = 1 - left(memory.table, state) / jnp.maximum(memory.left, 1)
        gone = 1 - distance(memory.table, state) / jnp.maximum(memory.distance, 1)
        progress, proxy = (jnp.where(success, 1.0, jnp.clip(x, 0, 1)) for x in (done, gone))
        return memory, success, progress, proxy


def made(task: MiniGrid) -> Any:
    """The tables of all levels of a task."""
    return jax.jit(jax.vmap(table))(task.bank.levels)


def left(known: Table, state: Level) -> Array:
    """Number [] of actions that are left to do; with the key still to be fetched, a map's width and height more."""
    cells = state.cells.astype(jnp.int32)
    locked = jnp.any((kind_of(cells) == DOOR) & (door_of(cells) == LOCKED))
    fetch = locked & (kind_of(state.carry.astype(jnp.int32)) != KEY)
    at = state.direction, state.x, state.y
    return jnp.where(fetch, known.key[at] + sum(cells.shape), known.home[at])


def distance(known: Table, state: Level) -> Array:
    """Columns plus rows [] between agent and goal."""
    return jnp.abs(state.x - known.goal[0]) + jnp.abs(state.y - known.goal[1])


empty = partial(Grid, name="Empty-Random-6x6-v0", horizon=40)
doorkey = partial(Grid, name="DoorKey-5x5-v0")
multiroom = partial(Grid, name="MultiRoom-N2-S4-v0", horizon=40)
