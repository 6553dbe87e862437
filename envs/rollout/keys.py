"""Derivation of the keys of episodes from the key of a call, for all code that steps environments.

A scheme gives, for each use, the numbers that are folded into the key, one after another:

                     reset       memory      act                  step
    EPISODES         0, e        1, e        2, t, e              3, t, e          `episodes`, and their rendering
    SEGMENTS         t, e, 2     t, e, 3     t, e, 0              t, e, 1          `segments`; reset and memory: of the
    EXAMS            0, e        1, e        2, e, 2t             2, e, 2t + 1         episode that follows step t
    DEMONSTRATIONS   e           (none)      e, t                 e, t, 1
    WAYPOINTS        0, e        0, e, 1     t + 1, e             t + 1, e

e is the number of the episode (or stream, or walker), t that of the step, from 0. Results depend on these numbers, so a
scheme must never be changed. Streams are started with EPISODES. An agent may split the key of an action further.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from flax import struct

from prospect_rl.envs.api import Array, Key

fold_in = jax.random.fold_in
Number = Array | int
Path = Callable[[Any, Any], tuple[Number, ...]]
"""(e, t) -> the numbers to fold in."""


@dataclass(frozen=True)
class Scheme:
    """The numbers to fold into a key, for each use; see the module."""

    reset: Path
    memory: Path
    act: Path
    step: Path


EPISODES = Scheme(lambda e, t: (0, e), lambda e, t: (1, e), lambda e, t: (2, t, e), lambda e, t: (3, t, e))
SEGMENTS = Scheme(lambda e, t: (t, e, 2), lambda e, t: (t, e, 3), lambda e, t: (t, e, 0), lambda e, t: (t, e, 1))
EXAMS = Scheme(lambda e, t: (0, e), lambda e, t: (1, e), lambda e, t: (2, e, 2 * t), lambda e, t: (2, e, 2 * t + 1))
DEMONSTRATIONS = Scheme(lambda e, t: (e,), lambda e, t: (), lambda e, t: (e, t), lambda e, t: (e, t, 1))
WAYPOINTS = Scheme(lambda e, t: (0, e), lambda e, t: (0, e, 1), lambda e, t: (t + 1, e), lambda e, t: (t + 1, e))


@struct.dataclass
class Keys:
    """The keys of the episodes of one call."""

    key: Key
    scheme: Scheme = struct.field(pytree_node=False, default=EPISODES)
    start: Key | None = None
    """If given, episode e is reset with this key, with e folded in, so that its start does not depend on `key`."""

    def reset(self, e: Number, t: Number = 0) -> Key:
        """Return the key of the environment's reset."""
        return folded(self.key, *self.scheme.reset(e, t)) if self.start is None else folded(self.start, e)

    def memory(self, e: Number, t: Number = 0) -> Key:
        """Return the key of the actor's initial memory."""
        return folded(self.key, *self.scheme.memory(e, t))

    def act(self, e: Number, t: Number) -> Key:
        """Return the key of an action."""
        return folded(self.key, *self.scheme.act(e, t))

    def step(self, e: Number, t: Number) -> Key:
        """Return the key of the environment's step."""
        return folded(self.key, *self.scheme.step(e, t))


def folded(key: Key, *numbers: Number) -> Key:
    """Fold numbers into a key, one after another."""
    for number in numbers:
        key = fold_in(key, number)
    return key
