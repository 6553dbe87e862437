"""Environment states at evenly spaced steps of episodes, for rendering: [P, E, frames, ...]."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Array, Tree
from prospect_rl.envs.rollout.kernel import select


def frame_steps(horizon: int, frames: int) -> np.ndarray:
    """Return the steps (counted from 1) after which a state is kept: evenly spaced, the last one at the horizon.

    Args:
        horizon: Maximum length of an episode in steps.
        frames: Number of states to keep.

    Returns:
        Int32 [frames].

    Raises:
        ValueError: If `frames` is not below `horizon`.
    """
    if frames >= horizon:
        raise ValueError(f"frames must be fewer than the {horizon} steps of an episode, not {frames}")
    return np.ceil(np.linspace(0, horizon - 1, frames + 1))[1:].astype(np.int32) + 1


def opened(state: Tree, slots: np.ndarray) -> Tree:
    """Return an album [P, E, frames, ...] with the initial states [P, E, ...] in every slot."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x[:, :, None], (*x.shape[:2], len(slots), *x.shape[2:])), state)


def put(album: Tree, slots: np.ndarray, state: Tree, t: Array) -> Tree:
    """Write the states after step t. A slot is written at every step up to its own, so that the last write remains."""
    slot = jnp.searchsorted(jnp.asarray(slots), t + 1)
    return jax.tree.map(lambda a, s: a.at[:, :, slot].set(s, mode="drop"), album, state)


def closed(album: Tree, slots: np.ndarray, state: Tree, last: Array) -> Tree:
    """Complete an album after `last` steps: slots of steps that were never reached repeat the last state."""
    passed = (jnp.asarray(slots) > last)[None, None]
    return jax.tree.map(lambda a, s: select(jnp.broadcast_to(passed, a.shape[:3]), s[:, :, None], a), album, state)
