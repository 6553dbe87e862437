"""Generalised advantage estimation with separate termination and truncation flags.

Source: Schulman et al. 2016, arXiv 1506.02438, eq. 16; time limits as in Pardo et al. 2018, arXiv 1712.00378.
Shapes: T steps in time order; `...` any further axes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Array


def advantages(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    *,
    gamma: float,
    lam: float,
) -> Array:
    """GAE(lambda) [T, ...]; all arguments [T, ...].

        delta_t = r_t + gamma (1 - terminated_t) V(next_obs_t) - V(obs_t)
        A_t     = delta_t + gamma lambda (1 - terminated_t) (1 - truncated_t) A_(t+1),   A_T = 0

    next_value: the value of the true successor, before any reset. A termination cuts both the bootstrap and the trace;
    a truncation cuts the trace only, because the next step belongs to another episode. The end of the data is
    bootstrapped too.
    """
    if not reward.shape == value.shape == next_value.shape == terminated.shape == truncated.shape:
        raise ValueError(f"all arguments must have one shape [T, ...], not {reward.shape}, {value.shape}, ...")
    delta = reward + gamma * jnp.where(terminated, 0.0, next_value) - value
    trace = gamma * lam * jnp.where(terminated | truncated, 0.0, 1.0)

    def back(after: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        advantage = row[0] + row[1] * after
        return advantage, advantage

    return jax.lax.scan(back, jnp.zeros(reward.shape[1:]), (delta, trace), reverse=True)[1]
