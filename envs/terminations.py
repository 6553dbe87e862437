"""Rules of termination that several environments share (see `Spec.termination`)."""

from __future__ import annotations

import jax.numpy as jnp

from prospect_rl.envs.api import Array


def never(obs: Array, action: Array, next_obs: Array) -> Array:
    """`Spec.termination` of tasks that only a time limit ends."""
    return jnp.zeros((), bool)
