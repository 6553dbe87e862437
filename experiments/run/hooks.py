"""What may watch a run from outside: callbacks, which are told how it goes and may end it before its budget.

A callback sees a run and never touches its bits: neither the run's hash nor its rows depend on who watches. It is
told before the first chunk and after every chunk. Each row of metrics is new to it once in a process: a resumed (or
finished) run tells those that it already has in the first call. What a callback decides is best a function of the
rows: then nothing of it has to be saved, and a resumed run decides as an uninterrupted one.
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
"""The simplest way to look on: a function, called after every chunk, whose errors end the run as they are."""


@dataclass(frozen=True)
class Moment:
    """Where a run stands between two chunks. Valid during the call alone."""

    run: Run
    folder: Path | None
    """The run's own; None where it keeps no files."""
    agent: Agent
    """Bound to the environment."""
    env: Env
    iteration: int
    used: int
    """Budget used so far."""
    unit: str
    """What the budget counts."""
    rows: list[dict[str, Any]]
    """All rows of metrics so far, one a seed and a mark."""
    fresh: list[dict[str, Any]]
    """Those of them that the last call did not have."""
    behaviour: Callable[[], Tree]
    """What the agent would ship now; of the first seed where there are several."""
    save: Callable[[Path, float | None], Path]
    """(folder, score): write a checkpoint of this very state into `folder`, which keeps the last two and the best."""

    @property
    def at_row(self) -> bool:
        """Whether the last row was measured on this very state."""
        return bool(self.rows) and self.rows[-1]["iteration"] == self.iteration


class Callback:
    """The base of all callbacks."""

    def watch(self, now: Moment) -> str | None:
        """Look at the run; the reason to end it here, or None to let it go on."""
        raise NotImplementedError

    def close(self) -> None:
        """The run is over: finished, ended early, interrupted or failed."""


class Audience:
    """The callbacks of one run."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = callbacks
        self.told = 0

    def tell(self, now: Moment) -> str | None:
        """Show a moment (its `fresh` is found here) to everyone; the first reason to end the run, if any.

        Raises ValueError or RuntimeError, in one line that names the callback, for what one of them raises.
        """
        now = replace(now, rows=list(now.rows), fresh=now.rows[self.told :])
        reasons = []
        for callback in self.callbacks:
            with _named(callback):
                reasons.append(callback.watch(now))
        self.told = len(now.rows)
        return next((reason for reason in reasons if reason), None)

    def close(self) -> None:
        """Close everyone, then raise what the first of them raised."""
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
