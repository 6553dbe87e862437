"""Environments as pure functions: `envs.make("maze/hard")` makes one, `envs.ENVS` lists them all."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from prospect_rl.envs.register import ENVS, make

__all__ = ["ENVS", "from_gymnasium", "make"]

if TYPE_CHECKING:  # listing environments must not import JAX (see envs.gymnasium)
    from collections.abc import Callable

    import gymnasium
    from gymnasium.envs.registration import EnvSpec

    from prospect_rl.envs.gymnasium.inward import HostEnv


def from_gymnasium(
    id_or_fn: str | EnvSpec | Callable[[], gymnasium.Env], num_envs: int | None = None, *, horizon: int | None = None
) -> HostEnv:
    """Wrap a gymnasium environment so that Prospect's agents can train on it (see `envs.gymnasium.inward.HostEnv`).

    Args:
        id_or_fn: A gymnasium id or `EnvSpec`, or a function without arguments that makes a new environment.
        num_envs: Number of environments that are stepped together: the agent's `Segments.num_envs`.
        horizon: Steps after which an episode is truncated; by default the environment's own time limit.

    Returns:
        The environment. It steps `num_envs` simulators on the host.

    Raises:
        ValueError: In one line, if no environment can be made, if a space has no counterpart in Prospect, if
            `num_envs` is missing, or if no time limit is known.
    """
    from prospect_rl.envs.gymnasium.inward import from_gymnasium

    return from_gymnasium(id_or_fn, num_envs, horizon=horizon)


if __name__ == "envs":  # imported by its short name, in a checkout
    import_module("prospect_rl.short_names").alias(__name__)
