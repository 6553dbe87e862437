"""A state of ours put into one of Farama's environments: the inverse of `envs.minigrid.bank.from_farama`."""

import numpy as np
from minigrid.core.grid import Grid
from minigrid.core.world_object import Box, WorldObj

from prospect_rl.envs.minigrid import bank
from prospect_rl.envs.minigrid.state import EMPTY, colour_of, door_of, inside_of, kind_of
from prospect_rl.envs.minigrid.table import COLOURS, FAMILIES, OBJECTS, TASKS, say


def thing(code):
    """The object of Farama's with a code; None for an empty cell."""
    made = WorldObj.decode(int(kind_of(code)), int(colour_of(code)), int(door_of(code)))
    if isinstance(made, Box) and inside_of(code) != EMPTY:
        made.contains = thing(inside_of(code))
    return made


def to_farama(state, name):
    """One of Farama's environments, in this state. Objects are all its own."""
    env = bank.farama(name)
    cells = np.asarray(state.cells).astype(int)
    env.grid, env.obstacles = Grid(*cells.shape), []
    for place, code in np.ndenumerate(cells):
        env.grid.set(*place, thing(code))
        if env.grid.get(*place):
            env.grid.get(*place).cur_pos = place
    env.agent_pos, env.agent_dir = (int(state.x), int(state.y)), int(state.direction)
    env.carrying, env.step_count = thing(int(state.carry)), int(state.t)
    env.mission = say(FAMILIES[TASKS[name].family].mission, np.asarray(state.mission).tolist())
    task = np.asarray(state.task).tolist()
    places = [divmod(cell, cells.shape[1]) for cell in task]
    rule = FAMILIES[TASKS[name].family].rule
    named = (OBJECTS[kind_of(task[0])], COLOURS[colour_of(task[0])]) if rule in ("pick", "fetch", "put_near") else None
    if rule == "pick":
        env.obj = next((one for one in [*env.grid.grid, env.carrying] if one and (one.type, one.color) == named), None)
    elif rule == "unlock":
        env.door = env.grid.get(*places[0])
    elif rule == "red_blue":
        env.red_door, env.blue_door = (env.grid.get(*place) for place in places[:2])
    elif rule == "memory":
        env.success_pos, env.failure_pos = places[:2]
    elif rule == "fetch":
        env.targetType, env.targetColor = named
    elif rule == "put_near":
        (env.move_type, env.moveColor), env.target_pos = named, places[1]
    elif rule == "go_to":
        env.target_pos = places[0]
    elif rule == "obstacles":
        env.obstacles = [env.grid.get(*place) for place, cell in zip(places, task, strict=True) if cell >= 0]
    return env
