"""How the key of a call becomes the keys of its episodes, for everything that steps environments.

A scheme says for each use which numbers are folded into the key, one after another:

                     reset       memory      act                  step
    EPISODES         0, e        1, e        2, t, e              3, t, e          `episodes`, and what is shown of them
    SEGMENTS         t, e, 2     t, e, 3     t, e, 0              t, e, 1          `segments`; the first two: of the
    EXAMS            0, e        1, e        2, e, 2t             2, e, 2t + 1         episode after step t
    DEMONSTRATIONS   e           e           e, t                 e, t, 1
    WAYPOINTS        0, e        0, e        t + 1, e             t + 1, e

e: the number of the episode (of the stream, the walker); t: of the step, from 0. Results hang on these numbers: a
scheme is never changed. Streams are opened by EPISODES. An action's key may be split further by who acts.
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
"""(e, t) -> the numbers that are folded in."""


@dataclass(frozen=True)
class Scheme:
    """See the head of this file."""

    reset: Path
    memory: Path
    act: Path
    step: Path


EPISODES = Scheme(lambda e, t: (0, e), lambda e, t: (1, e), lambda e, t: (2, t, e), lambda e, t: (3, t, e))
SEGMENTS = Scheme(lambda e, t: (t, e, 2), lambda e, t: (t, e, 3), lambda e, t: (t, e, 0), lambda e, t: (t, e, 1))
EXAMS = Scheme(lambda e, t: (0, e), lambda e, t: (1, e), lambda e, t: (2, e, 2 * t), lambda e, t: (2, e, 2 * t + 1))
DEMONSTRATIONS = Scheme(lambda e, t: (e,), lambda e, t: (e,), lambda e, t: (e, t), lambda e, t: (e, t, 1))
WAYPOINTS = Scheme(lambda e, t: (0, e), lambda e, t: (0, e), lambda e, t: (t + 1, e), lambda e, t: (t + 1, e))


@struct.dataclass
class Keys:
    """The keys of the episodes of one call."""

    key: Key
    scheme: Scheme = struct.field(pytree_node=False, default=EPISODES)
    start: Key | None = None
    """Where given, episode e is reset with this, e folded in: it begins alike whatever the key."""

    def reset(self, e: Number, t: Number = 0) -> Key:
        """For the environment's first state."""
        return folded(self.key, *self.scheme.reset(e, t)) if self.start is None else folded(self.start, e)

    def memory(self, e: Number, t: Number = 0) -> Key:
        """For the actor's first memory."""
        return folded(self.key, *self.scheme.memory(e, t))

    def act(self, e: Number, t: Number) -> Key:
        """For an action."""
        return folded(self.key, *self.scheme.act(e, t))

    def step(self, e: Number, t: Number) -> Key:
        """For the environment's step."""
        return folded(self.key, *self.scheme.step(e, t))


def folded(key: Key, *numbers: Number) -> Key:
    """The key with these numbers folded in, one after another."""
    for number in numbers:
        key = fold_in(key, number)
    return key
