"""Rewards of groups: rollouts from the same start are compared with each other in place of a value function.

`hero_shape` and `hero_weight` are HERO's (2025, arXiv 2510.07242), eq. 3 and 4: scores of a reward model order the
members of a stratum (those that a verifier accepts, or rejects) within a narrow band, so that an accepted answer always
counts more.
Shapes: P groups, N members of a group.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Array


def group_advantage(rewards: Array, *, by_std: bool) -> Array:
    """Advantages [P, N]: rewards [P, N] less their group's mean; `by_std`: divided by its deviation (+ 1e-6).

    The deviation is the sample's (N - 1). Equal rewards have advantages of 0. Source: Shao et al. 2024 (GRPO,
    arXiv 2402.03300), sec. 4.1; without the division Liu et al. 2025 (arXiv 2503.20783).
    """
    apart = rewards - rewards[:, :1]  # exactly 0 where all are equal, whose mean may be off by a rounding error
    centred = apart - jnp.mean(apart, axis=1, keepdims=True)
    return centred / (jnp.std(apart, axis=1, ddof=1, keepdims=True) + 1e-6) if by_std else centred


def shares(right: Array) -> tuple[Array, Array]:
    """(share of groups without a right member, share of those with right ones alone), each [], of bool [P, N]."""
    return jnp.mean(~jnp.any(right, axis=1)), jnp.mean(jnp.all(right, axis=1))


# --- HERO --------------------------------------------------------------------------------------------


def within(scores: Array, kept: Array, tied: float, eps: float = 1e-6) -> Array:
    """Scores [P, N] scaled to 0 ... 1 by the least and the largest of their group among `kept` [P, N].

    `tied`: what equal scores are, and one alone. Scores that are not finite are 0 and scale no others.
    """
    sound = kept & jnp.isfinite(scores)
    low = jnp.min(jnp.where(sound, scores, jnp.inf), axis=1, keepdims=True)
    high = jnp.max(jnp.where(sound, scores, -jnp.inf), axis=1, keepdims=True)
    safe = jnp.where(sound, scores, 0.0)
    low, high = (jnp.where(jnp.isfinite(x), x, 0.0) for x in (low, high))
    scaled = jnp.where(high > low, (safe - low) / (high - low + eps), tied)
    return jnp.where(sound, scaled, 0.0)


def hero_shape(right: Array, scores: Array, *, alpha: float, beta: float, tied: float = 0.0) -> Array:
    """HERO's rewards [P, N], eq. 3: rejected answers in [-alpha, alpha], accepted ones in [1 - beta, 1 + beta].

    right: bool [P, N] what the verifier says; scores: [P, N] of the reward model.
    """
    wrong = -alpha + 2 * alpha * within(scores, ~right, tied)
    return jnp.where(right, 1 - beta + 2 * beta * within(scores, right, tied), wrong)


def spread(scores: Array) -> Array:
    """[P] standard deviation of a group's finite scores [P, N]; 0 without any."""
    sound = jnp.isfinite(scores)
    count = jnp.maximum(jnp.sum(sound, axis=1), 1)
    safe = jnp.where(sound, scores, 0.0)
    mean = jnp.sum(safe, axis=1) / count
    return jnp.sqrt(jnp.sum(jnp.where(sound, (safe - mean[:, None]) ** 2, 0.0), axis=1) / count)


def hero_weight(spreads: Array, usual: Array, *, least: float, most: float, steep: float) -> Array:
    """HERO's weights [P], eq. 4: groups whose scores spread more than `usual` [] count more."""
    return least + (most - least) * jax.nn.sigmoid(steep * (spreads - usual))


def mixed(right: Array) -> Array:
    """Bool [P], groups with right and wrong members."""
    return jnp.any(right, axis=1) & ~jnp.all(right, axis=1)


def auroc(right: Array, scores: Array) -> Array:
    """Probability [] that a right member scores above a wrong one of its group, ties half; mean over mixed groups.

    Without any mixed group it is a half, as by chance.
    """
    above = (scores[:, :, None] > scores[:, None, :]) + 0.5 * (scores[:, :, None] == scores[:, None, :])
    pairs = right[:, :, None] & ~right[:, None, :]
    each = jnp.sum(above * pairs, axis=(1, 2)) / jnp.maximum(jnp.sum(pairs, axis=(1, 2)), 1)
    return over(each, mixed(right), 0.5)


def rank_correlation(x: Array, y: Array) -> Array:
    """[P] Spearman's correlation of x and y [P, N] within groups; 0 where one of them is constant."""

    def ranks(x: Array) -> Array:
        below = jnp.sum(x[:, None, :] < x[:, :, None], axis=2)
        return below + 0.5 * (jnp.sum(x[:, None, :] == x[:, :, None], axis=2) - 1)

    a, b = (r - jnp.mean(r, axis=1, keepdims=True) for r in (ranks(x), ranks(y)))
    size = jnp.sqrt(jnp.sum(a**2, axis=1) * jnp.sum(b**2, axis=1))
    return jnp.sum(a * b, axis=1) / jnp.where(size > 0, size, 1.0)


def over(x: Array, groups: Array, otherwise: float = 0.0) -> Array:
    """Mean [] of x [P] over the chosen groups (bool [P]); `otherwise` if there are none."""
    mean = jnp.sum(jnp.where(groups, x, 0.0)) / jnp.maximum(jnp.sum(groups), 1)
    return jnp.where(jnp.any(groups), mean, otherwise)
