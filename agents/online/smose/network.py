"""The networks of SMoSE: a linear router and linear experts, all of them evaluated at once, of which one counts.

Shapes: D features, M experts, A action components or choices; `...` any leading axes.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Tree
from prospect_rl.agents.nn.networks import torch_uniform

LOG_STD = (-5.0, 2.0)
"""Bounds of the logarithm of the policy's standard deviation."""


def linear(width: int, fan_in: int, name: str | None = None) -> nn.Dense:
    """A dense layer that starts as torch's Linear does."""
    start = torch_uniform(fan_in)
    return nn.Dense(width, kernel_init=start, bias_init=start, name=name)


def top_one(logits: Array) -> tuple[Array, Array]:
    """(one-hot choice of the winner [..., M], its probability [...]).

    The probability is the only path of a gradient to the router: p (1 - p) to the winner's logit, -p p_j to each other.
    """
    winner = jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1])
    return winner, jnp.sum(jax.nn.softmax(logits) * winner, axis=-1)


def chosen(outputs: Array, winner: Array) -> Array:
    """The winner's [..., A] of all experts' outputs [..., M * A], one expert after the other."""
    return jnp.einsum("...ma,...m->...a", outputs.reshape(*winner.shape, -1), winner)


def squash(log_std: Array) -> Array:
    """Numbers as logarithms of standard deviations within `LOG_STD`, by a tanh."""
    low, high = LOG_STD
    return low + (high - low) / 2 * (jnp.tanh(log_std) + 1)


class MixtureActor(nn.Module):
    """The policy of `smose`: [..., D] -> (mean, log std), both [..., A], of the action before its tanh."""

    experts: int
    """Number of experts (M)."""
    size: int
    """Number of action components (A)."""
    gate: bool = True
    """Whether the winner's probability scales what its expert gives; it counts as 1 otherwise."""

    @nn.compact
    def __call__(self, obs: Array, noise: Array | float | None = None) -> tuple[Array, Array]:
        """The distribution at observations; `noise` [..., M] is added to the router's logits."""
        fan_in, width = obs.shape[-1], self.experts * self.size
        logits = linear(self.experts, fan_in, "router")(obs)
        winner, p = top_one(logits if noise is None else logits + noise)
        gate = p[..., None] if self.gate else 1.0
        mean, raw = (gate * chosen(linear(width, fan_in, name)(obs), winner) for name in ("mean", "log_std"))
        return mean, squash(raw)


def router_logits(router: Tree, x: Array) -> Array:
    """The logits [..., M] for features [..., D] by the weights of a router, outside of its network."""
    return x @ router["kernel"] + router["bias"]


class MixtureHead(nn.Module):
    """The policy of `smose_ppo`: [D] -> logits, or the mean of an action [A], for one example."""

    experts: int
    """Number of experts (M)."""
    outputs: int
    """Number of discrete actions, or of action components (A)."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """What the winner's expert gives, times its probability."""
        winner, p = top_one(linear(self.experts, x.shape[-1], "router")(x))
        return p * chosen(linear(self.experts * self.outputs, x.shape[-1], "mean")(x), winner)
