"""Critiques as arrays, and the rewards that are made of them; pure functions inside `jit`.

A critique is spans over the steps of an episode, each good or bad. Modes of reward, for a score c_t of each step:
    additive       R at the last step + c_t                                         Cao et al. 2024 (arXiv 2401.07382)
    pbrs           R at the last step + gamma Phi_(t+1) - Phi_t,  Phi_t = c_0 + ... + c_(t-1),  0 at the end
                   (Ng, Harada and Russell 1999; a potential of 0 at the end: Grzes 2017); the best policy stays best
    redistribute   R s_t with s_t >= 0, sum s_t = 1, on the steps whose score has R's sign: the return stays as it is
                   (in the manner of RUDDER, Arjona-Medina et al. 2019, arXiv 1806.07857)
Shapes: B episodes, T steps, K spans of a critique.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array

Mode = Literal["additive", "pbrs", "redistribute"]
SAID, EMPTY, UNPARSABLE, MISSING = range(4)
"""What became of a critique: it has spans, it has none, it could not be read, it never came."""
Span = tuple[int, int, int]
"""First step, step after the last, 1 if good and -1 if bad."""


@struct.dataclass
class Critique:
    """What a critic says of each episode."""

    start: Array
    """[B, K] int32 first step of a span."""
    end: Array
    """[B, K] int32 the step after its last one."""
    polarity: Array
    """[B, K] int32 1 for a good span, -1 for a bad one, 0 where there is none."""
    status: Array
    """[B] int32 SAID, EMPTY, UNPARSABLE or MISSING."""


def marks(critique: Critique, steps: int) -> tuple[Array, Array]:
    """(steps inside a good span, steps inside a bad one), bool [B, T] each."""
    t = jnp.arange(steps)
    inside = (critique.start[..., None] <= t) & (t < critique.end[..., None])
    good, bad = (jnp.any(inside & (sign * critique.polarity[..., None] > 0), axis=1) for sign in (1, -1))
    return good, bad


def shaped(score: Array, returns: Array, last: Array, mode: Mode, gamma: float) -> Array:
    """Rewards [B, T] of scores [B, T] and returns [B]; `last` [B, T] is the last step of each episode."""
    paid = jnp.where(last, returns[:, None], 0.0)
    if mode == "additive":
        return paid + score
    if mode == "pbrs":
        after = jnp.cumsum(score, axis=1)
        return paid + gamma * jnp.where(last, 0.0, after) - (after - score)
    praised = jnp.maximum(score * jnp.sign(returns)[:, None], 0.0)
    total = jnp.sum(praised, axis=1, keepdims=True)
    return jnp.where(total > 0, returns[:, None] * praised / jnp.where(total > 0, total, 1.0), paid)


def stacked(critiques: Sequence[tuple[Sequence[Span], int]], capacity: int) -> Critique:
    """Critiques, each (spans, status), as arrays with room for so many spans [K], on the host.

    Raises ValueError where there is too little room.
    """
    if (most := max(len(spans) for spans, _ in critiques)) > capacity:
        raise ValueError(f"a critique has {most} spans, but there is room for {capacity}")
    rows = np.zeros((len(critiques), capacity, 3), np.int32)
    for row, (spans, _) in zip(rows, critiques, strict=True):
        row[: len(spans)] = np.reshape(spans, (-1, 3))
    status = jnp.asarray([status for _, status in critiques], jnp.int32)
    start, end, polarity = jnp.asarray(np.moveaxis(rows, -1, 0))
    return Critique(start, end, polarity, status)
