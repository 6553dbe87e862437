"""Prospect: a sparse-reward reinforcement-learning suite in JAX.

    from prospect_rl import train
    from prospect_rl.agents import Serene
    result = train(Serene(), "maze/hard", budget=100_000, out="run")

`prospect_rl.agents`, `prospect_rl.envs` and `prospect_rl.experiments` are the folders of these names in the repository.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prospect_rl.agents import load
    from prospect_rl.envs import make
    from prospect_rl.experiments import train

    __version__: str

__all__ = ["__version__", "load", "make", "train"]

WHERE = {"load": "prospect_rl.agents", "make": "prospect_rl.envs", "train": "prospect_rl.experiments"}

if not (Path(__file__).parent / "agents").is_dir():  # a checkout on a file system without symbolic links
    __path__.append(str(Path(__file__).parents[1]))


def __getattr__(name: str) -> Any:
    """The names above, imported when they are asked for: naming environments needs no JAX."""
    if name == "__version__":
        try:
            return version("prospect-rl")
        except PackageNotFoundError:
            return "unknown"  # a checkout that is not installed
    if name not in WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(WHERE[name]), name)
