"""Level generators in JAX, one level per key, for the families whose generation is simple.

Levels have the same distribution as those of Farama's generators (minigrid 3.2.0), but are not the same levels; for
those, see `bank`. Where Farama draws cells until one is free, a free cell is drawn directly, which has the same
distribution. All random numbers of a level come from ONE uniform vector, because hashing dominates the cost.

Shapes: a grid is W x H cells.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Array, Key
from prospect_rl.envs.minigrid import state as s
from prospect_rl.envs.minigrid.state import State, code
from prospect_rl.envs.minigrid.table import FAMILIES, SLOTS, TASKS

ROOMS = {
    "MultiRoom-N2-S4-v0": (2, 4),
    "MultiRoom-N4-S5-v0": (6, 5),
    "MultiRoom-N4-S5-v1": (4, 5),
    "MultiRoom-N6-v0": (6, 10),
}
"""Number of rooms, and the longest side of a room in cells (walls included)."""
TRIES = 8
"""How often MultiRoom tries to add a room before it starts over."""


def level(name: str, key: Key) -> State:
    """Generate a level of a task.

    This is fast enough for every reset, except for MultiRoom, whose loop under `vmap` runs until the slowest level is
    done: use `bank` there.

    Args:
        name: Farama's id without `MiniGrid-`.
        key: PRNG key.

    Returns:
        The initial state.

    Raises:
        ValueError: If the task's family has no generator.
    """
    cells, x, y, direction = _generator(name)(key)
    number = partial(jnp.asarray, dtype=jnp.int32)
    task, mission = jnp.zeros(s.TASK, jnp.int32), jnp.zeros(SLOTS, jnp.uint8)
    return State(
        cells=cells.astype(jnp.uint16), x=number(x), y=number(y), direction=number(direction),
        carry=jnp.uint16(s.EMPTY), t=number(0), task=task, mission=mission,
    )  # fmt: skip


@partial(jax.jit, static_argnums=(0, 2))
def bank(name: str, key: Key, count: int, first: Array | int = 0) -> State:
    """Generate levels `first` to `first + count - 1`, leading axis [count]; level i depends only on `key` and i."""
    return jax.vmap(lambda i: level(name, jax.random.fold_in(key, i)))(first + jnp.arange(count))


def none(name: str) -> State:
    """Return a bank without levels."""
    like = jax.eval_shape(partial(level, name), jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.zeros((0, *leaf.shape), leaf.dtype), like)


def has(name: str) -> bool:
    """Return whether the task `name` has a generator."""
    return TASKS[name].family in GENERATORS


def cheap(name: str) -> bool:
    """Return whether generating a level is fast enough for every reset."""
    return has(name) and name not in ROOMS


def _generator(name: str) -> Callable[[Key], tuple[Array, ...]]:
    task = TASKS[name]
    if task.family not in GENERATORS:
        raise ValueError(f"minigrid/{name}: no generator; there is one for {', '.join(GENERATORS)}")
    return partial(GENERATORS[task.family], name, task.width, task.height)


# --- random numbers and grids ------------------------------------------------------------------------


def between(u: Array, low: Array | int, high: Array | int) -> Array:
    """Return uniform integers in [low, high), given uniform numbers `u` in [0, 1)."""
    return low + jnp.floor(u * (high - low)).astype(jnp.int32)


def free(u: Array, cells: Array, where: Array | bool = True) -> tuple[Array, Array]:
    """Return (x, y) of a uniformly drawn empty cell among those where `where` is True; `u` is uniform in [0, 1)."""
    rank = jnp.cumsum((cells == s.EMPTY) & where)
    return jnp.divmod((rank <= between(u, 0, rank[-1])).sum(), cells.shape[1])


def plane(width: int, height: int) -> tuple[Array, Array]:
    """Return the coordinates x [W, 1] and y [1, H]."""
    return jnp.arange(width)[:, None], jnp.arange(height)[None]


def room(width: int, height: int) -> Array:
    """Return an empty room with its outer walls, codes [W, H]."""
    x, y = plane(width, height)
    border = (x == 0) | (x == width - 1) | (y == 0) | (y == height - 1)
    return jnp.where(border, s.WALL, s.EMPTY)


GOAL = code(s.GOAL, s.GREEN)
LAVA = code(s.LAVA, s.RED)


# --- families: (name, W, H, key) -> (cells, x, y, direction) -----------------------------------------


def empty(name: str, width: int, height: int, key: Key) -> tuple[Array, ...]:
    """Generate Empty: the goal in one corner; the agent in the opposite corner or, in `Random` tasks, anywhere."""
    cells = room(width, height).at[-2, -2].set(GOAL)
    if "Random" not in name:
        return cells, jnp.int32(1), jnp.int32(1), jnp.int32(s.RIGHT)
    u = jax.random.uniform(key, (2,))
    return cells, *free(u[0], cells), between(u[1], 0, 4)


def door_key(name: str, width: int, height: int, key: Key) -> tuple[Array, ...]:
    """Generate DoorKey: a wall with a locked door, agent and key to its left, the goal to its right."""
    u = jax.random.uniform(key, (5,))
    x, _ = plane(width, height)
    wall, door = between(u[0], 2, width - 2), between(u[1], 1, height - 2)
    cells = jnp.where(x == wall, s.WALL, room(width, height)).at[-2, -2].set(GOAL)
    cells = cells.at[wall, door].set(code(s.DOOR, s.YELLOW, s.LOCKED))
    at = free(u[2], cells, x < wall)
    spot = free(u[3], cells.at[at].set(s.WALL), x < wall)
    return cells.at[spot].set(code(s.KEY, s.YELLOW)), *at, between(u[4], 0, 4)


def four_rooms(name: str, width: int, height: int, key: Key) -> tuple[Array, ...]:
    """Generate FourRooms: four rooms with a gap in each wall between two of them; agent and goal anywhere."""
    u = jax.random.uniform(key, (7,))
    x, y = plane(width, height)
    w, h = width // 2, height // 2
    cells = jnp.where((x == w) | (y == h), s.WALL, room(width, height))
    for i in range(2):
        cells = cells.at[w, between(u[i], i * h + 1, (i + 1) * h)].set(s.EMPTY)
        cells = cells.at[between(u[2 + i], i * w + 1, (i + 1) * w), h].set(s.EMPTY)
    at = free(u[4], cells)
    return cells.at[free(u[5], cells.at[at].set(s.WALL))].set(GOAL), *at, between(u[6], 0, 4)


def lava_gap(name: str, width: int, height: int, key: Key) -> tuple[Array, ...]:
    """Generate LavaGap: a column of lava with one gap between the agent and the goal."""
    u = jax.random.uniform(key, (2,))
    x, y = plane(width, height)
    gap = between(u[0], 2, width - 2), between(u[1], 1, height - 1)
    cells = jnp.where((x == gap[0]) & (y > 0) & (y < height - 1), LAVA, room(width, height))
    return cells.at[gap].set(s.EMPTY).at[-2, -2].set(GOAL), jnp.int32(1), jnp.int32(1), jnp.int32(s.RIGHT)


def crossing(name: str, width: int, height: int, key: Key) -> tuple[Array, ...]:
    """Generate LavaCrossing or SimpleCrossing: rivers of lava or wall, each with one opening on a path to the goal."""
    found = re.fullmatch(r"(Lava|Simple)CrossingS\d+N(\d)-v0", name)
    assert found is not None
    river, count = LAVA if found[1] == "Lava" else s.WALL, int(found[2])
    x, y = plane(width, height)
    places = jnp.arange(2, width - 2, 2)
    sides = len(places)
    u = jax.random.uniform(key, (2 * sides + 2 * count,))
    chosen = jnp.argsort(jnp.argsort(u[: 2 * sides])) < count
    # positions of the rivers, between those of the outer walls; rivers that are not chosen coincide with the far wall
    across = [jnp.sort(jnp.where(c, places, width - 1)) for c in (chosen[:sides], chosen[sides:])]
    columns, rows = (jnp.concatenate([jnp.zeros(1, jnp.int32), a, jnp.full(1, width - 1)]) for a in across)
    wet = (x == columns[1:-1, None, None]) | (y == rows[1:-1, None, None])
    inside = room(width, height) == s.EMPTY
    cells = jnp.where(wet.any(0) & inside, river, room(width, height))
    # one opening to the right per column of river and one down per row, in random order
    right = jnp.argsort(jnp.argsort(u[2 * sides : -count])) < chosen[:sides].sum()
    i = j = jnp.int32(0)
    for n in range(count):
        drawn = u[2 * sides + count + n]
        ford_x = jnp.where(right[n], columns[i + 1], between(drawn, columns[i] + 1, columns[i + 1]))
        ford_y = jnp.where(right[n], between(drawn, rows[j] + 1, rows[j + 1]), rows[j + 1])
        cells = cells.at[ford_x, ford_y].set(s.EMPTY)
        i, j = i + right[n], j + ~right[n]
    return cells.at[-2, -2].set(GOAL), jnp.int32(1), jnp.int32(1), jnp.int32(s.RIGHT)


def multi_room(name: str, width: int, height: int, key: Key) -> tuple[Array, ...]:
    """Generate MultiRoom: a chain of rooms connected by doors; the agent in the first room, the goal in the last."""
    rooms, _ = ROOMS[name]
    k_chain, k_rest = jax.random.split(key)
    tops, sizes, doors = _chain(name, width, height, k_chain)
    u = jax.random.uniform(k_rest, (rooms + 3,))
    x, y = plane(width, height)
    cells = jnp.full((width, height), s.EMPTY)
    within = []
    for top, size in zip(tops, sizes, strict=True):
        left, up, (right, down) = x - top[0], y - top[1], top + size - 1
        inside = (left >= 0) & (up >= 0) & (x <= right) & (y <= down)
        cells = jnp.where(inside & ((left == 0) | (up == 0) | (x == right) | (y == down)), s.WALL, cells)
        within.append(inside)
    colour = between(u[0], 0, 6)
    for n in range(1, rooms):
        cells = cells.at[doors[n, 0], doors[n, 1]].set(code(s.DOOR, colour, s.CLOSED))
        colour = (colour + between(u[n], 1, 6)) % 6  # a different colour from the last door's
    at = free(u[-3], cells, within[0])
    spot = free(u[-2], cells.at[at].set(s.WALL), within[-1])
    return cells.at[spot].set(GOAL), *at, between(u[-1], 0, 4)


Chain = tuple[Array, Array, Array]
"""(top left corners, sizes, entry doors), int32 [rooms, 2] each."""


def _chain(name: str, width: int, height: int, key: Key) -> Chain:
    """Generate a chain of rooms that touch only if they are consecutive.

    Each room is added at a wall of the previous room. If that fails `TRIES` times, generation starts over. (Farama also
    keeps the longest chain so far, but stops only at one of full length, as here.)
    """
    rooms, longest = ROOMS[name]
    number = jnp.arange(rooms)

    def body(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        i, count, tries, wall, *chain = carry
        u = jax.random.uniform(jax.random.fold_in(key, i), (7,))
        tops, sizes, _ = chain
        last = jnp.maximum(count - 1, 0)
        beyond = _beyond(u, tops[last], sizes[last], wall, longest)
        begin = between(u[5:], 0, width - 2)
        top, size, door, new_wall = jax.tree.map(
            partial(jnp.where, count == 0), (begin, beyond[1], begin, jnp.int32(s.LEFT)), beyond
        )
        touching = jnp.all((top + size >= tops) & (tops + sizes > top), axis=1) & (number < count - 1)
        within = jnp.all(top >= 0) & (top[0] + size[0] <= width) & (top[1] + size[1] < height)
        added = within & ~jnp.any(touching)
        here = ((number == count) & added)[:, None]
        chain = (jnp.where(here, new, old) for new, old in zip((top, size, door), chain, strict=True))
        tries = jnp.where(added, 0, tries + 1)
        anew = (tries == TRIES) | ((count == 0) & ~added)
        count, tries = jnp.where(anew, 0, count + added), jnp.where(anew, 0, tries)
        return i + 1, count, tries, jnp.where(added, new_wall, wall), *chain

    zero, none = jnp.int32(0), jnp.zeros((rooms, 2), jnp.int32)
    _, _, _, _, *chain = jax.lax.while_loop(lambda c: c[1] < rooms, body, (*4 * [zero], *3 * [none]))
    return chain[0], chain[1], chain[2]


def _beyond(u: Array, top: Array, size: Array, wall: Array, longest: int) -> tuple[Array, ...]:
    """Draw a room on the other side of a door in one of the last room's walls.

    Args:
        u: Uniform numbers in [0, 1).
        top: Top left corner of the last room.
        size: Size of the last room.
        wall: The wall (a direction) with the last room's entry door; the new door is in any of the other three.
        longest: Longest side of a room in cells.

    Returns:
        (top, size, door, wall of the door) of the new room.
    """
    new_size = between(u[:2], 4, longest + 1)
    out = (wall + between(u[2], 1, 4)) % 4
    along, forward = jnp.arange(2) != out % 2, out < 2  # the axis along the wall; whether the exit is in direction +
    slide = between(u[3], 1, jnp.where(along, size, 0).sum() - 1)
    door = top + jnp.where(along, slide, jnp.where(forward, size - 1, 0))
    beside = between(u[4], door - new_size + 2, door)
    new_top = jnp.where(along, beside, jnp.where(forward, door, door - new_size + 1))
    return new_top, new_size, door, (out + 2) % 4


GENERATORS: dict[str, Callable[..., tuple[Array, ...]]] = {
    "Empty": empty,
    "DoorKey": door_key,
    "FourRooms": four_rooms,
    "LavaGap": lava_gap,
    "LavaCrossing": crossing,
    "SimpleCrossing": crossing,
    "MultiRoom": multi_room,
}
"""Family -> its generator, (name, W, H, key) -> (cells, x, y, direction)."""
assert set(GENERATORS) <= set(FAMILIES)
