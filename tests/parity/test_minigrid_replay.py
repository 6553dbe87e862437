"""Our MiniGrid against Farama's: all ids, the same levels, whole lists of actions, everything compared at every step.

Farama plays first; then one compiled scan plays all its lists at once, on states of our own from the first step to
the last. The fast test pads maps with wall to the largest one, so that the ids of a rule share one program (outside
of a map is wall too); the slow one plays 20 levels of each id on maps of their true sizes.
"""

from collections import Counter
from functools import lru_cache, partial

import jax
import numpy as np
import pytest

pytest.importorskip("minigrid")

from prospect_rl.envs.minigrid import bank, state  # noqa: E402
from prospect_rl.envs.minigrid.env import MiniGrid  # noqa: E402
from prospect_rl.envs.minigrid.table import TASKS  # noqa: E402
from tests.parity.minigrid_bridge import to_farama  # noqa: E402
from tests.parity.minigrid_replay import busy, careful, compiled, furnish, late, play, solver, theirs_of, uniform  # noqa: E402
from tests.parity.minigrid_sized import LARGEST, roll, rule_of  # noqa: E402

LANES, CHUNK = 64, 50
"""Episodes are padded to a multiple of so many, and played so many steps at a time: then few programs do."""
CELLS = {"unlock": [0], "red_blue": [0, 1], "memory": [0, 1], "put_near": [1], "go_to": [0], "obstacles": range(8)}
"""Which numbers of a task are cells, by rule."""
SEEDS, STEPS = 20, 100
"""Levels of an id in the slow test, and the steps on most of them; the first one is played to its end."""


def size_of(name):
    return TASKS[name].width, TASKS[name].height


# --- Farama's episodes -------------------------------------------------------------------------------


def played(name, seed, limit, sources):
    """(source, Farama's episode) of one level for each source of actions; a solved one also as late as can be."""
    env, found = theirs_of(name), []
    for number, source in enumerate(sources):
        obs, _ = env.reset(seed=seed)
        generator = np.random.default_rng((seed, number, len(name)))
        episode = play(env, obs, source(env, generator), limit, bank.from_farama)
        found.append((source, episode))
        solved = source is solver and episode.steps.reward[-1] > 0 and env.action_space.n == 7
        if solved and env.max_steps <= limit and not name.startswith("GoTo"):  # where idling, `done`, ends the episode
            obs, _ = env.reset(seed=seed)
            actions = late(env, generator, len(episode.steps.action))
            found.append((late, play(env, obs, actions, limit, bank.from_farama)))
    return found


def sources_of(name):
    return (uniform, busy) if name.startswith("Playground") else (uniform, busy, solver)


def furnished(seed, limit):
    """An episode in a room that has everything in it, by the rules that all families share."""
    env = theirs_of("Empty-8x8-v0")
    env.reset(seed=seed)
    furnish(env, seed)
    return play(env, env.gen_obs(), careful(env, np.random.default_rng(seed)), limit, bank.from_farama)


# --- ours --------------------------------------------------------------------------------------------


@lru_cache
def program(rule, size):
    """The compiled scan over lists of actions, for the tasks of a rule with maps of one size."""
    return (compiled if size == (LARGEST, LARGEST) else jax.jit)(jax.vmap(partial(roll, rule)))


