"""Exact dynamic programming in Markov decision processes that fit into tables.

Shapes: S states, A actions, H steps. transition [S, A, S] sums to 1 over its last axis; reward [S, A].
All functions are differentiable in their tables (a maximum through the action that attains it).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array


def plan(transition: Array, reward: Array, horizon: int) -> tuple[Array, Array]:
    """(values [S], policy [H, S] int32) of the best plan for `horizon` undiscounted steps; ties: the first action."""

    def back(values: Array, _: None) -> tuple[Array, Array]:
        returns = reward + jnp.matmul(transition, values, precision="highest")
        return jnp.max(returns, axis=1), jnp.argmax(returns, axis=1).astype(jnp.int32)

    return jax.lax.scan(back, jnp.zeros(reward.shape[0]), None, length=horizon, reverse=True)


def discounted_values(transition: Array, reward: Array, policy: Array, gamma: float) -> Array:
    """[S] the values V that solve V = r_pi + gamma P_pi V for a stochastic policy [S, A]."""
    chain, gain = jnp.einsum("sa,sat->st", policy, transition, precision="highest"), jnp.sum(policy * reward, axis=1)
    return jnp.linalg.solve(jnp.eye(len(gain)) - gamma * chain, gain)


def occupancy(transition: Array, policy: Array, start: Array, gamma: float) -> Array:
    """[S, A] the sum over t of gamma^t P(s_t, a_t), for start states drawn from [S]; it sums to 1 / (1 - gamma)."""
    chain = jnp.einsum("sa,sat->st", policy, transition, precision="highest")
    visits = jnp.linalg.solve((jnp.eye(len(start)) - gamma * chain).T, start)
    return visits[:, None] * policy


def value_gradient(logits: Array, reward: Array, policy: Array, start: Array, gamma: float) -> Array:
    """[S, A, S] d V_P(start) / d logits of P = softmax(logits) for a fixed policy, in score-function form.

    E[(r + gamma V(s') - Q(s, a)) d log P(s' | s, a)] over the occupancy of (s, a) and the model's own s': the
    expectation that MEX-MB samples (see `agents.online.mex.model_based`).
    """
    transition = jax.nn.softmax(logits)
    values = discounted_values(transition, reward, policy, gamma)
    target = reward[..., None] + gamma * values  # [S, A, S]; its mean over s' is Q(s, a)
    gap = target - jnp.sum(transition * target, axis=2, keepdims=True)
    # sum over s' of P gap d log P(s') / d logits: softmax's Jacobian leaves P gap, since the gap's mean under P is 0
    return occupancy(transition, policy, start, gamma)[..., None] * transition * gap
