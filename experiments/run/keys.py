"""How a seed becomes a key: one stream of random numbers for each purpose, numbered by iteration or mark."""

from __future__ import annotations

from typing import Any, Literal

import jax

from prospect_rl.agents.api import Agent, Rollouts, wants_of
from prospect_rl.envs.api import Array, Key

TRAIN, INIT, EVAL, START, EXAM = range(5)
"""The independent streams of random numbers."""


def stream(name: int, seed: Array | int, number: Array | int = 0) -> Key:
    """The random key for a number (an iteration, a mark) in one stream of one seed."""
    key = jax.random.key(0)
    for part in (name, seed, number):
        key = jax.random.fold_in(key, part)
    return key


def starts_of(agent: Agent) -> Literal["fixed", "fresh"]:
    """Start states of an agent's evaluation episodes: the same kind as in its training episodes."""
    want = wants_of(agent)[0]
    return want.starts if isinstance(want, Rollouts) else "fresh"


def evaluation(agent: Agent, seed: Array | int, mark: Array | int = 0) -> dict[str, Any]:
    """What of the arguments of `rollout.episodes` decides the episodes of a seed's evaluation at a mark, by its number.

    What is shown of an evaluation is made with the same ones.
    """
    return {"key": stream(EVAL, seed, mark), "start": stream(START, seed), "starts": starts_of(agent)}
