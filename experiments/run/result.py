"""What the driver hands back: a run's outcome, and the interrupt that carries one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prospect_rl.agents.api import Agent
from prospect_rl.envs.api import Env, Tree
from prospect_rl.experiments.run.ledger import Ledger


@dataclass(frozen=True)
class Result:
    """What a run has come to; leading [S] on `state`, `behaviour` and `ledger` where it has several seeds."""

    state: Tree
    """The agent's state."""
    behaviour: Tree
    """What the agent would ship."""
    rows: list[dict[str, Any]]
    """The rows of metrics.jsonl; None stands for numbers that are not finite."""
    ledger: Ledger | None
    agent: Agent
    """Bound to the environment."""
    env: Env
    interrupted: bool
    digest: str
    """SHA-256 of the agent's state and the ledger."""
    notices: list[str]
    """What the user should know: skipped checkpoints, changed versions."""
    stopped: str | None = None
    """Why a callback ended the run before its budget."""


class Interrupted(KeyboardInterrupt):  # noqa: N818 - it is no error
    """A signal has ended the run, after its checkpoint was saved; `result` is what it had come to."""

    def __init__(self, result: Result) -> None:
        super().__init__("interrupted; the run is saved and goes on where it stopped")
        self.result = result
