"""What Farama's MiniGrid does with a list of actions, as arrays, and which of its branches that went through."""

import itertools
import warnings
from collections import Counter
from typing import NamedTuple

import gymnasium
import jax
import minigrid  # noqa: F401  (registers its environments)
import numpy as np
from minigrid.core.constants import COLOR_NAMES, COLOR_TO_IDX, OBJECT_TO_IDX
from minigrid.core.world_object import Ball, Box, Door, Floor, Goal, Key, Lava, Wall

from tests.parity import minigrid_solver as solving
from tests.parity.minigrid_solver import DONE, DROP, FORWARD, MOVABLE, PICKUP, TOGGLE, ahead, here, opens

IDLE = DONE


def compiled(f):
    """`f` compiled without optimisation: these programs run once, and optimising would be most of a test's time."""
    return jax.jit(f, compiler_options={"xla_backend_optimization_level": 0})


class Steps(NamedTuple):
    """Leading [T + 1] for what there is before the first action too, else [T]."""

    image: np.ndarray
    direction: np.ndarray
    position: np.ndarray
    grid: np.ndarray
    """[T + 1, W, H, 5] type, colour, state, type and colour in a box."""
    carry: np.ndarray
    """[T + 1, 4] type, colour, type and colour in a box."""
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class Episode(NamedTuple):
    start: object
    """What `state_of` made of the environment before the first action."""
    moved: list
    """What it made of it after each one, where obstacles move (no action of that family changes the map)."""
    mission: str
    steps: Steps
    branches: Counter


