"""POPGym's Battleship and MineSweeper, with the rules of popgym 1.0.7.

An action is the number of a cell, row x width + column, where popgym takes (row, column). Arrays over cells have the
same order. `begin` is `reset` with a given board; steps are deterministic.
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
    """Return which cells of a square board are neighbours (diagonals included, not itself), bool [cells, cells]."""
    row, column = np.divmod(np.arange(width * width), width)
    near = (abs(row[:, None] - row) <= 1) & (abs(column[:, None] - column) <= 1)
    return near & ~np.eye(width * width, dtype=bool)


@struct.dataclass
class BattleshipState:
    """The state of an episode of Battleship."""

    ships: Array
    """[cells] bool, whether each cell belongs to a ship."""
    shot: Array
    """[cells] bool, whether each cell was fired at."""
    hits: Array
    """[] int32 number of ship cells that were hit."""
    time: Array
    """[] int32 steps taken so far."""


@struct.dataclass
class Battleship(Env):
    """Sink hidden ships of known lengths by firing at the cells of a board.

    Observation [2], one-hot: 0, the last shot missed (or none was fired); 1, it hit. A cell that was fired at before
    counts as a miss. Action: the number of a cell, row x width + column. Reward: 1 / (cells of ships) for a hit,
    -1 / (other cells) for a miss. The episode terminates when all ships are sunk, which is success; it is truncated
    after as many steps as there are cells.
    """

    id: str = static("")
    """The registered id of the task."""
    width: int = static(8, least=2)
    """Width and height of the board in cells."""
    ships: tuple[int, ...] = static((2, 3, 3, 4), least=1)
    """Lengths of the ships in cells, in the order in which they are placed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ships or 3 * sum(self.ships) > self.width**2 or max(self.ships) > self.width:
            raise ValueError(f"ships must fit the board and fill at most a third of it, not {self.ships}, {self.width}")

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        cells = self.width**2
        return Spec(self.id, Box((2,), 0.0, 1.0), Discrete(cells), horizon=cells)

    def reset(self, key: Key) -> tuple[BattleshipState, Array]:
        """Place one ship after another, uniformly among the free placements."""
        board = jnp.zeros((self.width, self.width), bool)
        for number, length in enumerate(self.ships):
            free = ~jnp.concatenate([windows(board, length).reshape(-1), windows(board.T, length).T.reshape(-1)])
            ship = jnp.asarray(placements(self.width, length))[pick(free, jax.random.fold_in(key, number))]
            board |= ship.reshape(board.shape)
        return self.begin(board.reshape(-1))

    def reset_if(self, needed: Array, key: Key) -> tuple[BattleshipState, Array]:
        """Do as `reset` where `needed` [] is True; elsewhere do nothing."""
        return reset_if(self, needed, key)

    def begin(self, ships: Array) -> tuple[BattleshipState, Array]:
        """Do as `reset`, with given ships: bool [cells]."""
        return BattleshipState(ships, jnp.zeros_like(ships), jnp.int32(0), jnp.int32(0)), one_hot((jnp.int32(0), 2))

    def step(self, state: BattleshipState, action: Array, key: Key) -> tuple[BattleshipState, Step]:
        """Fire at a cell."""
        cells, needed = self.width**2, sum(self.ships)
        here = jnp.arange(cells) == action
        hit = jnp.any(here & state.ships & ~state.shot)
        state = BattleshipState(state.ships, state.shot | here, state.hits + hit, state.time + 1)
        sunk = state.hits == needed
        reward = jnp.where(hit, jnp.float32(1 / needed), jnp.float32(-1 / (cells - needed)))
        truncated = (state.time >= cells) & ~sunk
        return state, Step(one_hot((hit.astype(jnp.int32), 2)), reward, sunk, truncated, {"success": sunk})


def windows(board: Array, length: int) -> Array:
    """Return whether any of `length` cells from each cell downwards is set, bool [width - length + 1, width]."""
    rows = board.shape[0] - length + 1
    return jnp.any(jnp.stack([board[i : i + rows] for i in range(length)]), axis=0)


