"""The rules: the effect of an action on the world, and reward and termination in each family.

One step in every family (Farama minigrid 3.2.0; T = max_steps):

    count += 1 ; rule.before ; the action changes one cell, the hand or the pose ; rule.outcome
    truncated at count = T, unless terminated

| rule      | families                          | pays 1 - 0.9 count / T                    | ends without pay
|-----------|-----------------------------------|-------------------------------------------|---------------------------
| goal      | Empty, DoorKey, MultiRoom, ...    | stepping on the goal                      | stepping on lava
| pick      | KeyCorridor, ObstructedMaze,      | picking up the target                     |
|           | UnlockPickup, BlockedUnlockPickup |                                           |
| unlock    | Unlock                            | a toggle after which the door is open     |
| red_blue  | RedBlueDoors                      | the blue door open, the red one before    | the blue door open first
| memory    | Memory (pick up means toggle)     | standing beside the matching object       | standing beside the other
| fetch     | Fetch                             | carrying the target                       | carrying anything else
| put_near  | PutNear                           | dropping beside the target (8 neighbours) | any drop; a wrong pick-up
| go_to     | GoToDoor, GoToObject              | `done` beside the target (4 neighbours)   | any other `done`; a toggle
| obstacles | Dynamic-Obstacles (move first)    | stepping on the goal                      | walking into anything: -1

Every rule except `goal` extends `goal`. `State.task` contains: pick, fetch: the target's code [0]; unlock: the door's
cell [0]; red_blue: the cells of the red door [0] and the blue door [1]; memory: the cells of success [0] and failure
[1]; put_near: the code of the object to move [0], the target's cell [1]; go_to: the target's cell [0]; obstacles: their
cells, or -1. The functions are for ONE episode. They use masks instead of branches: all seven actions write one cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.envs import device
from prospect_rl.envs.api import Array, Key
from prospect_rl.envs.minigrid.state import (
    BALL,
    BLUE,
    BOX,
    CLOSED,
    DOOR,
    DOWN,
    DROP,
    EMPTY,
    FINISH,
    FLOOR,
    FORWARD,
    GOAL,
    KEY,
    LAVA,
    LEFT,
    LOCKED,
    OPEN,
    PICKUP,
    RIGHT,
    TOGGLE,
    TURN_LEFT,
    TURN_RIGHT,
    UP,
    State,
    code,
    colour_of,
    door_of,
    inside_of,
    kind_of,
    object_of,
)

Verdict = tuple[Array, Array]
"""(pay, ended): pay [] int32 is 1 for success, 0, or -1."""


class Rule(NamedTuple):
    """The functions that define a family's rule."""

    outcome: Callable[[State, State, Array, Array], Verdict]
    """(state before the step, state after it, action, code of the cell that was ahead) -> Verdict."""
    before: Callable[[State, Key], State] = lambda state, key: state
    """The world's own move before the agent acts (moving obstacles)."""
    translate: Callable[[Array], Array] = lambda action: action
    """Map an action to the action that is carried out."""


# --- the world ---------------------------------------------------------------------------------------


def heading(direction: Array) -> tuple[Array, Array]:
    """Return (dx, dy), int32, of a direction."""
    step = lambda plus, minus: (direction == plus).astype(jnp.int32) - (direction == minus)  # noqa: E731
    return step(RIGHT, LEFT), step(DOWN, UP)


def at(cells: Array, cell: Array) -> Array:
    """Return the code in a cell, whose number is x * H + y."""
    return cells.reshape(-1).at[cell].get(mode="promise_in_bounds")


def ahead(state: State) -> Array:
    """Return the number of the cell in front of the agent; it exists because maps are enclosed by walls."""
    dx, dy = heading(state.direction)
    return here(state) + dx * state.cells.shape[1] + dy


def here(state: State) -> Array:
    """Return the number of the agent's cell."""
    return state.x * state.cells.shape[1] + state.y


