"""The way to gymnasium and back. Importing it imports neither JAX nor MuJoCo, and registers every environment.

    gymnasium.make("prospect_rl.envs.gymnasium:prospect/MazeHard-v0")              nothing need be imported before
    gymnasium.make_vec("prospect_rl.envs.gymnasium:prospect/MazeHard-v0", num_envs=8)
    envs.from_gymnasium("Pendulum-v1", num_envs=8)                     the other way round

`envs.gymnasium.outward` holds the adapters `GymEnv` and `GymVectorEnv`, `envs.gymnasium.inward` the way back.
Keyword arguments of `gymnasium.make` are fields of the environment, as in `envs.make`. gymnasium ends the episodes of
a registered id at `max_episode_steps`, the horizon that it has without any; for a longer one take an adapter itself.
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
    """A spec that looks up `max_episode_steps` when it is first asked for: registering all imports no JAX."""

    def __post_init__(self) -> None:
        """Remember the name: copies of a spec lose their keyword arguments."""
        super().__post_init__()
        self._name = self.kwargs["env"]

    @property
    def max_episode_steps(self) -> int | None:  # type: ignore[override]
        """The horizon, or what it was set to."""
        return horizon_of(self._name) if self._steps is None else self._steps

    @max_episode_steps.setter
    def max_episode_steps(self, steps: int | None) -> None:
        self._steps = steps


def register() -> None:
    """Register in gymnasium what is not yet; for names that were added to `envs.ENVS` after this module's import."""
    for id, name in names().items():
        if id not in gymnasium.registry:
            gymnasium.registry[id] = Registered(
                id,
                entry_point="prospect_rl.envs.gymnasium.outward:GymEnv",
                vector_entry_point="prospect_rl.envs.gymnasium.outward:GymVectorEnv",
                kwargs={"env": name},
            )


def __getattr__(name: str) -> Any:
    """The adapters, whose module imports JAX, when they are first asked for."""
    if name in ("GymEnv", "GymVectorEnv"):
        from prospect_rl.envs.gymnasium import outward

        return getattr(outward, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register()  # the one thing that happens at import: gymnasium loads "module:id" strings in this way
