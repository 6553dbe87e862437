"""Banks of levels: arrays made by Farama's own generators from a range of seeds, cached on disk.

Level s of a task is the level of Farama's environment after `reset(seed=s)`. Generating a level takes 0.2 to 4 ms, so
a bank is made once and cached in $PROSPECT_CACHE/minigrid (default ~/.cache/prospect/minigrid). The package minigrid is
needed only to generate levels.

Shapes: L levels of W x H cells.
"""

from __future__ import annotations

import os
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
import numpy as np

from prospect_rl.envs import cache
from prospect_rl.envs.minigrid import state as s
from prospect_rl.envs.minigrid.state import State, code
from prospect_rl.envs.minigrid.table import COLOURS, FAMILIES, OBJECTS, TASKS, read

VERSION = "3.2.0"
"""The version of minigrid whose generators and rules are used."""
UNSEEN = 1_000_000
"""Levels from this seed on are held out for evaluation; training levels have smaller seeds."""

# --- one level ---------------------------------------------------------------------------------------


def code_of(thing: Any) -> int:
    """Return the cell code of one of Farama's objects (None is an empty cell)."""
    if thing is None:
        return s.EMPTY
    kind, colour, door = thing.encode()
    inside = getattr(thing, "contains", None)
    if inside is None:
        return code(kind, colour, door)
    inner, inner_colour, _ = inside.encode()
    if inner not in (s.KEY, s.BALL, s.BOX) or inside.contains is not None:
        raise ValueError(f"a box may hold an empty box, a key or a ball, not a {inside.type}")
    return code(kind, colour, door, inner, inner_colour)


def from_farama(env: Any) -> State:
    """Convert the current state of one of Farama's environments (wrapped or not); the leaves are NumPy arrays."""
    env = env.unwrapped
    codes = np.array([code_of(thing) for thing in env.grid.grid], np.uint16).reshape(env.height, env.width)
    name = type(env).__name__
    x, y = env.agent_pos
    return s.on_host(
        codes.T, x, y, env.agent_dir, carry=code_of(env.carrying), t=env.step_count,
        task=next((find(env) for kind, find in TARGETS.items() if name.startswith(kind)), []),
        mission=read(mission_of(env), env.mission),
    )  # fmt: skip


def mission_of(env: Any) -> str:
    """Return the mission template of one of Farama's environments."""
    lava = getattr(getattr(env, "obstacle_type", None), "__name__", "") == "Lava"
    names = {"Crossing": "LavaCrossing" if lava else "SimpleCrossing", "RedBlueDoor": "RedBlueDoors",
             "DynamicObstacles": "Dynamic-Obstacles"}  # fmt: skip
    own = type(env).__name__.partition("Env")[0].partition("_")[0]
    return FAMILIES[names.get(own, own)].mission


def _cell(env: Any, position: Any) -> int:
    return int(position[0]) * env.height + int(position[1])


def _place(env: Any, thing: Any) -> int:
    """Return the cell of an object."""
    y, x = divmod(env.grid.grid.index(thing), env.width)
    return _cell(env, (x, y))


def _named(kind: str, colour: str) -> int:
    return code(OBJECTS.index(kind), COLOURS.index(colour))


TARGETS: dict[str, Callable[[Any], list[int]]] = {
    "KeyCorridor": lambda env: [code_of(env.obj) & 127],
    "ObstructedMaze": lambda env: [code_of(env.obj) & 127],
    "UnlockPickup": lambda env: [code_of(env.obj) & 127],
    "BlockedUnlockPickup": lambda env: [code_of(env.obj) & 127],
    "Unlock": lambda env: [_place(env, env.door)],
    "RedBlueDoor": lambda env: [_place(env, env.red_door), _place(env, env.blue_door)],
    "Memory": lambda env: [_cell(env, env.success_pos), _cell(env, env.failure_pos)],
    "Fetch": lambda env: [_named(env.targetType, env.targetColor)],
    "PutNear": lambda env: [_named(env.move_type, env.moveColor), _cell(env, env.target_pos)],
    "GoTo": lambda env: [_cell(env, env.target_pos)],
    "DynamicObstacles": lambda env: [_cell(env, ball.cur_pos) for ball in env.obstacles] + [-1] * (8 - env.n_obstacles),
}
"""Beginning of a Farama class name -> function that returns `State.task` for the family's rule."""


# --- many levels -------------------------------------------------------------------------------------


def farama(name: str) -> Any:
    """Make Farama's environment of a task, without wrappers; raise ValueError if minigrid is not installed."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame prints a greeting on the standard output
    try:
        import minigrid  # noqa: F401  # registers its environments
    except ImportError:
        raise ValueError(
            f"the levels of minigrid/{name} need Farama's minigrid: pip install 'prospect-rl[minigrid]'"
        ) from None
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    spec = gymnasium.registry[f"MiniGrid-{name}"]
    assert isinstance(spec.entry_point, str)
    return load_env_creator(spec.entry_point)(**spec.kwargs)


def generate(name: str, first: int, levels: int, progress: Callable[[int], None] | None = None) -> State:
    """Generate levels of a task with Farama's generators.

    Args:
        name: Farama's id without `MiniGrid-`.
        first: Seed of the first level.
        levels: Number of levels.
        progress: Called after each level with the number of levels made so far.

    Returns:
        The levels, with leading axis [L] and NumPy arrays as leaves.

    Raises:
        ValueError: If minigrid is not installed.
    """
    env, made = farama(name), []
    env.gen_obs = lambda: None  # the observation takes half of a reset's time and is not used
    for seed in range(first, first + levels):
        env.reset(seed=seed)
        made.append(from_farama(env))
        if progress:
            progress(len(made))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *made)


def load(name: str, first: int, levels: int, progress: Callable[[int], None] | None = None) -> State:
    """Load levels from the cache, or generate and cache them; see `generate`.

    A damaged file is replaced, with a warning.
    """
    path = cache.folder("minigrid") / f"{name}-{VERSION}-{first}-{levels}.npz"
    try:
        if path.exists():
            return _read(path, name, levels)
    except PermissionError as error:
        raise cache.refused(error) from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        warnings.warn(f"{path} is damaged and will be rebuilt: {error}", stacklevel=2)
    bank = generate(name, first, levels, progress)
    leaves = {f.name: getattr(bank, f.name) for f in fields(State)}
    cache.write(path, lambda file: np.savez_compressed(file, allow_pickle=False, **leaves))
    return bank


def _read(path: Path, name: str, levels: int) -> State:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as entries:  # a zip file, with checksums
        bank = State(**{field.name: entries[field.name] for field in fields(State)})
    shape, task = bank.cells.shape, TASKS[name]
    if shape != (levels, task.width, task.height):
        raise ValueError(f"unexpected shape {shape}")
    return bank
