"""Our environments' ids in gymnasium."""

from __future__ import annotations

from functools import cache

from prospect_rl.envs.register import ENVS, make

UNNAMED = {"mujoco"}
"""Families that name a simulator, not a task: their tasks are called by their robot, as gymnasium calls them."""


def id_of(name: str) -> str:
    """The id in gymnasium of the environment registered as `name`.

    All words of family and name in CamelCase: `maze/hard` is `prospect/MazeHard-v0`. The families in `UNNAMED` are
    left out: `mujoco/hopper_vel_sparse` is `prospect/HopperVelSparse-v0`.
    """
    family, _, task = name.partition("/")
    words = task if family in UNNAMED else f"{family}_{task}"
    camel = "".join(word[:1].upper() + word[1:] for word in words.replace("-", "_").replace("/", "_").split("_"))
    return f"prospect/{camel}-v0"


def names() -> dict[str, str]:
    """All ids in gymnasium -> the names in `envs.ENVS`, e.g. `prospect/MazeHard-v0` -> `maze/hard`."""
    return {id_of(name): name for name in ENVS}


@cache
def horizon_of(name: str) -> int:
    """The horizon of the environment registered as `name`, without values for its fields."""
    return make(name).spec.horizon
