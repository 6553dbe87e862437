"""Environments as pure functions. `envs.make("maze/hard")` builds one; `envs.ENVS` names them all."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from prospect_rl.envs.register import ENVS, make

__all__ = ["ENVS", "from_gymnasium", "make"]

if TYPE_CHECKING:  # naming environments needs no JAX (see envs.gymnasium)
    from collections.abc import Callable

    import gymnasium
    from gymnasium.envs.registration import EnvSpec

    from prospect_rl.envs.gymnasium.inward import HostEnv


def from_gymnasium(
    id_or_fn: str | EnvSpec | Callable[[], gymnasium.Env], num_envs: int | None = None, *, horizon: int | None = None
) -> HostEnv:
    """A gymnasium environment as one of Prospect's, so that agents train on it: see `envs.gymnasium.inward.HostEnv`.

    id_or_fn: what `gymnasium.make` takes, or a function that makes one. num_envs: the streams of the agent
    (`Segments.num_envs`). horizon: steps after which an episode is truncated (default: the environment's own limit).
    Raises ValueError, in one line, for what makes no environment, for spaces that have no counterpart, and where no
    number of streams is given or no limit known.
    """
    from prospect_rl.envs.gymnasium.inward import from_gymnasium

    return from_gymnasium(id_or_fn, num_envs, horizon=horizon)


if __name__ == "envs":  # imported by its short name, in a checkout
    import_module("prospect_rl.short_names").alias(__name__)