def replayed(rule, size, names, episodes):
    """Ours for the same starts and actions: (first observations, (states, steps)), NumPy leaves [B, T, ...]."""
    lanes = -(-len(episodes) // LANES) * LANES - len(episodes)
    names, episodes = names + lanes * names[-1:], episodes + lanes * episodes[-1:]
    limits = np.array([TASKS[name].max_steps for name in names])
    length = -(-max(len(e.steps.action) for e in episodes) // CHUNK) * CHUNK
    fill = lambda xs: np.concatenate([np.stack(xs), np.zeros((length - len(xs), *xs[0].shape), xs[0].dtype)])  # noqa: E731
    grown = [[grow(of, rule[0], size) for of in (e.start, *e.moved)] for e in episodes]
    inputs = np.stack([fill([np.int32(a) for a in e.steps.action]) for e in episodes]), {}
    if rule[0] == "obstacles":  # chance is theirs: ours goes on from where their obstacles went
        for field in ("cells", "task"):
            inputs[1][field] = np.stack([fill([getattr(m, field) for m in g[1:]]) for g in grown])
    states, found = jax.tree.map(lambda *leaves: np.stack(leaves), *[g[0] for g in grown]), []
    for t in range(0, length, CHUNK):
        part = jax.tree.map(lambda x: x[:, t : t + CHUNK], inputs)  # noqa: B023
        obs, (states, steps) = jax.device_get(program(rule, size)(limits, states, *part))
        found.append((obs, steps))
    return found[0][0], jax.tree.map(lambda *parts: np.concatenate(parts, 1), *[steps for _, steps in found])


def grow(of, rule, size):
    """A state on a larger map, with wall in the rest."""
    width, height = of.cells.shape
    cells, task = np.full(size, state.WALL, np.uint16), of.task.copy()
    cells[:width, :height] = of.cells
    for i in CELLS.get(rule, []):
        if task[i] >= 0:
            task[i] = task[i] // height * size[1] + task[i] % height
    return of.replace(cells=cells, task=task)


def assert_same(name, number, episode, obs, states, steps):
    """One episode of ours is Farama's. obs: before the first action; states and steps: after each, longer than it."""
    theirs, live = episode.steps, len(episode.steps.action)
    width, height = size_of(name)
    cells = np.concatenate([np.asarray(episode.start.cells)[None], states.cells[:live, :width, :height]]).astype(int)
    hand = np.concatenate([np.asarray(episode.start.carry)[None], states.carry[:live]]).astype(int)
    whole = lambda first, rest: np.concatenate([np.asarray(first)[None], rest[:live]])  # noqa: E731
    ours = {
        "image": whole(obs["image"], steps.obs["image"]), "direction": whole(obs["direction"], steps.obs["direction"]),
        "position": np.stack([whole(episode.start.x, states.x), whole(episode.start.y, states.y)], -1),
        "grid": decoded(cells), "carry": decoded(hand)[:, [0, 1, 3, 4]], "terminated": steps.terminated[:live],
        "truncated": steps.truncated[:live],
    }  # fmt: skip
    expected = theirs._asdict()
    expected["truncated"] = theirs.truncated & ~theirs.terminated  # of two flags ours sets one
    wrong = {}
    for field, mine in ours.items():
        assert mine.shape == expected[field].shape, (name, field, mine.shape)
        differs = (mine != expected[field]).reshape(len(mine), -1).any(1)
        if differs.any():
            wrong[field] = int(differs.argmax())
    off = np.abs(steps.reward[:live].astype(float) - theirs.reward) > 1e-6
    if off.any():
        wrong["reward"] = int(off.argmax())
    assert not wrong, f"{name}, episode {number}: first wrong steps {wrong}, actions {theirs.action.tolist()}"
    assert (steps.info["success"][:live] == (theirs.reward > 0)).all(), f"{name}, episode {number}: success"
    assert (states.t[:live] == episode.start.t + np.arange(1, live + 1)).all()
    assert MiniGrid(name).mission(jax.tree.map(lambda x: x[live - 1], states)) == episode.mission


def decoded(codes):
    """Codes [...] as (type, colour, state, type and colour in a box), [..., 5]."""
    return np.stack([codes & 15, codes >> 4 & 7, codes >> 8 & 3, codes >> 10 & 7, codes >> 13], -1)


def lock_step(rule, size, names, episodes):
    """Assert that ours plays these episodes as Farama did; the branches that they went through."""
    obs, (states, steps) = replayed(rule, size, names, episodes)
    for i, (name, episode) in enumerate(zip(names, episodes, strict=True)):
        assert_same(name, i, episode, *jax.tree.map(lambda x: x[i], (obs, states, steps)))  # noqa: B023
    return sum((e.branches for e in episodes), Counter())


# --- tests -------------------------------------------------------------------------------------------


@lru_cache
def padded_replay(rule):
    """A level or three of each id of a rule; for the common rule also furnished rooms. The branches gone through."""
    names, episodes = [], []
    for name in (name for name in TASKS if rule_of(name) == rule):
        for seed in range(1 if rule[0] in ("goal", "pick") else 3):  # rules of small families have more to go wrong
            found = [episode for _, episode in played(name, seed, 100, sources_of(name))]
            names, episodes = names + len(found) * [name], episodes + found
    if rule == ("goal", True):
        rooms = [furnished(seed, 100) for seed in range(40)]
        names, episodes = names + len(rooms) * ["Empty-8x8-v0"], episodes + rooms
    return lock_step(rule, (LARGEST, LARGEST), names, episodes)


RULES = sorted({rule_of(name) for name in TASKS})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule[0]}-{'through' if rule[1] else 'hidden'}")
def test_one_level_of_each_id(rule):
    assert padded_replay(rule)


THINGS = ("nothing", "wall", "floor", "open door", "closed door", "locked door", "key", "ball", "box", "goal", "lava")
BRANCHES = [
    *(f"forward, {thing} ahead" for thing in THINGS),
    *(f"pickup in hand, {thing} ahead" for thing in THINGS),
    *(f"pickup with something in hand, {thing} ahead" for thing in ("nothing", "key", "ball", "box", "floor")),
    *(f"drop something, {thing} ahead" for thing in THINGS),
    *(f"drop nothing, {thing} ahead" for thing in THINGS),
    "drop a box with something in it",
    *(f"toggle {thing}" for thing in THINGS if thing not in ("box", "locked door")),
    *(f"toggle {box}" for box in ("empty box", "box with key", "box with ball", "box with box")),
    *(f"toggle locked door, {key}" for key in ("no key", "no key, other object", "wrong key", "right key")),
    "pickup that is a toggle", "truncated alone", "paid on the last step",
    *(f"{kind}Env: paid" for kind in (
        "BlockedUnlockPickup", "Crossing", "DistShift", "DoorKey", "DynamicObstacles", "Empty", "Fetch", "FourRooms",
        "KeyCorridor", "LavaGap", "LockedRoom", "Memory", "MultiRoom", "Unlock", "UnlockPickup",
    )),
    "ObstructedMaze_1Dlhb: paid", "ObstructedMaze_Full: paid", "ObstructedMaze_Full_V1: paid",
    *(f"{kind}Env: lost" for kind in ("Crossing", "DistShift", "Fetch", "LavaGap", "Memory")),
    "PutNearEnv: paid by action 4", "PutNearEnv: lost by action 4", "PutNearEnv: lost by action 3",
    "RedBlueDoorEnv: paid by action 5", "RedBlueDoorEnv: lost by action 5",
    *(f"{kind}Env: {end}" for kind in ("GoToDoor", "GoToObject")
      for end in ("paid by action 6", "lost by action 6", "lost by action 5")),
    "DynamicObstaclesEnv: an obstacle moved in", "DynamicObstaclesEnv: forward, ball ahead",
    "DynamicObstaclesEnv: forward, wall ahead",
]  # fmt: skip


def test_every_branch_was_gone_through():
    """The lists of actions of `test_one_level_of_each_id` leave no rule untested."""
    seen = sum((padded_replay(rule) for rule in RULES), Counter())
    assert not [branch for branch in BRANCHES if not seen[branch]]


SHAPES = sorted({(rule_of(name), size_of(name)) for name in TASKS})


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "size"), SHAPES, ids=lambda x: "-".join(map(str, x)))
def test_twenty_levels_of_each_id(rule, size):
    for name in (name for name in TASKS if (rule_of(name), size_of(name)) == (rule, size)):
        limits = [TASKS[name].max_steps] + (SEEDS - 1) * [STEPS]
        found = [pair for seed, limit in enumerate(limits) for pair in played(name, seed, limit, sources_of(name))]
        for long in (False, True):
            episodes = [episode for _, episode in found if (len(episode.steps.action) > STEPS) == long]
            if episodes:
                lock_step(rule, size, len(episodes) * [name], episodes)
        solved = [episode.steps.reward[-1] > 0 for source, episode in found if source is solver]
        assert np.mean(solved or 1) >= 0.9, f"{name}: the solver has solved {sum(solved)} of {len(solved)}"


@pytest.mark.parametrize("seeds", [2, pytest.param(SEEDS, marks=pytest.mark.slow)])
def test_levels_are_theirs_bit_for_bit(seeds):
    """Levels of a bank against what Farama's own `reset` gives; and there and back again."""
    for name in TASKS:
        env, levels = theirs_of(name), bank.generate(name, 3, seeds)
        for i in range(seeds):
            obs, _ = env.reset(seed=3 + i)
            level = jax.tree.map(partial(lambda i, leaf: leaf[i], i), levels)
            episode = play(env, obs, iter([0]), 1, bank.from_farama)
            np.testing.assert_array_equal(decoded(level.cells.astype(int)), episode.steps.grid[0], name)
            assert (level.x, level.y, level.direction) == (*episode.steps.position[0], episode.steps.direction[0])
            assert level.carry == state.EMPTY and level.t == 0
            again = bank.from_farama(to_farama(level, name))
            jax.tree.map(np.testing.assert_array_equal, again, level)
