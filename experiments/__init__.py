"""Runs and experiments: `train` trains one agent in one environment, with callbacks; `Run` configures a run.

    from prospect_rl.experiments import EarlyStop, train
    train("serene", "maze/hard", budget=100_000, out="run", callbacks=[EarlyStop("eval/return", threshold=0.9)])

The subpackages, each of which imports only those before it: `run` (one run), `sweeps` (many runs), `reports` (tables,
statistics, verdicts), `searches` (hyper-parameter search), `bench` (benchmarks), `site` (pages for a browser), `cli`
(the command line). `papers` holds the declared experiments, `recipes` the datasets that need a trained agent.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prospect_rl.experiments.run.callbacks import EarlyStop, SaveBest
    from prospect_rl.experiments.run.config import Run
    from prospect_rl.experiments.run.driver import train_run
    from prospect_rl.experiments.run.hooks import Callback
    from prospect_rl.experiments.run.result import Interrupted, Result
    from prospect_rl.experiments.run.together import train_many
    from prospect_rl.experiments.run.tracking import TensorBoard, WandB
    from prospect_rl.experiments.run.train import train
    from prospect_rl.experiments.run.video import Video

__all__ = [
    "Callback", "EarlyStop", "Interrupted", "Result", "Run", "SaveBest", "TensorBoard", "Video", "WandB", "train",
    "train_many", "train_run",
]  # fmt: skip

WHERE = {
    "Callback": "hooks", "EarlyStop": "callbacks", "Interrupted": "result", "Result": "result", "Run": "config",
    "SaveBest": "callbacks", "TensorBoard": "tracking", "Video": "video", "WandB": "tracking", "train": "train",
    "train_many": "together",
    "train_run": "driver",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name on first use: a sweep must start Ray before anything imports JAX."""
    if name not in WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"prospect_rl.experiments.run.{WHERE[name]}"), name)


if __name__ == "experiments":  # imported by its short name, in a checkout
    import_module("prospect_rl.short_names").alias(__name__)
