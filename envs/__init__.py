"""Environments as pure functions. `envs.make("maze/hard")` builds one; `envs.ENVS` names them all."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from envs.memory.table import TASKS as POPGYM
from envs.minigrid.table import TASKS
from envs.names import unknown

if TYPE_CHECKING:  # naming environments needs no JAX (see envs.gymnasium)
    from collections.abc import Callable

    import gymnasium
    from gymnasium.envs.registration import EnvSpec

    from envs.api import Env
    from envs.gymnasium.inward import HostEnv

ENVS: dict[str, str] = {
    "maze/hard": "envs.maze.hard:HardMaze",
    "arm/redundant": "envs.arm.redundant:RedundantArm",
    "point/sparse": "envs.point:SparsePoint",
    "lock/combination": "envs.lock:CombinationLock",
    "probe/bandit": "envs.probes:Bandit",
    "probe/target": "envs.probes:Target",
    "probe/one_step": "envs.probes:OneStep",
    "probe/discounting": "envs.probes:Discounting",
    "probe/memory": "envs.probes:Memory",
    "probe/limit": "envs.probes:Limit",
    "mujoco/half_cheetah": "envs.mujoco.locomotion:HalfCheetah",
    "mujoco/hopper": "envs.mujoco.locomotion:Hopper",
    "mujoco/walker2d": "envs.mujoco.locomotion:Walker2d",
    "mujoco/ant": "envs.mujoco.ant:Ant",
    "mujoco/swimmer": "envs.mujoco.locomotion:Swimmer",
    "mujoco/reacher": "envs.mujoco.reacher:Reacher",
    "mujoco/cheetah_vel_sparse": "envs.mujoco.variants:cheetah_vel_sparse",
    "mujoco/hopper_vel_sparse": "envs.mujoco.variants:hopper_vel_sparse",
    "mujoco/walker_vel_sparse": "envs.mujoco.variants:walker_vel_sparse",
    "mujoco/half_cheetah_sparse": "envs.mujoco.variants:half_cheetah_sparse",
    "mujoco/hopper_sparse": "envs.mujoco.variants:hopper_sparse",
    "mujoco/walker2d_sparse": "envs.mujoco.variants:walker2d_sparse",
    "mujoco/ant_sparse": "envs.mujoco.variants:ant_sparse",
    "mujoco/half_cheetah_far": "envs.mujoco.variants:half_cheetah_far",
    "mujoco/hopper_far": "envs.mujoco.variants:hopper_far",
    "mujoco/walker2d_far": "envs.mujoco.variants:walker2d_far",
    "mujoco/ant_far": "envs.mujoco.variants:ant_far",
    "mujoco/cartpole_swingup_sparse": "envs.mujoco.swing:Cartpole",
    "mujoco/pendulum_swingup_sparse": "envs.mujoco.swing:Pendulum",
    **{
        f"{family}/{maze}": f"envs.pointmaze.maze:{family}_{maze}"
        for family in ("maze2d", "pointmaze")
        for maze in ("umaze", "medium", "large")
    },
    "memory/tmaze": "envs.memory.tmaze:TMaze",
    "memory/remember_color_3": "envs.memory.remember_color:remember_color_3",
    "memory/remember_color_5": "envs.memory.remember_color:remember_color_5",
    "memory/remember_color_9": "envs.memory.remember_color:remember_color_9",
    "memory/take_it_back": "envs.memory.take_it_back:TakeItBack",
    **{f"popgym/{name}": f"envs.memory.popgym:{name}" for name in POPGYM},  # POPGym's classes
    **{f"minigrid/{name}": f"envs.minigrid.env:{name}" for name in TASKS},  # 76: Farama's ids without `MiniGrid-`
}
"""Registered id -> "module:what makes it"; modules are imported when they are first asked for."""


def make(id: str, /, **fields: Any) -> Env:
    """The environment registered as `id`, with other values for some of its fields.

    Raises ValueError with one line (and the nearest name) for an unknown id or field.
    """
    if id not in ENVS:
        raise unknown("environment", id, ENVS)
    module, name = ENVS[id].split(":")
    cls = getattr(import_module(module), name)
    try:
        return cls(**fields)
    except TypeError as error:
        raise ValueError(f"{id}: {error}") from None


def from_gymnasium(
    id_or_fn: str | EnvSpec | Callable[[], gymnasium.Env], num_envs: int | None = None, *, horizon: int | None = None
) -> HostEnv:
    """A gymnasium environment as one of Prospect's, so that agents train on it: see `envs.gymnasium.inward.HostEnv`.

    id_or_fn: what `gymnasium.make` takes, or a function that makes one. num_envs: the streams of the agent
    (`Segments.num_envs`). horizon: steps after which an episode is truncated (default: the environment's own limit).
    Raises ValueError, in one line, for what makes no environment, for spaces that have no counterpart, and where no
    number of streams is given or no limit known.
    """
    from envs.gymnasium.inward import from_gymnasium

    return from_gymnasium(id_or_fn, num_envs, horizon=horizon)
