"""The data of GRPO: how it acts, what it learns, what acting leaves for learning (see grpo.py for the shapes)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array, Discrete, Episodes, Spec, Tree
from prospect_rl.agents.ops.groups import mixed, over, shares
from prospect_rl.agents.ops.minibatches import Figures
from prospect_rl.agents.ops.returns import advantages

WINDOW = 10
"""Number of iterations over which the share of groups without a right member is averaged."""


@struct.dataclass
class Behaviour:
    """Weights and how to act with them."""

    params: Tree
    """Weights of the policy."""
    greedy: Array
    """[] bool whether to take the most likely action instead of a sample."""


@struct.dataclass
class Starved:
    """When the mean share of groups without a right member, over the last iterations, first fell below a half."""

    shares: Array
    """[WINDOW] shares of the last iterations; 1 before the first."""
    until: Array
    """[] int32 number of iterations until then; -1 while it has not been so."""


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
    starved: Starved
    """How long most groups have been without a right member."""


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
    """Advantages of the steps."""
    target: Array
    """Targets of a value function, for an agent that has one."""


def speaks(spec: Spec) -> bool:
    """Whether an environment is a text task."""
    return isinstance(spec.obs, Discrete) and isinstance(spec.action, Discrete) and {"mine", "expert"} <= {*spec.info}


def begin(params: Tree, optimiser: Tree, cold: Tree, variant: Tree) -> State:
    """The state before the first iteration."""
    never = Starved(jnp.ones(WINDOW), jnp.int32(-1))
    return State(params, optimiser, cold, jnp.int32(0), variant, never)


def starved(before: Starved, wrong: Array, updates: Array) -> Starved:
    """After an iteration, the one of number `updates` [] from 0 on, in which a share `wrong` [] had none right."""
    shares = jnp.roll(before.shares, 1).at[0].set(wrong)
    now = (updates + 1 >= WINDOW) & (jnp.mean(shares) < 0.5) & (before.until < 0)
    return Starved(shares, jnp.where(now, updates + 1, before.until))


def rows_of(data: Episodes, advantage: Array, *, text: bool) -> Rows:
    """The steps of all episodes, [B, T], each with the advantage [P, N] of its episode; no targets."""
    assert data.steps is not None
    steps = jax.tree.map(lambda x: jnp.swapaxes(x[:, :, 0], 0, 1), data.steps)
    mine = steps.info["mine"] if text else steps.live
    nothing = jnp.zeros(mine.shape)
    return Rows(
        steps.inputs.obs, steps.inputs.first, steps.extras.choice, steps.extras.log_prob, mine.astype(jnp.float32),
        steps.info["expert"] if text else nothing, jnp.broadcast_to(advantage.reshape(-1, 1), mine.shape), nothing,
    )  # fmt: skip


def mean_over(x: Array, mine: Array, kind: Literal["tokens", "episodes"]) -> Array:
    """The mean [] of x [B, T] over the steps that count (`mine` [B, T], 1 or 0), or over episodes of their means."""
    if kind == "tokens":
        return jnp.sum(x * mine) / jnp.maximum(jnp.sum(mine), 1)
    return jnp.mean(jnp.sum(x * mine, axis=1) / jnp.maximum(jnp.sum(mine, axis=1), 1))


def credits(
    paid: Array, value: Array, last: Array, mean: Callable[[Array], Array], *, gamma: float, lam: float
) -> tuple[Array, Array]:
    """(standardised advantages, targets of the values) of rewards, values and last steps, all [B, T].

    mean: the mean [] over the steps that count.
    """
    each = (paid, value, jnp.roll(value, -1, axis=1), last, jnp.zeros_like(last))
    credit = advantages(*(x.T for x in each), gamma=gamma, lam=lam).T
    centre = mean(credit)
    spread = jnp.sqrt(mean((credit - centre) ** 2))
    return (credit - centre) / (spread + 1e-8), credit + value


def losses(loss: Array, entropy: Array, clipped: Array, kl: Array) -> Figures:
    """Metrics of a gradient step."""
    return {
        "learn/loss_policy": loss, "learn/entropy": entropy, "learn/clipped": clipped, "learn/kl": kl,
    }  # fmt: skip


def group_figures(truth: Array, verdicts: Array, reward: Array, advantage: Array) -> Figures:
    """Metrics of groups, of what is right and what is accepted (bool), rewards and advantages, all [P, N]."""
    wrong, right = shares(truth)
    size = jnp.mean(jnp.abs(advantage), axis=1)
    return {
        "groups/wrong": wrong, "groups/right": right, "groups/success": jnp.mean(truth),
        "groups/reward": jnp.mean(reward), "groups/advantage": jnp.mean(size),
        "groups/advantage_none": over(size, ~jnp.any(verdicts, axis=1)),
        "groups/advantage_some": over(size, mixed(verdicts)),
        "groups/advantage_all": over(size, jnp.all(verdicts, axis=1)),
    }  # fmt: skip
