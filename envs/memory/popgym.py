"""POPGym's tasks by name: `getattr(module, "RepeatFirstEasy")` is its factory, as `envs.ENVS` refers to it."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from prospect_rl.envs.memory.table import TASKS


def __getattr__(name: str) -> Any:
    """Return the factory of the task with the name of popgym's class."""
    if name not in TASKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place, fields = TASKS[name]
    module, cls = place.split(":")
    return partial(getattr(import_module(module), cls), id=f"popgym/{name}", **fields)
