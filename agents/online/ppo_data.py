"""The data of PPO: how it acts, what it learns, what acting leaves for learning (see ppo.py for the shapes)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import (
    Array,
    Tree,
)  # fmt: skip
from prospect_rl.agents.ops import normalise


@struct.dataclass
class Behaviour:
    """Policy weights and how to act with them."""

    params: Tree
    """Weights of policy and value network."""
    seen: normalise.Moments | None
    """Running moments of the observations, if these are normalised."""
    greedy: Array
    """[] bool whether to take the most likely action instead of a sample."""


@struct.dataclass
class State:
    """Weights, optimiser state, running statistics and the state of the reward hook."""

    params: Tree
    """Weights of policy and value network."""
    optimiser: Tree
    """State of the Adam optimiser."""
    seen: normalise.Moments | None
    """Running moments of the observations, if these are normalised."""
    scale: normalise.Scale | None
    """Running scale of the rewards, if these are normalised."""
    steps: Array
    """[] int32 number of environment steps so far."""
    variant: Tree
    """State of a subclass's reward hook (see `PPO.begin`)."""


@struct.dataclass
class Extras:
    """Values stored while acting, for learning."""

    choice: Array
    """Sampled action: [A] before it is scaled and clipped to its bounds, or a discrete action []."""
    log_prob: Array
    """[] log probability of the sampled action."""
    value: Array
    """[] predicted value of the observation."""


@struct.dataclass
class Rows:
    """Training data of a pass, some of it as in `Extras`: leading [T * N], or [N, T] where recurrent."""

    obs: Tree
    first: Array
    """Whether an episode starts with this step."""
    choice: Array
    log_prob: Array
    value: Array
    advantage: Array
    """Advantages estimated by GAE (A)."""
    target: Array
    """Targets of the value network (R)."""


def arranged(rows: Rows, streams: bool) -> Rows:
    """Rows of a segment, leading [T, N], as whole streams [N, T], or one after the other [T * N]."""
    if streams:
        return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), rows)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)