def theirs_of(name, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some ids are said to be out of date
        return gymnasium.make(f"MiniGrid-{name}", **kwargs).unwrapped


# --- where actions come from -------------------------------------------------------------------------


def uniform(env, generator):
    while True:
        yield int(generator.integers(env.action_space.n))


def busy(env, generator):
    """Pickup, drop and toggle four times in ten."""
    chances = np.array([0.15, 0.15, 0.28, 0.14, 0.12, 0.14, 0.02])[: env.action_space.n]
    while True:
        yield int(generator.choice(len(chances), p=chances / chances.sum()))


def careful(env, generator):
    """Busy, but seldom forward into what ends the episode: drop there instead."""
    for action in busy(env, generator):
        there = env.grid.get(*ahead(*here(env)))
        ends = there is not None and there.type in ("goal", "lava")
        yield DROP if action == FORWARD and ends and generator.random() < 0.9 else action


def solver(env, generator):
    """What solves the level; where it cannot be solved, chance."""
    try:
        yield from solving.solve(env)
    except solving.StuckError:
        yield from busy(env, generator)


def late(env, generator, length):
    """What solves the level in `length` steps, after so much idling that the last step of the episode pays."""
    yield from itertools.repeat(IDLE, env.max_steps - length)
    yield from solver(env, generator)


# --- playing -----------------------------------------------------------------------------------------


def play(env, obs, actions, limit, state_of):
    """An Episode of at most `limit` actions from an environment that was reset."""
    start, branches, before, after, moved = state_of(env), Counter(), [look(env, obs)], [], []
    mission = obs["mission"]
    for action in itertools.islice(actions, limit):
        branches.update(tried := list(branch(env, action)))
        obs, reward, terminated, truncated, _ = env.step(action)
        assert obs["mission"] == mission
        branches.update(outcome(env, action, tried, reward, terminated, truncated))
        before.append(look(env, obs))
        after.append((action, reward, terminated, truncated))
        if hasattr(env, "obstacles"):
            moved.append(state_of(env))
        if terminated or truncated:
            break
    steps = Steps(*map(np.array, zip(*before, strict=True)), *map(np.array, zip(*after, strict=True)))
    return Episode(start, moved, mission, steps, branches)


def look(env, obs):
    grid = np.array([encode(there) for there in env.grid.grid], np.uint8)
    x, y, _ = here(env)
    grid = grid.reshape(env.height, env.width, 5).swapaxes(0, 1)
    kind, colour, _, *inside = encode(env.carrying)
    return obs["image"], int(obs["direction"]), (x, y), grid, np.array([kind, colour, *inside], np.uint8)


EMPTY, WALL = (OBJECT_TO_IDX["empty"], 0, 0, 0, 0), (*Wall().encode(), 0, 0)


def encode(there):
    """An object as (type, colour, state, type and colour in it)."""
    if there is None:
        return EMPTY
    if there.type == "wall" and there.color == "grey":
        return WALL
    inside = there.contains
    return (*there.encode(), *((0, 0) if inside is None else (OBJECT_TO_IDX[inside.type], COLOR_TO_IDX[inside.color])))


# --- hand-made levels --------------------------------------------------------------------------------


def furnish(env, seed):
    """Fill a room with everything there is, boxes with contents and doors of all kinds; and often the hand."""
    generator = np.random.default_rng(seed)
    colour = lambda: COLOR_NAMES[generator.integers(2)]  # noqa: E731  # two, so that keys fit now and then
    makers = (
        lambda: Floor(colour()), lambda: Key(colour()), lambda: Ball(colour()), lambda: Box(colour()),
        lambda: Box(colour(), Key(colour())), lambda: Box(colour(), Ball(colour())),
        lambda: Box(colour(), Box(colour())), lambda: Door(colour()), lambda: Door(colour(), is_open=True),
        lambda: Door(colour(), is_locked=True), Wall, Goal, Lava,
    )  # fmt: skip
    chances = np.array([4, 3, 2, 2, 2, 1, 1, 1, 1, 3, 1, 0.7, 0.7])
    thing = lambda: makers[generator.choice(len(makers), p=chances / chances.sum())]()  # noqa: E731
    for x, y in itertools.product(range(1, env.width - 1), range(1, env.height - 1)):
        if generator.random() < 0.45 and (x, y) != here(env)[:2]:
            env.grid.set(x, y, thing())
    env.carrying = made if (made := thing()) is not None and made.type in MOVABLE else None


# --- branches ----------------------------------------------------------------------------------------


def branch(env, action):
    """What a step is about to try."""
    there, held = env.grid.get(*ahead(*here(env))), env.carrying
    kind = "nothing" if there is None else there.type
    if kind == "door":
        kind = f"{'open' if there.is_open else 'locked' if there.is_locked else 'closed'} door"
    if type(env).__name__ == "MemoryEnv" and action == PICKUP:
        yield "pickup that is a toggle"
        action = TOGGLE
    if action == FORWARD:
        yield f"forward, {kind} ahead"
    elif action == PICKUP:
        yield f"pickup {'in' if held is None else 'with something in'} hand, {kind} ahead"
    elif action == DROP:
        yield f"drop {'nothing' if held is None else 'something'}, {kind} ahead"
        if held is not None and held.contains is not None and there is None:
            yield "drop a box with something in it"
    elif action == TOGGLE:
        if kind == "locked door":
            fits = "right" if opens(held, there) else "wrong" if held is not None and held.type == "key" else "no"
            kind += f", {fits} key" + (", other object" if held is not None and held.type != "key" else "")
        elif kind == "box":
            kind = f"{'empty box' if there.contains is None else 'box with ' + there.contains.type}"
        yield f"toggle {kind}"


def outcome(env, action, tried, reward, terminated, truncated):
    """What came of it, by family."""
    kind = type(env).__name__
    if not terminated:
        if truncated:
            yield "truncated alone"
        if kind == "DynamicObstaclesEnv" and "forward, nothing ahead" in tried and env.grid.get(*ahead(*here(env))):
            if env.grid.get(*ahead(*here(env))).type == "ball":
                yield f"{kind}: an obstacle moved in"
        return
    result = "paid" if reward > 0 else "punished" if reward < 0 else "lost"
    if truncated:
        yield f"{result} on the last step"
    if kind == "DynamicObstaclesEnv" and result == "punished":
        yield f"{kind}: {tried[0]}"
    elif kind in ("PutNearEnv", "GoToDoorEnv", "GoToObjectEnv", "RedBlueDoorEnv"):
        yield f"{kind}: {result} by action {action}"
    else:
        yield f"{kind}: {result}"
