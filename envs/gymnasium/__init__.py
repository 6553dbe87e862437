"""The way to gymnasium and back. Importing it imports neither JAX nor MuJoCo, and registers every environment.

    gymnasium.make("envs.gymnasium:prospect/MazeHard-v0")              nothing need be imported before
    gymnasium.make_vec("envs.gymnasium:prospect/MazeHard-v0", num_envs=8)
    envs.from_gymnasium("Pendulum-v1", num_envs=8)                     the other way round

`envs.gymnasium.outward` holds the adapters `GymEnv` and `GymVectorEnv`, `envs.gymnasium.inward` the way back.
Keyword arguments of `gymnasium.make` are fields of the environment, as in `envs.make`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium

from envs import ENVS

if TYPE_CHECKING:
    from envs.gymnasium.outward import GymEnv, GymVectorEnv

__all__ = ["GymEnv", "GymVectorEnv", "id_of", "names", "register"]

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


def register() -> None:
    """Register in gymnasium what is not yet; for names that were added to `envs.ENVS` after this module's import."""
    for id, name in names().items():
        if id not in gymnasium.registry:
            gymnasium.register(
                id,
                entry_point="envs.gymnasium.outward:GymEnv",
                vector_entry_point="envs.gymnasium.outward:GymVectorEnv",
                kwargs={"env": name},
            )


def __getattr__(name: str) -> Any:
    """The adapters, whose module imports JAX, when they are first asked for."""
    if name in ("GymEnv", "GymVectorEnv"):
        from envs.gymnasium import outward

        return getattr(outward, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register()  # the one thing that happens at import: gymnasium loads "module:id" strings in this way