def write(cells: Array, cell: Array, new: Array) -> Array:
    """Return `cells` with one cell replaced; on a CPU in place, if the old array is not used elsewhere."""

    def in_place(cells: Array, cell: Array, new: Array) -> Array:
        flat = cells.reshape(-1).at[cell].set(new, mode="promise_in_bounds", unique_indices=True)
        return flat.reshape(cells.shape)

    def everywhere(cells: Array, cell: Array, new: Array) -> Array:
        number = np.arange(cells.size, dtype=np.int32).reshape(cells.shape)
        return jnp.where(number == cell, new, cells)  # joins what else is done to all cells, such as a reset

    return device.choose(cells, cell, new.astype(cells.dtype), cpu=in_place, accelerator=everywhere)


def act(state: State, action: Array) -> tuple[State, Array]:
    """Return the state after an action, and the code of the cell that was ahead."""
    cell = ahead(state)
    front = at(state.cells, cell).astype(jnp.int32)
    carry = state.carry.astype(jnp.int32)
    kind, door, empty_handed = kind_of(front), door_of(front), carry == EMPTY
    passable = (kind == EMPTY) | (kind == GOAL) | (kind == FLOOR) | (kind == LAVA) | ((kind == DOOR) & (door == OPEN))
    moves = ((action == FORWARD) & passable).astype(jnp.int32)
    takes = (action == PICKUP) & (kind >= KEY) & (kind <= BOX) & empty_handed
    drops = (action == DROP) & (kind == EMPTY) & ~empty_handed
    fits = object_of(carry) == code(KEY, colour_of(front))
    turned = jnp.where(door == LOCKED, jnp.where(fits, OPEN, LOCKED), jnp.where(door == OPEN, CLOSED, OPEN))
    toggled = jnp.where(kind == DOOR, code(DOOR, colour_of(front), turned), front)
    toggled = jnp.where(kind == BOX, inside_of(front), toggled)
    new = jnp.where(takes, EMPTY, jnp.where(drops, carry, jnp.where(action == TOGGLE, toggled, front)))
    dx, dy = heading(state.direction)
    after = replace(
        state,
        cells=write(state.cells, cell, new),
        x=state.x + dx * moves,
        y=state.y + dy * moves,
        direction=(state.direction + (action == TURN_RIGHT) - (action == TURN_LEFT)) & 3,
        carry=jnp.where(takes, front, jnp.where(drops, EMPTY, carry)).astype(jnp.uint16),
        t=state.t + 1,
    )
    return after, front


# --- the families ------------------------------------------------------------------------------------


def goal(before: State, after: State, action: Array, front: Array) -> Verdict:
    """Judge by the common rule: the goal succeeds, lava ends the episode."""
    forward = action == FORWARD
    won = forward & (kind_of(front) == GOAL)
    return won.astype(jnp.int32), won | (forward & (kind_of(front) == LAVA))


def pick(before: State, after: State, action: Array, front: Array) -> Verdict:
    """Judge KeyCorridor, ObstructedMaze, UnlockPickup and BlockedUnlockPickup."""
    pay, ended = goal(before, after, action, front)
    won = (action == PICKUP) & (object_of(after.carry) == after.task[0])
    return jnp.maximum(pay, won), ended | won


def unlock(before: State, after: State, action: Array, front: Array) -> Verdict:
    """Judge Unlock."""
    pay, ended = goal(before, after, action, front)
    won = (action == TOGGLE) & (door_of(at(after.cells, after.task[0])) == OPEN)
    return jnp.maximum(pay, won), ended | won


def red_blue(before: State, after: State, action: Array, front: Array) -> Verdict:
    """Judge RedBlueDoors."""
    pay, ended = goal(before, after, action, front)
    red_before, blue_before = (door_of(at(before.cells, before.task[i])) == OPEN for i in range(2))
    red, blue = (door_of(at(after.cells, after.task[i])) == OPEN for i in range(2))
    over = blue | (red & blue_before)
    return jnp.where(over, blue & red_before, pay), ended | over


