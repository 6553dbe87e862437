"""Environments as pure functions. `envs.make("maze/hard")` builds one; `envs.ENVS` names them all."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

from envs.api import Env

ENVS: dict[str, str] = {
    "maze/hard": "envs.maze.hard:HardMaze",
    "arm/redundant": "envs.arm.redundant:RedundantArm",
    "point/sparse": "envs.point:SparsePoint",
    "probe/bandit": "envs.probes:Bandit",
    "probe/target": "envs.probes:Target",
    "probe/one_step": "envs.probes:OneStep",
    "probe/discounting": "envs.probes:Discounting",
    "probe/memory": "envs.probes:Memory",
    "probe/limit": "envs.probes:Limit",
}
"""Registered id -> "module:class"; modules are imported when they are first asked for."""


def make(id: str, **fields: Any) -> Env:
    """The environment registered as `id`, with other values for some of its fields.

    Raises ValueError with one line (and the nearest name) for an unknown id or field.
    """
    if id not in ENVS:
        near = get_close_matches(id, ENVS, 1, 0.4)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(ENVS)}"
        raise ValueError(f"unknown environment {id!r}{hint}")
    module, name = ENVS[id].split(":")
    cls = getattr(import_module(module), name)
    try:
        return cls(**fields)
    except TypeError as error:
        raise ValueError(f"{id}: {error}") from None
