"""The three kernels that bring experience to every agent, from every environment alike.

    segments   continue N streams for T steps                         (agents that want `Segments`)
    episodes   whole fresh episodes of P policies, E of each           (agents that want `Rollouts`)
    batches    rows or windows of a dataset                            (agents that want `Batches`)

All are pure and meant to be called under `jit`. Whatever steps an environment does so by `kernel.advance`: one step of
one episode. Every random number comes from the key that is handed in, by the numbers of a step and of an episode (see
`keys`): no result depends on how much else runs beside it, and keys that an environment or agent ignores cost nothing
(XLA removes them).
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
