"""In a checkout `agents`, `envs` and `experiments` can be imported by these names too: the same modules, no copies.

Each of the three packages calls `alias` when Python imports it by its short name. What is installed has no such names.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import CodeType, ModuleType
from typing import Any

PACKAGES = ("agents", "envs", "experiments")


class _Alias(Loader):
    """Loads `agents.x` as the module `prospect_rl.agents.x`."""

    def __init__(self, real: ModuleSpec) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return import_module(self._real.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._real  # the import system has put the alias's own there

    def get_code(self, name: str) -> CodeType | None:
        """The code of a module, for `python -m`."""
        assert isinstance(self._real.loader, InspectLoader)
        return self._real.loader.get_code(self._real.name)


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in PACKAGES or (real := find_spec(f"prospect_rl.{fullname}")) is None:
            return None
        package = real.submodule_search_locations is not None
        return ModuleSpec(fullname, _Alias(real), origin=real.origin, is_package=package)


def alias(name: str) -> None:
    """Make a package's short name, and all names below it, mean the modules of `prospect_rl`."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    sys.modules[name] = import_module(f"prospect_rl.{name}")
