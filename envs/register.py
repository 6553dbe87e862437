"""The register of environments: each id and the class or function that makes it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from prospect_rl.envs.memory.table import TASKS as POPGYM
from prospect_rl.envs.minigrid.table import TASKS
from prospect_rl.envs.names import unknown

if TYPE_CHECKING:  # listing environments must not import JAX (see envs.gymnasium)
    from prospect_rl.envs.api import Env


ENVS: dict[str, str] = {
    "maze/hard": "prospect_rl.envs.maze.hard:HardMaze",
    "arm/redundant": "prospect_rl.envs.arm.redundant:RedundantArm",
    "arm/curling": "prospect_rl.envs.arm.curling:Curling",
    "point/sparse": "prospect_rl.envs.small.point:SparsePoint",
    "lock/combination": "prospect_rl.envs.small.lock:CombinationLock",
    "probe/bandit": "prospect_rl.envs.small.probes:Bandit",
    "probe/target": "prospect_rl.envs.small.probes:Target",
    "probe/one_step": "prospect_rl.envs.small.probes:OneStep",
    "probe/discounting": "prospect_rl.envs.small.probes:Discounting",
    "probe/memory": "prospect_rl.envs.small.probes:Memory",
    "probe/limit": "prospect_rl.envs.small.probes:Limit",
    "mujoco/half_cheetah": "prospect_rl.envs.mujoco.locomotion:HalfCheetah",
    "mujoco/hopper": "prospect_rl.envs.mujoco.locomotion:Hopper",
    "mujoco/walker2d": "prospect_rl.envs.mujoco.locomotion:Walker2d",
    "mujoco/ant": "prospect_rl.envs.mujoco.ant:Ant",
    "mujoco/swimmer": "prospect_rl.envs.mujoco.locomotion:Swimmer",
    "mujoco/reacher": "prospect_rl.envs.mujoco.reacher:Reacher",
    "mujoco/cheetah_vel_sparse": "prospect_rl.envs.mujoco.variants:cheetah_vel_sparse",
    "mujoco/hopper_vel_sparse": "prospect_rl.envs.mujoco.variants:hopper_vel_sparse",
    "mujoco/walker_vel_sparse": "prospect_rl.envs.mujoco.variants:walker_vel_sparse",
    "mujoco/half_cheetah_sparse": "prospect_rl.envs.mujoco.variants:half_cheetah_sparse",
    "mujoco/hopper_sparse": "prospect_rl.envs.mujoco.variants:hopper_sparse",
    "mujoco/walker2d_sparse": "prospect_rl.envs.mujoco.variants:walker2d_sparse",
    "mujoco/ant_sparse": "prospect_rl.envs.mujoco.variants:ant_sparse",
    "mujoco/half_cheetah_far": "prospect_rl.envs.mujoco.variants:half_cheetah_far",
    "mujoco/hopper_far": "prospect_rl.envs.mujoco.variants:hopper_far",
    "mujoco/walker2d_far": "prospect_rl.envs.mujoco.variants:walker2d_far",
    "mujoco/ant_far": "prospect_rl.envs.mujoco.variants:ant_far",
    "mujoco/cartpole_swingup_sparse": "prospect_rl.envs.mujoco.swing:Cartpole",
    "mujoco/pendulum_swingup_sparse": "prospect_rl.envs.mujoco.swing:Pendulum",
    "mujoco/ant_maze": "prospect_rl.envs.mujoco.ant_maze:AntMaze",
    **{
        f"{family}/{maze}": f"prospect_rl.envs.pointmaze.maze:{family}_{maze}"
        for family in ("maze2d", "pointmaze")
        for maze in ("umaze", "medium", "large")
    },
    "memory/tmaze": "prospect_rl.envs.memory.tmaze:TMaze",
    "memory/remember_color_3": "prospect_rl.envs.memory.remember_color:remember_color_3",
    "memory/remember_color_5": "prospect_rl.envs.memory.remember_color:remember_color_5",
    "memory/remember_color_9": "prospect_rl.envs.memory.remember_color:remember_color_9",
    "memory/take_it_back": "prospect_rl.envs.memory.take_it_back:TakeItBack",
    "text/sort": "prospect_rl.envs.text.tasks:Sort",
    "text/reverse": "prospect_rl.envs.text.tasks:Reverse",
    "text/sum": "prospect_rl.envs.text.tasks:Sum",
    "text/spell": "prospect_rl.envs.text.tasks:Spell",
    "text/sort_verifiable": "prospect_rl.envs.text.regimes:sort_verifiable",
    "text/sort_hard": "prospect_rl.envs.text.regimes:sort_hard",
    "text/sort_mixed": "prospect_rl.envs.text.regimes:sort_mixed",
    "verified/Empty-Random-6x6": "prospect_rl.envs.verified.grid:empty",
    "verified/DoorKey-5x5": "prospect_rl.envs.verified.grid:doorkey",
    "verified/MultiRoom-N2-S4": "prospect_rl.envs.verified.grid:multiroom",
    "verified/reacher": "prospect_rl.envs.verified.reach:Reach",
    **{f"popgym/{name}": f"prospect_rl.envs.memory.popgym:{name}" for name in POPGYM},  # POPGym's classes
    **{
        f"minigrid/{name}": f"prospect_rl.envs.minigrid.env:{name}" for name in TASKS
    },  # 76: Farama's ids without `MiniGrid-`
}
"""Registered id -> "module:factory". A module is imported when one of its environments is first made."""


def make(id: str, /, **fields: Any) -> Env:
    """Make a registered environment.

    Args:
        id: Registered id, e.g. "maze/hard"; `ENVS` lists all of them.
        **fields: Values for some of the environment's fields; the others keep their defaults.

    Returns:
        The environment.

    Raises:
        ValueError: For an unknown id (the message gives the nearest one), an unknown field, or a value of the wrong
            type or out of bounds. The message is one line.
    """
    if id not in ENVS:
        raise unknown("environment", id, ENVS)
    module, name = ENVS[id].split(":")
    cls = getattr(import_module(module), name)
    try:
        return cls(**fields)
    except TypeError as error:
        raise ValueError(f"{id}: {error}") from None
