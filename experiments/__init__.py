"""The driver: `train` runs one agent in one environment; `Run` names a run and `Result` is what it gives."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prospect_rl.experiments.driver import Interrupted, Result, train, train_run
    from prospect_rl.experiments.runs import Run

__all__ = ["Interrupted", "Result", "Run", "train", "train_run"]


def __getattr__(name: str) -> Any:
    """The names above, imported when asked for: a sweep must start Ray before anything imports JAX."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("prospect_rl.experiments.runs" if name == "Run" else "experiments.driver"), name)


if __name__ == "experiments":  # imported by its short name, in a checkout
    import_module("prospect_rl.short_names").alias(__name__)
