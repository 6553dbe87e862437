"""Sorting by problems that are easy or hard to verify: the same truth, but of hard ones most right answers are missed.

An answer may be written in five ways, plain or after one of four opening words. Of an easy problem a lenient verifier
accepts three of them, of a hard one a strict verifier accepts the plain one alone. Neither accepts a wrong answer.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key, Step, static
from prospect_rl.envs.text.task import MARK, OPENINGS, TextState
from prospect_rl.envs.text.tasks import Sort

LENIENT = 2
"""Number of opening words that the lenient verifier reads past."""


@struct.dataclass
class Regime(Sort):
    """Sort digits, see `text/sort`; a share of the problems is easy to verify, the others are hard."""

    id: str = static("text/sort_mixed")
    """The registered id of the task."""
    verifier: Literal["strict"] = static("strict")
    """The verifier of hard problems."""
    forms: int = static(1 + len(OPENINGS), least=1 + LENIENT, most=1 + len(OPENINGS))
    """Number of ways in which an answer may be written: plain, or after one of the opening words."""
    easy: float = static(0.5, least=0, most=1)
    """Share of the problems that are easy to verify, by the sum of their digits."""

    def step(self, state: TextState, action: Array, key: Key) -> tuple[TextState, Step]:
        """Speak the problem's next token, or the action; at the last step a verdict by the kind of the problem."""
        after, step = super().step(state, action, key)
        problem = state.text[: self.problem_length - 1]
        kind = (jnp.sum(problem * jnp.arange(1, problem.size + 1)) * 37) % 100
        first = after.text[self.problem_length]
        lenient = step.info["success"] & ((first <= MARK + LENIENT) | (first >= self.first_symbol))
        verified = jnp.where(kind < 100 * self.easy, lenient, step.info["verified"])
        return after, replace(step, reward=verified.astype(jnp.float32), info=step.info | {"verified": verified})


sort_verifiable = partial(Regime, id="text/sort_verifiable", easy=1.0)
sort_hard = partial(Regime, id="text/sort_hard", easy=0.0)
sort_mixed = Regime
