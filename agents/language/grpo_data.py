"""The data of GRPO: how it acts, what it learns, what acting leaves for learning (see grpo.py for the shapes)."""

from __future__ import annotations

from flax import struct

from prospect_rl.agents.api import Array, Tree


@struct.dataclass
class Behaviour:
    """Weights and how to act with them."""

    params: Tree
    """Weights of the policy."""
    greedy: Array
    """[] bool whether to take the most likely action instead of a sample."""


@struct.dataclass
class State:
    """Weights, optimiser, and the state of the reward hook."""

    params: Tree
    """Weights of the policy."""
    optimiser: Tree
    """State of the Adam optimiser."""
    cold: Tree
    """Weights after the cold start, if the policy is held near them."""
    updates: Array
    """[] int32 number of iterations so far."""
    variant: Tree
    """State of a subclass's reward hook (see `GRPO.begin`)."""


@struct.dataclass
class Extras:
    """Values stored while acting, for learning."""

    choice: Array
    """Sampled action: [A] before it is scaled and clipped to its bounds, or a discrete action []."""
    log_prob: Array
    """[] log probability of the sampled action."""


@struct.dataclass
class Rows:
    """The episodes of an iteration, leading [B], steps [B, T]."""

    obs: Tree
    first: Array
    choice: Array
    log_prob: Array
    mine: Array
    """Whether the step's action counted."""
    expert: Array
    """The expert's action in a text task."""
    advantage: Array
    """[B] advantages of the episodes."""
