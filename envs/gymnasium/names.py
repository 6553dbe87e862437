"""Our environments' ids in gymnasium."""

from __future__ import annotations

from functools import cache

from prospect_rl.envs.register import ENVS, make

UNNAMED = {"mujoco"}
"""Families named after a simulator, not a task: their ids contain only the task, as gymnasium's do."""


def id_of(name: str) -> str:
    """Return the gymnasium id of the environment registered as `name`.

    It consists of the words of family and name in CamelCase: `maze/hard` becomes `prospect/MazeHard-v0`. The families
    in `UNNAMED` are left out: `mujoco/hopper_vel_sparse` becomes `prospect/HopperVelSparse-v0`.
    """
    family, _, task = name.partition("/")
    words = task if family in UNNAMED else f"{family}_{task}"
    camel = "".join(word[:1].upper() + word[1:] for word in words.replace("-", "_").replace("/", "_").split("_"))
    return f"prospect/{camel}-v0"


def names() -> dict[str, str]:
    """Return all gymnasium ids with their names in `envs.ENVS`, e.g. `prospect/MazeHard-v0` -> `maze/hard`."""
    return {id_of(name): name for name in ENVS}


@cache
def horizon_of(name: str) -> int:
    """Return the horizon of the environment registered as `name`, with default fields."""
    return make(name).spec.horizon
