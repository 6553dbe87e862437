"""States of episodes at evenly spaced steps, for pictures: [P, E, frames, ...]."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Array, Tree
from prospect_rl.envs.rollout.kernel import select


def frame_steps(horizon: int, frames: int) -> np.ndarray:
    """The steps [frames] after which a picture is kept: evenly spaced, the last one at the horizon (1-based)."""
    if frames >= horizon:
        raise ValueError(f"frames must be fewer than the {horizon} steps of an episode, not {frames}")
    return np.ceil(np.linspace(0, horizon - 1, frames + 1))[1:].astype(np.int32) + 1


def opened(state: Tree, slots: np.ndarray) -> Tree:
    """An album of states [P, E, ...], with the first of them in every slot."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x[:, :, None], (*x.shape[:2], len(slots), *x.shape[2:])), state)


def put(album: Tree, slots: np.ndarray, state: Tree, t: Array) -> Tree:
    """With the states after step t. A slot is written at every step until its own: the last write is what stays."""
    slot = jnp.searchsorted(jnp.asarray(slots), t + 1)
    return jax.tree.map(lambda a, s: a.at[:, :, slot].set(s, mode="drop"), album, state)


def closed(album: Tree, slots: np.ndarray, state: Tree, last: Array) -> Tree:
    """After `last` steps: where every episode had ended before a slot's step came, the slot repeats the last state."""
    passed = (jnp.asarray(slots) > last)[None, None]
    return jax.tree.map(lambda a, s: select(jnp.broadcast_to(passed, a.shape[:3]), s[:, :, None], a), album, state)
