"""POPGym's Battleship and MineSweeper. Rules: popgym 1.0.7.

Actions are cells counted along rows: row x width + column, where popgym takes (row, column). Cells are kept in that
order too. `begin` is `reset` with the hidden board handed in; steps draw nothing.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Discrete, Env, Key, Spec, Step, static
from prospect_rl.envs.memory.cards import one_hot
from prospect_rl.envs.resets import reset_if


def neighbours(width: int) -> np.ndarray:
    """[cells, cells] bool: which cells of a square board touch each other, corners too; none touches itself."""
    row, column = np.divmod(np.arange(width * width), width)
    near = (abs(row[:, None] - row) <= 1) & (abs(column[:, None] - column) <= 1)
    return near & ~np.eye(width * width, dtype=bool)


@struct.dataclass
class Sea:
    """State of Battleship."""

    ships: Array
    """[cells] bool where they are."""
    shot: Array
    """[cells] bool what was fired at."""
    hits: Array
    """[] int32 cells of ships that were hit."""
    time: Array
    """[] int32 steps so far."""


@struct.dataclass
class Battleship(Env):
    """Sink ships of known lengths by firing at cells.

    Observation [2], one-hot: whether the last shot hit (anew: a cell that was fired at before counts as a miss). Reward
    1 / (cells of ships) for a hit, -1 / (other cells) for a miss. Ends when all are sunk, or after as many steps as
    there are cells. Success: all are sunk.
    """

    id: str = static("")
    """The registered name."""
    width: int = static(8, least=2)
    """Width and height of the board, in cells."""
    ships: tuple[int, ...] = static((2, 3, 3, 4), least=1)
    """Lengths of the ships, in the order in which they are placed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ships or 3 * sum(self.ships) > self.width**2 or max(self.ships) > self.width:
            raise ValueError(f"ships must fit the board and fill at most a third of it, not {self.ships}, {self.width}")

    @property
    def spec(self) -> Spec:
        """Static facts."""
        cells = self.width**2
        return Spec(self.id, Box((2,), 0.0, 1.0), Discrete(cells), horizon=cells)

    def reset(self, key: Key) -> tuple[Sea, Array]:
        """Places one ship after another, uniformly among the places that are free."""
        board = jnp.zeros((self.width, self.width), bool)
        for number, length in enumerate(self.ships):
            free = ~jnp.concatenate([windows(board, length).reshape(-1), windows(board.T, length).T.reshape(-1)])
            ship = jnp.asarray(placements(self.width, length))[pick(free, jax.random.fold_in(key, number))]
            board |= ship.reshape(board.shape)
        return self.begin(board.reshape(-1))

    def reset_if(self, needed: Array, key: Key) -> tuple[Sea, Array]:
        """`reset` where `needed`; nothing is done elsewhere."""
        return reset_if(self, needed, key)

    def begin(self, ships: Array) -> tuple[Sea, Array]:
        """`reset` with the ships' cells [cells]."""
        return Sea(ships, jnp.zeros_like(ships), jnp.int32(0), jnp.int32(0)), one_hot((jnp.int32(0), 2))

    def step(self, state: Sea, action: Array, key: Key) -> tuple[Sea, Step]:
        """Fires."""
        cells, needed = self.width**2, sum(self.ships)
        here = jnp.arange(cells) == action
        hit = jnp.any(here & state.ships & ~state.shot)
        state = Sea(state.ships, state.shot | here, state.hits + hit, state.time + 1)
        sunk = state.hits == needed
        reward = jnp.where(hit, jnp.float32(1 / needed), jnp.float32(-1 / (cells - needed)))
        truncated = (state.time >= cells) & ~sunk
        return state, Step(one_hot((hit.astype(jnp.int32), 2)), reward, sunk, truncated, {"success": sunk})


def windows(board: Array, length: int) -> Array:
    """[width - length + 1, width] bool: whether any of `length` cells downwards from each one is set."""
    rows = board.shape[0] - length + 1
    return jnp.any(jnp.stack([board[i : i + rows] for i in range(length)]), axis=0)


