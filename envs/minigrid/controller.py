"""A scripted controller that knows the whole map and takes a shortest path to the goal, fetching the key if needed.

    V(pose) = min(1 + V(turned pose), cost(cell ahead) + V(pose one cell ahead)),    0 in a target cell

is solved by value iteration until convergence. Moving ahead means what the cell ahead requires: open the door, pick up
the object, or step forward. While a door is locked and its key is not carried, the target is the key; then it is the
goal. It works for the families in `FAMILIES`, whose levels contain at most one key.

Shapes: W x H cells, 4 directions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Array, Key
from prospect_rl.envs.minigrid.env import MiniGrid
from prospect_rl.envs.minigrid.rules import ahead, at
from prospect_rl.envs.minigrid.state import (
    BOX,
    CLOSED,
    DOOR,
    EMPTY,
    FLOOR,
    FORWARD,
    GOAL,
    KEY,
    LOCKED,
    OPEN,
    PICKUP,
    TOGGLE,
    TURN_LEFT,
    TURN_RIGHT,
    State,
    code,
    colour_of,
    door_of,
    kind_of,
    object_of,
)

FAMILIES = (
    "Empty", "DistShift", "DoorKey", "MultiRoom", "FourRooms", "LavaCrossing", "SimpleCrossing", "LavaGap",
    "LockedRoom",
)  # fmt: skip
FAR = np.int32(1 << 20)
"""Cost of a cell that cannot be entered or reached."""
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""(dx, dy) of a step in each direction."""


def act(env: MiniGrid, state: State, key: Key) -> Array:
    """Return the next action [] on a shortest path; nothing is random.

    Args:
        env: The environment.
        state: The state of ONE episode.
        key: Not used.

    Returns:
        The action, int32 [].

    Raises:
        ValueError: If the task's family is not in `FAMILIES`.
    """
    if env.task.family not in FAMILIES:
        raise ValueError(f"{env.id} has no controller; there is one for {', '.join(FAMILIES)}")
    target, costs = targets_and_costs(state)
    values, front = solve(target, costs), ahead(state)
    on = at(values[state.direction], front) + at(costs, front)
    right, left = (1 + values[(state.direction + turn) % 4, state.x, state.y] for turn in (1, -1))
    there = at(state.cells, front).astype(jnp.int32)
    kind = kind_of(there)
    shut, thing = (kind == DOOR) & (door_of(there) != OPEN), (kind >= KEY) & (kind <= BOX)
    going = jnp.where(shut, TOGGLE, jnp.where(thing, PICKUP, FORWARD))
    return jnp.where(on <= jnp.minimum(right, left), going, jnp.where(right <= left, TURN_RIGHT, TURN_LEFT))


def targets_and_costs(state: State) -> tuple[Array, Array]:
    """Return the target cells, bool [W, H], and the number of actions needed to enter each cell, int32 [W, H]."""
    cells, hand = state.cells.astype(jnp.int32), state.carry.astype(jnp.int32)
    kind, door = kind_of(cells), door_of(cells)
    locked, thing = (kind == DOOR) & (door == LOCKED), (kind >= KEY) & (kind <= BOX)
    fits = locked & (object_of(hand) == code(KEY, colour_of(cells)))
    target = jnp.where(jnp.any(locked & ~fits), kind == KEY, kind == GOAL)
    free = (kind == EMPTY) | (kind == FLOOR) | (kind == GOAL) | ((kind == DOOR) & (door == OPEN))
    slow = ((kind == DOOR) & (door == CLOSED)) | fits | (thing & (hand == EMPTY))
    return target, jnp.where(free, 1, jnp.where(slow, 2, FAR))


def solve(target: Array, costs: Array) -> Array:
    """Return V of all poses, int32 [4, W, H]."""

    def body(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        values, _ = carry
        on = jnp.stack([shifted(v + costs, *step) for v, step in zip(values, STEPS, strict=True)])
        turned = [turns + jnp.roll(on, shift, 0) for turns, shift in ((0, 0), (1, 1), (1, -1), (2, 2))]
        new = jnp.where(target, 0, jnp.minimum(jnp.min(jnp.stack(turned), 0), FAR))
        return new, jnp.any(new != values)

    start = jnp.where(target, 0, jnp.full((4, *costs.shape), FAR))
    return jax.lax.while_loop(lambda carry: carry[1], body, (start, jnp.ones((), bool)))[0]


def shifted(values: Array, dx: int, dy: int) -> Array:
    """Return [W, H]: for each cell the value of the cell one step (dx, dy) ahead; FAR outside the map."""
    padded, (width, height) = jnp.pad(values, 1, constant_values=FAR), values.shape
    return padded[1 + dx : 1 + dx + width, 1 + dy : 1 + dy + height]
