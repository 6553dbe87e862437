"""What chance does in our MiniGrid is what it does in Farama's: levels made in JAX, and obstacles that wander.

Levels of ours and of theirs are described by the same figures (where the wall is, where the key, how long the way);
each figure's distribution is compared by a two-sample chi-square test. Seeds are fixed, so that a test that passes
always passes.
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

pytest.importorskip("minigrid")

from prospect_rl import envs  # noqa: E402
from prospect_rl.envs.minigrid import bank, generators, rules  # noqa: E402
from prospect_rl.envs.minigrid.state import BALL, BLUE, DOOR, EMPTY, GOAL, KEY, LAVA, WALL, WALL_TYPE, State, code  # noqa: E402
from prospect_rl.envs.minigrid.table import TASKS  # noqa: E402
from tests.parity.minigrid_replay import compiled  # noqa: E402

LEAST = 1e-3
"""No p-value may be smaller, times the number of figures that are compared at once."""


# --- what a level is like ----------------------------------------------------------------------------


def first(kinds, wanted):
    """The cell x * H + y of the first one of a kind, [L]; -1 where there is none."""
    flat = (kinds == wanted).reshape(len(kinds), -1)
    return np.where(flat.any(1), flat.argmax(1), -1)


def steps_between(kinds, start, end, blocked=(WALL_TYPE, LAVA)):
    """Steps [L] from cell to cell around what is blocked, all levels flooded at once; -1 where there is no way."""
    passable = ~np.isin(kinds, blocked)
    wet = np.zeros_like(passable)
    wet.reshape(len(kinds), -1)[np.arange(len(kinds)), start] = True
    target = np.zeros_like(passable)
    target.reshape(len(kinds), -1)[np.arange(len(kinds)), end] = True
    found, step = np.full(len(kinds), -1), 0
    while True:
        found[(found < 0) & (wet & target).any((1, 2))] = step
        spread = wet.copy()
        spread[:, 1:] |= wet[:, :-1]
        spread[:, :-1] |= wet[:, 1:]
        spread[:, :, 1:] |= wet[:, :, :-1]
        spread[:, :, :-1] |= wet[:, :, 1:]
        spread &= passable
        if (spread == wet).all():
            return found
        wet, step = spread, step + 1


def run_through(kinds, cell, axis):
    """Length [L] of the run of cells that are neither wall nor door through a cell, along an axis: a room's side."""
    height = kinds.shape[2]
    x, y = cell // height, cell % height
    lines = np.swapaxes(kinds, 1, 2)[np.arange(len(kinds)), y] if axis == 0 else kinds[np.arange(len(kinds)), x]
    place, shut = (x if axis == 0 else y)[:, None], np.isin(lines, (WALL_TYPE, DOOR))
    number = np.arange(lines.shape[1])
    low = np.where(shut & (number < place), number, -1).max(1)
    high = np.where(shut & (number > place), number, lines.shape[1]).min(1)
    return high - low - 1