def placements(width: int, length: int) -> np.ndarray:
    """[places, cells] bool: the cells of a ship in every place, downwards and then across, by its first cell."""
    cell, rows = np.eye(width * width, dtype=bool).reshape(width, width, width * width), width - length + 1
    down = np.any([cell[i : i + rows] for i in range(length)], axis=0)
    across = np.any([cell[:, i : i + rows] for i in range(length)], axis=0)
    return np.concatenate([part.reshape(-1, width * width) for part in (down, across)])


def pick(allowed: Array, key: Key) -> Array:
    """[] int32 one of the places where `allowed` [places], uniformly; there must be one."""
    number = jax.random.bits(key) % jnp.sum(allowed).astype(jnp.uint32)  # uneven by less than places / 2^32
    return jnp.sum(jnp.cumsum(allowed) <= number.astype(jnp.int32)).astype(jnp.int32)


@struct.dataclass
class Field:
    """State of MineSweeper."""

    mines: Array
    """[cells] bool where they are."""
    near: Array
    """[cells] int8 mines in a cell and around it."""
    viewed: Array
    """[cells] bool what was looked at."""
    time: Array
    """[] int32 steps so far."""


@struct.dataclass
class MineSweeper(Env):
    """Look at all cells without a mine.

    Observation, one-hot: the mines in the cell just looked at and around it (0 before the first). Reward 1 / (free
    cells) for a new free cell, -.5 / (free cells - 2) for one that was seen before, -.5 - 1 / (free cells) for a mine,
    which ends the episode, as does the last free cell; after as many steps as there are free cells it is truncated.
    Success: all free cells are seen.
    """

    id: str = static("")
    """The registered name."""
    width: int = static(4, least=2)
    """Width and height of the board, in cells."""
    mines: int = static(2, least=1)
    """Number of cells that hold a mine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mines > self.width**2 - 3:
            raise ValueError(f"mines must be 1 to {self.width**2 - 3} on a board {self.width} wide, not {self.mines}")

    @property
    def free(self) -> int:
        """Cells without a mine."""
        return self.width**2 - self.mines

    @property
    def numbers(self) -> int:
        """What an observation may count to, and 0."""
        return min(self.mines + 1, 10)

    @property
    def spec(self) -> Spec:
        """Static facts."""
        return Spec(self.id, Box((self.numbers,), 0.0, 1.0), Discrete(self.width**2), horizon=self.free)

    def reset(self, key: Key) -> tuple[Field, Array]:
        """Lays the mines: any set of so many cells is as likely (Floyd's way)."""
        cells, luck = self.width**2, jax.random.bits(key, (self.mines,))
        mines = jnp.zeros(cells, bool)
        for i in range(self.mines):
            last = cells - self.mines + i
            here = jnp.arange(cells) == (luck[i] % (last + 1)).astype(jnp.int32)
            taken = jnp.any(here & mines)
            mines |= jnp.where(taken, jnp.arange(cells) == last, here)
        return self.begin(mines)

    def begin(self, mines: Array) -> tuple[Field, Array]:
        """`reset` with the mines [cells]."""
        around = neighbours(self.width) | np.eye(self.width**2, dtype=bool)
        near = jnp.sum(around & mines, axis=1, dtype=jnp.int8)
        return Field(mines, near, jnp.zeros_like(mines), jnp.int32(0)), one_hot((jnp.int32(0), self.numbers))

    def step(self, state: Field, action: Array, key: Key) -> tuple[Field, Step]:
        """Looks at a cell."""
        here, free = jnp.arange(self.width**2) == action, self.free
        mine, again = jnp.any(here & state.mines), jnp.any(here & state.viewed)
        viewed, time = state.viewed | (here & ~state.mines), state.time + 1
        success = jnp.sum(viewed) == free
        reward = jnp.where(mine, -0.5 - 1 / free, jnp.where(again, -0.5 / (free - 2), 1 / free)).astype(jnp.float32)
        terminated = mine | success
        number = jnp.sum(jnp.where(here, state.near, 0), dtype=jnp.int32)
        truncated = (time >= free) & ~terminated
        step = Step(one_hot((number, self.numbers)), reward, terminated, truncated, {"success": success})
        return Field(state.mines, state.near, viewed, time), step
