"""Conversion to and from gymnasium. Importing this imports neither JAX nor MuJoCo, and registers every environment.

    gymnasium.make("prospect_rl.envs.gymnasium:prospect/MazeHard-v0")              no import is needed before
    gymnasium.make_vec("prospect_rl.envs.gymnasium:prospect/MazeHard-v0", num_envs=8)
    envs.from_gymnasium("Pendulum-v1", num_envs=8)                     the opposite direction

`envs.gymnasium.outward` contains the adapters `GymEnv` and `GymVectorEnv`, `envs.gymnasium.inward` the opposite
direction. Keyword arguments of `gymnasium.make` are fields of the environment, as in `envs.make`. gymnasium truncates
the episodes of a registered id after `max_episode_steps`, by default the horizon with default fields; for a longer
horizon, use an adapter directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from prospect_rl.envs.gymnasium.names import horizon_of, id_of, names

if TYPE_CHECKING:
    from prospect_rl.envs.gymnasium.outward import GymEnv, GymVectorEnv

__all__ = ["GymEnv", "GymVectorEnv", "id_of", "names", "register"]


class Registered(EnvSpec):
    """A spec that looks up `max_episode_steps` on first access, so that registering does not import JAX."""

    def __post_init__(self) -> None:
        """Remember the name: copies of a spec lose their keyword arguments."""
        super().__post_init__()
        self._name = self.kwargs["env"]

    @property
    def max_episode_steps(self) -> int | None:  # type: ignore[override]
        """The horizon of the environment, or the value that was set."""
        return horizon_of(self._name) if self._steps is None else self._steps

    @max_episode_steps.setter
    def max_episode_steps(self, steps: int | None) -> None:
        self._steps = steps


def register() -> None:
    """Register in gymnasium all environments in `envs.ENVS` that are not registered yet, e.g. those added later."""
    for id, name in names().items():
        if id not in gymnasium.registry:
            gymnasium.registry[id] = Registered(
                id,
                entry_point="prospect_rl.envs.gymnasium.outward:GymEnv",
                vector_entry_point="prospect_rl.envs.gymnasium.outward:GymVectorEnv",
                kwargs={"env": name},
            )


def __getattr__(name: str) -> Any:
    """Return an adapter; its module, which imports JAX, is imported on first access."""
    if name in ("GymEnv", "GymVectorEnv"):
        from prospect_rl.envs.gymnasium import outward

        return getattr(outward, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register()  # at import, because gymnasium imports the module of "module:id" strings in order to register their ids