def figures(name, levels):
    """{name of a figure: integers [L]} of levels, leading [L]."""
    kinds, family = np.asarray(levels.cells).astype(int) & 15, TASKS[name].family
    size, height = kinds.shape[1], kinds.shape[2]
    agent, goal = np.asarray(levels.x * height + levels.y), first(kinds, GOAL)
    found = {
        "agent": agent, "direction": np.asarray(levels.direction), "goal": goal,
        "way": steps_between(kinds, agent, goal), "walls": (kinds == WALL_TYPE).sum((1, 2)),
    }  # fmt: skip
    if family == "DoorKey":
        door, key = first(kinds, DOOR), first(kinds, KEY)
        found |= {"column": door // height, "row": door % height, "door": door, "key": key}
        found["way to the key"] = steps_between(kinds, agent, key, (WALL_TYPE, DOOR))
        found["key behind the door"] = (key // height >= door // height).astype(int)
    elif family == "FourRooms":
        for axis, name in enumerate(("across", "along")):
            wall = kinds[:, size // 2] if axis else kinds[:, :, height // 2]
            for half in range(2):
                part = wall[:, half * (size // 2) + 1 : (half + 1) * (size // 2)]
                found[f"gap {name} {half}"] = (part != WALL_TYPE).argmax(1)
    elif family == "LavaGap":
        column = (kinds == LAVA).any(2).argmax(1)
        found |= {"column": column, "gap": (kinds[np.arange(len(kinds)), column, 1:-1] != LAVA).argmax(1)}
    elif family.endswith("Crossing"):
        river = kinds == (LAVA if family == "LavaCrossing" else WALL_TYPE)
        for place in range(2, size - 2, 2):  # at most every second cell of a line that is no river belongs to one
            for axis, line in (("column", river[:, place, 1:-1]), ("row", river[:, 1:-1, place])):
                found[f"{axis} {place}"] = np.where(line.sum(1) == size - 3, (~line).argmax(1), -1)
        rivers = [found[f"{axis} {place}"] >= 0 for axis in ("column", "row") for place in range(2, size - 2, 2)]
        found["rivers"] = np.stack(rivers).T @ (1 << np.arange(len(rivers)))
    elif family == "MultiRoom":
        doors = (kinds == DOOR).reshape(len(kinds), -1)
        colours = np.where(doors, np.asarray(levels.cells).reshape(len(kinds), -1) >> 4 & 7, -1)
        found |= {f"doors of colour {i}": (colours == i).sum(1) for i in range(6)} | {"doors": doors.sum(1)}
        found |= {"first door": first(kinds, DOOR), "floor": (kinds == EMPTY).sum((1, 2))}
        found["first colour"] = colours[np.arange(len(kinds)), found["first door"]]
        for room, cell in (("first", agent), ("last", goal)):
            found |= {f"{room} room, side {axis}": run_through(kinds, cell, axis) for axis in (0, 1)}
    return found


def p_value(a, b):
    """Of the two-sample chi-square test on categories; those seen less than ten times are one."""
    both = np.concatenate([a, b]).astype(int)
    values, index, counts = np.unique(both, return_inverse=True, return_counts=True)
    _, merged = np.unique(np.where(counts[index] < 10, values.min() - 1, both), return_inverse=True)
    table = np.stack([np.bincount(part, minlength=merged.max() + 1) for part in np.split(merged, [len(a)])])
    return 1.0 if table.shape[1] == 1 else stats.chi2_contingency(table).pvalue


# --- generators --------------------------------------------------------------------------------------

CHEAP = ("Empty-Random-6x6-v0", "DoorKey-8x8-v0", "LavaGapS6-v0", "FourRooms-v0", "SimpleCrossingS9N2-v0")
OTHERS = ("DoorKey-5x5-v0", "LavaGapS7-v0", "LavaCrossingS9N1-v0", "SimpleCrossingS9N3-v0", "LavaCrossingS11N5-v0")
ROOMS = tuple(generators.ROOMS)
MANY = [(name, 20_000) for name in CHEAP + OTHERS] + [(name, 5000) for name in ROOMS]


def made(name, key, count):
    """What `generators.bank` gives."""
    level = compiled(jax.vmap(lambda i: generators.level(name, jax.random.fold_in(key, i))))
    return jax.device_get(level(jnp.arange(count)))


@pytest.mark.parametrize(
    ("name", "count"),
    [*((name, 2000) for name in CHEAP), *(pytest.param(*case, marks=pytest.mark.slow) for case in MANY)],
)
def test_levels_are_distributed_as_theirs(name, count):
    ours = made(name, jax.random.key(len(name)), count)
    theirs = bank.generate(name, 0, count)
    for field in ("carry", "t", "task", "mission"):
        assert (getattr(ours, field) == getattr(theirs, field)).all(), field
    ours, theirs = figures(name, ours), figures(name, theirs)
    assert (ours["way"] > 0).all() and (theirs["way"] > 0).all(), "there is a level without a way to its goal"
    assert (ours.get("way to the key", ours["way"]) > 0).all(), "there is a level without a way to its key"
    p = {figure: p_value(ours[figure], theirs[figure]) for figure in ours}
    assert min(p.values()) * len(p) > LEAST, sorted(p.items(), key=lambda item: item[1])[:5]
    assert stats.ks_2samp(ours["way"], theirs["way"]).pvalue > LEAST


def test_a_bank_is_its_levels():
    """Level i depends on the key and i alone; levels have the shapes of Farama's."""
    key, name = jax.random.key(3), "LavaGapS7-v0"
    one, other = (jax.device_get(generators.bank(name, key, 8, first)) for first in (0, 3))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[3:], b[:5]), one, other)
    assert len(np.unique(one.cells.reshape(8, -1), axis=0)) > 3
    for name in (*CHEAP, *ROOMS):
        ours, theirs = jax.eval_shape(partial(generators.level, name), key), bank.generate(name, 0, 1)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            assert (a.shape, a.dtype) == (b.shape[1:], b.dtype)
        assert generators.cheap(name) == (name not in ROOMS)


@pytest.mark.parametrize("name", ["DoorKey-8x8-v0", pytest.param("MultiRoom-N2-S4-v0", marks=pytest.mark.slow)])
def test_an_environment_of_generated_levels(name, monkeypatch):
    """A fresh level at every reset where that is cheap, else from a bank of ours; never from one of Farama's."""
    monkeypatch.setattr(bank, "load", None)
    env = envs.make(f"minigrid/{name}", source="generator", levels=3)
    keys = jax.random.split(jax.random.key(0), 100)
    cells = compiled(jax.vmap(lambda key, env: env.reset(key)[0].cells, in_axes=(0, None)))(keys, env)
    different = len(np.unique(np.asarray(cells).reshape(100, -1), axis=0))
    assert different > 50 if generators.cheap(name) else different == 3
    state, obs = jax.eval_shape(env.reset, keys[0])
    assert obs["image"].shape == (7, 7, 3) and state.cells.shape == cells.shape[1:]
    if not generators.cheap(name):
        assert not np.array_equal(env.bank.levels.cells, env.unseen().bank.levels.cells)


def test_what_has_no_generator_says_so():
    with pytest.raises(ValueError, match="minigrid/Fetch-5x5-N2-v0 has no generator"):
        envs.make("minigrid/Fetch-5x5-N2-v0", source="generator")
    with pytest.raises(ValueError, match="no generator; there is one for Empty"):
        generators.level("LockedRoom-v0", jax.random.key(0))
    with pytest.raises(ValueError, match="source must be 'bank' or 'generator'"):
        envs.make("minigrid/Empty-5x5-v0", source="farama")


@pytest.mark.parametrize("name", [ROOMS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in ROOMS[1:])])
def test_many_rooms_are_a_chain(name):
    """As many doors as rooms but one, all on the way to the goal, of which no two in a row have one colour."""
    levels = made(name, jax.random.key(0), 200)
    rooms, kinds, height = generators.ROOMS[name][0], levels.cells & 15, levels.cells.shape[2]
    doors = (kinds == DOOR).reshape(len(kinds), -1)
    assert (doors.sum(1) == rooms - 1).all()
    agent, goal = levels.x * height + levels.y, first(kinds, GOAL)
    cells = np.nonzero(doors)[1].reshape(len(kinds), rooms - 1)
    far = np.stack([steps_between(kinds, agent, cell) for cell in cells.T], 1)
    assert (far > 0).all() and (steps_between(kinds, agent, goal) > far.max(1)).all()
    colours = np.take_along_axis(levels.cells.reshape(len(kinds), -1) >> 4 & 7, cells, 1)
    in_order = np.take_along_axis(colours, far.argsort(1), 1)
    assert (in_order[:, 1:] != in_order[:, :-1]).all() and len(np.unique(in_order)) == 6


# --- obstacles ---------------------------------------------------------------------------------------


def corner(obstacles, agent, walls=()):
    """A room of 6 x 6 with its obstacles and an agent."""
    cells = np.full((6, 6), WALL, np.uint16)
    cells[1:-1, 1:-1] = EMPTY
    cells[4, 4] = code(GOAL, 1)
    for place in walls:
        cells[place] = WALL
    for place in obstacles:
        cells[place] = code(BALL, BLUE)
    task = np.full(8, -1, np.int32)
    task[: len(obstacles)] = [x * 6 + y for x, y in obstacles]
    x, y, zero = np.int32(agent[0]), np.int32(agent[1]), np.int32(0)
    return State(cells, x, y, zero, np.uint16(EMPTY), zero, task, np.zeros(4, np.uint8))


def expected(state):
    """{where the obstacles go: chance}, by enumeration: one after the other, each to any free cell around it."""
    worlds = {(): (state.cells.astype(int), 1.0)}
    for cell in state.task[state.task >= 0]:
        x, y = divmod(int(cell), 6)
        grown = {}
        for gone, (cells, chance) in worlds.items():
            around = [(x + dx, y + dy) for dx, dy in itertools.product((-1, 0, 1), repeat=2)]
            free = [p for p in around if cells[p] == EMPTY and p != (state.x, state.y)] or [(x, y)]
            for place in free:
                moved = cells.copy()
                moved[x, y], moved[place] = EMPTY, code(BALL, BLUE)
                grown[(*gone, place[0] * 6 + place[1])] = moved, chance / len(free)
        worlds = grown
    return {gone: chance for gone, (_, chance) in worlds.items()}


def wandered(states, key):
    """One move of all obstacles from states [L]."""
    return jax.device_get(WANDER(states, jax.random.split(key, len(states.t))))


WANDER = compiled(jax.vmap(rules.wander))


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("state", [
    corner([(2, 2), (3, 3)], (1, 1)), corner([(4, 3), (3, 4), (3, 3)], (3, 2)),
    corner([(1, 1), (1, 2)], (2, 2), walls=[(1, 3), (2, 1), (2, 3)]),
], ids=["apart", "crowded", "shut in"])  # fmt: skip
def test_obstacles_wander_as_the_rule_says(state, count):
    chances = expected(state)
    moved = wandered(jax.tree.map(lambda x: np.broadcast_to(x, (count, *np.shape(x))), state), jax.random.key(5))
    balls = int((state.task >= 0).sum())
    assert (moved.task[:, balls:] == -1).all()
    gone, times = np.unique(moved.task[:, :balls], axis=0, return_counts=True)
    seen = dict(zip(map(tuple, gone.tolist()), times, strict=True))
    assert set(seen) <= set(chances)
    if len(chances) > 1:
        observed = [seen.get(place, 0) for place in chances]
        assert stats.chisquare(observed, np.array(list(chances.values())) * count).pvalue > LEAST
    there = (moved.cells == code(BALL, BLUE)).reshape(count, -1)
    assert (there.sum(1) == balls).all() and np.take_along_axis(there, moved.task[:, :balls], 1).all()


@pytest.mark.parametrize("count", [500, pytest.param(5000, marks=pytest.mark.slow)])
def test_obstacles_wander_as_theirs(count):
    """Where all obstacles are after one move, from many levels of Farama's."""
    name = "Dynamic-Obstacles-6x6-v0"
    env, before = bank.farama(name), bank.generate(name, 0, count)
    theirs = []
    for seed in range(count):
        env.reset(seed=seed)
        env.step(0)
        theirs.append(bank.from_farama(env).task)
    ours = wandered(before, jax.random.key(0)).task
    shift = [np.asarray(after)[:, :3] - before.task[:, :3] for after in (ours, theirs)]
    for i in range(3):
        assert p_value(shift[0][:, i], shift[1][:, i]) > LEAST
        assert p_value(ours[:, i], np.asarray(theirs)[:, i]) > LEAST
