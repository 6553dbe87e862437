"""Callbacks: objects that observe a run and may end it before its budget is used.

A callback cannot change a run: neither the run's hash nor its metrics rows depend on callbacks. It is called before the
first chunk and after every chunk. In one process each metrics row is reported as new exactly once: a resumed (or
finished) run reports the rows that it already has in the first call. A callback should decide from the rows alone: then
it has no state to save, and a resumed run behaves like an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prospect_rl.agents.api import Agent
    from prospect_rl.envs.api import Env, Tree
    from prospect_rl.experiments.run.config import Run


Progress = Callable[[dict[str, Any]], None]
"""The simplest observer: a function that is called after every chunk; its errors end the run unchanged."""


@dataclass(frozen=True)
class Snapshot:
    """The state of a run between two chunks, as callbacks see it. Valid only during the call."""

    run: Run
    """The configuration of the run."""
    folder: Path | None
    """The folder of the run; None if it writes no files."""
    agent: Agent
    """The agent, bound to the environment."""
    env: Env
    """The environment that it is trained in."""
    iteration: int
    """Number of iterations completed so far."""
    used: int
    """The budget used so far."""
    unit: str
    """The unit of the budget: steps, evaluations or updates."""
    rows: list[dict[str, Any]]
    """All metrics rows so far, one per seed and mark."""
    new_rows: list[dict[str, Any]]
    """The rows that were added since the previous call."""
    behaviour: Callable[[], Tree]
    """Returns the parameters of the policy to deploy now, of the first seed if there are several."""
    save: Callable[[Path, float | None], Path]
    """(folder, score): writes a checkpoint of the current state into `folder`, which keeps the last two and the best
    one."""

    @property
    def at_row(self) -> bool:
        """Whether the last row was measured in the current state."""
        return bool(self.rows) and self.rows[-1]["iteration"] == self.iteration


class Callback:
    """Base class of all callbacks."""

    def watch(self, now: Snapshot) -> str | None:
        """Observe the run; return a reason to end it now, or None to continue."""
        raise NotImplementedError

    def close(self) -> None:
        """Called once when the run is over: finished, ended early, interrupted or failed."""


class CallbackList:
    """The callbacks of one run."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = callbacks
        self.reported = 0

    def notify(self, now: Snapshot) -> str | None:
        """Call every callback with a snapshot (`new_rows` is set here); returns the first reason to end the run.

        Raises ValueError or RuntimeError, with a one-line message that names the callback, if one of them fails.
        """
        now = replace(now, rows=list(now.rows), new_rows=now.rows[self.reported :])
        reasons = []
        for callback in self.callbacks:
            with _named(callback):
                reasons.append(callback.watch(now))
        self.reported = len(now.rows)
        return next((reason for reason in reasons if reason), None)

    def close(self) -> None:
        """Close every callback, then raise the first error that occurred."""
        failures = []
        for callback in self.callbacks:
            try:
                with _named(callback):
                    callback.close()
            except (ValueError, RuntimeError) as error:
                failures.append(error)
        if failures:
            raise failures[0]


@contextmanager
def _named(callback: Callback) -> Iterator[None]:
    name = type(callback).__name__
    try:
        yield
    except ValueError as error:
        raise ValueError(f"callback {name}: {error}") from error
    except Exception as error:
        raise RuntimeError(f"callback {name} failed: {type(error).__name__}: {error}") from error
