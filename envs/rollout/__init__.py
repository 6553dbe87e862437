"""Three functions that collect experience for every agent, from every environment.

    segments   continue N streams for T steps                    (agents that want `Segments`)
    episodes   E whole new episodes of each of P policies        (agents that want `Rollouts`)
    batches    rows or windows of a dataset                      (agents that want `Batches`)

All are pure and meant to be called under `jit`. All code that steps an environment uses `kernel.advance`, one step of
one episode. Every random number is derived from the given key by the numbers of the step and the episode (see `keys`):
no result depends on what else runs in the same batch, and keys that an environment or agent ignores cost nothing (XLA
removes them).
"""

from prospect_rl.envs.rollout.album import frame_steps
from prospect_rl.envs.rollout.batch import batches
from prospect_rl.envs.rollout.episode import episodes, info_shapes
from prospect_rl.envs.rollout.kernel import (
    Stream,
    acting,
    advance,
    begin,
    first_inputs,
    fresh_memory,
    next_inputs,
    reset_if,
    select,
    step_if,
)
from prospect_rl.envs.rollout.keys import Keys, fold_in
from prospect_rl.envs.rollout.streams import Streams, open_streams, segments

__all__ = [
    "Keys", "Stream", "Streams", "acting", "advance", "batches", "begin", "episodes", "first_inputs", "fold_in",
    "frame_steps", "fresh_memory", "info_shapes", "next_inputs", "open_streams", "reset_if", "segments", "select",
    "step_if",
]  # fmt: skip