def memory(before: State, after: State, action: Array, front: Array) -> Verdict:
    """Judge Memory."""
    pay, ended = goal(before, after, action, front)
    won, lost = here(after) == after.task[0], here(after) == after.task[1]
    return jnp.where(won | lost, won, pay), ended | won | lost


def fetch(before: State, after: State, action: Array, front: Array) -> Verdict:
    """Judge Fetch."""
    pay, ended = goal(before, after, action, front)
    holds = after.carry != EMPTY
    return jnp.where(holds, object_of(after.carry) == after.task[0], pay), ended | holds


def put_near(before: State, after: State, action: Array, front: Array) -> Verdict:
    """Judge PutNear."""
    pay, ended = goal(before, after, action, front)
    held, holds = before.carry != EMPTY, after.carry != EMPTY
    wrong = (action == PICKUP) & holds & (object_of(after.carry) != after.task[0])
    (x, y), (target_x, target_y) = (jnp.divmod(c, after.cells.shape[1]) for c in (ahead(after), after.task[1]))
    near = (jnp.abs(x - target_x) <= 1) & (jnp.abs(y - target_y) <= 1)
    drop = (action == DROP) & held
    return jnp.maximum(pay, drop & ~holds & near), ended | wrong | drop


def go_to(before: State, after: State, action: Array, front: Array) -> Verdict:
    """Judge GoToDoor and GoToObject."""
    pay, ended = goal(before, after, action, front)
    x, y = jnp.divmod(after.task[0], after.cells.shape[1])
    beside = jnp.abs(after.x - x) + jnp.abs(after.y - y) == 1
    finish = action == FINISH
    return jnp.maximum(pay, finish & beside), ended | finish | (action == TOGGLE)


def collide(before: State, after: State, action: Array, front: Array) -> Verdict:
    """Judge Dynamic-Obstacles by what was ahead before the obstacles moved."""
    pay, ended = goal(before, after, action, front)
    met = kind_of(at(before.cells, ahead(before)))
    hit = (action == FORWARD) & (met != EMPTY) & (met != GOAL)
    return jnp.where(hit, -1, pay), ended | hit


def wander(state: State, key: Key) -> State:
    """Move each obstacle in turn to a uniformly drawn free cell of its 3 x 3 block; it stays if none is free.

    Farama draws up to 101 cells, occupied ones included. With a single free cell, its obstacle therefore stays once in
    150,000 moves; here it never does.
    """
    height = state.cells.shape[1]
    block = jnp.array([dx * height + dy for dx in (-1, 0, 1) for dy in (-1, 0, 1)])

    def one(cells: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        cell, uniform = inputs
        around = jnp.maximum(cell, height + 1) + block
        free = (at(cells, around) == EMPTY) & (around != here(state)) & (cell >= 0)
        rank = jnp.cumsum(free)
        goes, nth = rank[-1] > 0, jnp.floor(uniform * rank[-1]).astype(jnp.int32)
        new = jnp.where(goes, around[jnp.argmax(rank > nth)], cell)
        cells = write(cells, jnp.maximum(cell, 0), jnp.where(goes, EMPTY, at(cells, jnp.maximum(cell, 0))))
        return write(cells, jnp.maximum(new, 0), jnp.where(goes, code(BALL, BLUE), at(cells, jnp.maximum(new, 0)))), new

    uniform = jax.random.uniform(key, state.task.shape)
    cells, task = device.scan(one, state.cells, (state.task, uniform))
    return replace(state, cells=cells, task=task)


RULES: dict[str, Rule] = {
    "goal": Rule(goal),
    "pick": Rule(pick),
    "unlock": Rule(unlock),
    "red_blue": Rule(red_blue),
    "memory": Rule(memory, translate=lambda action: jnp.where(action == PICKUP, TOGGLE, action)),
    "fetch": Rule(fetch),
    "put_near": Rule(put_near),
    "go_to": Rule(go_to),
    "obstacles": Rule(collide, before=wander),
}
"""Name -> rule; add your own rules here."""