def placements(width: int, length: int) -> np.ndarray:
    """Return the cells of a ship in each placement, bool [placements, cells]: vertical ones first, by first cell."""
    cell, rows = np.eye(width * width, dtype=bool).reshape(width, width, width * width), width - length + 1
    down = np.any([cell[i : i + rows] for i in range(length)], axis=0)
    across = np.any([cell[:, i : i + rows] for i in range(length)], axis=0)
    return np.concatenate([part.reshape(-1, width * width) for part in (down, across)])


def pick(allowed: Array, key: Key) -> Array:
    """Return the index, int32 [], of a uniformly drawn True entry of `allowed` [n]; there must be one."""
    number = jax.random.bits(key) % jnp.sum(allowed).astype(jnp.uint32)  # the bias is below n / 2^32
    return jnp.sum(jnp.cumsum(allowed) <= number.astype(jnp.int32)).astype(jnp.int32)


@struct.dataclass
class MineSweeperState:
    """The state of an episode of MineSweeper."""

    mines: Array
    """[cells] bool, whether each cell contains a mine."""
    near: Array
    """[cells] int8 number of mines in each cell and its neighbours."""
    viewed: Array
    """[cells] bool, whether each cell was uncovered."""
    time: Array
    """[] int32 steps taken so far."""


@struct.dataclass
class MineSweeper(Env):
    """Uncover all cells without a mine.

    Observation, one-hot: the number of mines in the last uncovered cell and its neighbours (0 before the first).
    Action: the number of a cell, row x width + column. Reward: 1 / (free cells) for a new free cell,
    -.5 / (free cells - 2) for a cell that was uncovered before, -.5 - 1 / (free cells) for a mine. The episode
    terminates at a mine, or with success when all free cells are uncovered; it is truncated after as many steps as
    there are free cells.
    """

    id: str = static("")
    """The registered id of the task."""
    width: int = static(4, least=2)
    """Width and height of the board in cells."""
    mines: int = static(2, least=1)
    """Number of cells that contain a mine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mines > self.width**2 - 3:
            raise ValueError(f"mines must be 1 to {self.width**2 - 3} on a board {self.width} wide, not {self.mines}")

    @property
    def free(self) -> int:
        """The number of cells without a mine."""
        return self.width**2 - self.mines

    @property
    def numbers(self) -> int:
        """The length of an observation: the number of distinct mine counts, including 0."""
        return min(self.mines + 1, 10)

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return Spec(self.id, Box((self.numbers,), 0.0, 1.0), Discrete(self.width**2), horizon=self.free)

    def reset(self, key: Key) -> tuple[MineSweeperState, Array]:
        """Place the mines: all sets of `mines` cells are equally likely (Floyd's algorithm)."""
        cells, bits = self.width**2, jax.random.bits(key, (self.mines,))
        mines = jnp.zeros(cells, bool)
        for i in range(self.mines):
            last = cells - self.mines + i
            here = jnp.arange(cells) == (bits[i] % (last + 1)).astype(jnp.int32)
            taken = jnp.any(here & mines)
            mines |= jnp.where(taken, jnp.arange(cells) == last, here)
        return self.begin(mines)

    def begin(self, mines: Array) -> tuple[MineSweeperState, Array]:
        """Do as `reset`, with given mines: bool [cells]."""
        around = neighbours(self.width) | np.eye(self.width**2, dtype=bool)
        near = jnp.sum(around & mines, axis=1, dtype=jnp.int8)
        return MineSweeperState(mines, near, jnp.zeros_like(mines), jnp.int32(0)), one_hot((jnp.int32(0), self.numbers))

    def step(self, state: MineSweeperState, action: Array, key: Key) -> tuple[MineSweeperState, Step]:
        """Uncover a cell."""
        here, free = jnp.arange(self.width**2) == action, self.free
        mine, again = jnp.any(here & state.mines), jnp.any(here & state.viewed)
        viewed, time = state.viewed | (here & ~state.mines), state.time + 1
        success = jnp.sum(viewed) == free
        reward = jnp.where(mine, -0.5 - 1 / free, jnp.where(again, -0.5 / (free - 2), 1 / free)).astype(jnp.float32)
        terminated = mine | success
        number = jnp.sum(jnp.where(here, state.near, 0), dtype=jnp.int32)
        truncated = (time >= free) & ~terminated
        step = Step(one_hot((number, self.numbers)), reward, terminated, truncated, {"success": success})
        return MineSweeperState(state.mines, state.near, viewed, time), step
