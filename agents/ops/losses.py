"""The policy loss and the value loss of PPO; each mean is over all axes.

Source: Schulman et al. 2017, arXiv 1707.06347, eq. 7 and 9; the clipped value loss as in the authors' code.
"""

from __future__ import annotations

import jax.numpy as jnp

from prospect_rl.envs.api import Array


def clipped_policy(ratio: Array, advantage: Array, clip: float) -> Array:
    """-mean min(rho A, clip(rho, 1 - clip, 1 + clip) A) [] of ratios and advantages [...]."""
    near = jnp.clip(ratio, 1 - clip, 1 + clip)
    return -jnp.mean(jnp.minimum(ratio * advantage, near * advantage))


def clipped_value(value: Array, old: Array, target: Array, clip: float) -> Array:
    """Mean squared error [] of values [...]; `clip` above 0 limits the gain from moving away from the `old` value.

    The larger of two errors counts: that of the value, and that of the value clipped to within `clip` of the old one.
    """
    error = (value - target) ** 2
    if clip:
        error = jnp.maximum(error, (old + jnp.clip(value - old, -clip, clip) - target) ** 2)
    return jnp.mean(error)
