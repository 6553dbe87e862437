"""Return value of the driver: the result of a run, and the interrupt that carries one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prospect_rl.agents.api import Agent
from prospect_rl.envs.api import Env, Tree
from prospect_rl.experiments.run.ledger import Ledger


@dataclass(frozen=True)
class Result:
    """The result of a run; `state`, `behaviour` and `ledger` have a leading axis [S] if it has several seeds."""

    state: Tree
    """The final state of the agent."""
    behaviour: Tree
    """Parameters of the policy to deploy (`Agent.exploit`)."""
    rows: list[dict[str, Any]]
    """The rows of metrics.jsonl; None stands for numbers that are not finite."""
    ledger: Ledger | None
    """Counts over all evaluated policies, for agents that want `Rollouts`."""
    agent: Agent
    """The agent, bound to the environment."""
    env: Env
    """The environment that it was trained in."""
    interrupted: bool
    """Whether a signal ended the run before its budget."""
    digest: str
    """SHA-256 of the agent's state and the ledger."""
    notices: list[str]
    """Messages for the user, e.g. skipped checkpoints or changed versions."""
    stopped: str | None = None
    """The reason why a callback ended the run before its budget."""


class Interrupted(KeyboardInterrupt):  # noqa: N818 - an interrupt, not an error
    """A signal ended the run after a checkpoint was saved; `result` is its state at that point.

    `results` has the results of all runs of a program of several.
    """

    def __init__(self, *results: Result) -> None:
        super().__init__("interrupted; the run is saved and can be resumed")
        self.result, self.results = results[0], results
