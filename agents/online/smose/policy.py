"""The policy of SMoSE as a law that people can read: a linear router, and linear experts of which one acts at a time.

    z = W s + b,   p = softmax(z),   m = argmax p
    trained   tanh(p_m (mu_m s + c_m)), scaled from [-1, 1] to the action's bounds: what training optimises
    linear    mu_m s + c_m, clipped to [-1, 1] and scaled likewise: the law as it is printed

For discrete actions the experts give logits, and both readings take the largest of p_m (mu_m s + c_m): the same action.
Everything here is for ONE observation [D], as a flat vector. Shapes: D features, M experts, A components or choices.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array, Box, Tree


@struct.dataclass
class Law:
    """Router and experts, and the bounds of the actions."""

    router_kernel: Array
    """[D, M] weights of the router."""
    router_bias: Array
    """[M] biases of the router."""
    mean_kernel: Array
    """[M, D, A] weights of the experts' means, or of their logits."""
    mean_bias: Array
    """[M, A] biases of the experts' means, or of their logits."""
    log_std_kernel: Array | None = None
    """[M, D, A] weights of the experts' log standard deviations; None where these do not depend on the observation."""
    log_std_bias: Array | None = None
    """[M, A] biases of the experts' log standard deviations, or None."""
    low: Array | None = None
    """[A] lower bounds of the action; None for discrete actions."""
    high: Array | None = None
    """[A] upper bounds of the action; None for discrete actions."""
    start: int = struct.field(pytree_node=False, default=0)
    """The first of discrete actions."""
    gate: bool = struct.field(pytree_node=False, default=True)
    """Whether the winner's probability scales what its expert gives; it counts as 1 otherwise."""


def law_of(params: Tree, space: Any = None, *, gate: bool = True) -> Law:
    """The law of the weights of an agent's actor.

    params: the variables of the actor, or a behaviour (what `exploit` gave). space: the action space, [-1, 1] if None.
    """
    params = getattr(params, "actor", getattr(params, "params", params))
    parts = params["params"]
    parts = parts.get("policy", parts)  # of PPO's network
    router, mean, log_std = parts["router"], parts["mean"], parts.get("log_std")
    spread = (None, None) if log_std is None else by_expert(log_std, router)
    law = Law(router["kernel"], router["bias"], *by_expert(mean, router), *spread, gate=gate)
    if space is not None and not isinstance(space, Box):
        return replace(law, start=space.start)
    ones = jnp.ones(law.mean_bias.shape[1:])
    low, high = (-ones, ones) if space is None else map(jnp.asarray, space.bounds())
    return replace(law, low=low, high=high)


def by_expert(layer: Tree, router: Tree) -> tuple[Array, Array]:
    """The layer of all experts, kernel [D, M * A] and bias [M * A], as one of each: [M, D, A] and [M, A]."""
    features, experts = router["kernel"].shape
    kernel = layer["kernel"].reshape(features, experts, -1)
    return jnp.swapaxes(kernel, 0, 1), layer["bias"].reshape(experts, -1)


def weights_of(law: Law) -> list[Array]:
    """Kernels and biases of router and experts."""
    every = law.router_kernel, law.router_bias, law.mean_kernel, law.mean_bias, law.log_std_kernel, law.log_std_bias
    return [x for x in every if x is not None]


def is_finite(law: Law) -> bool:
    """Whether all weights are finite numbers."""
    return all(bool(jnp.isfinite(x).all()) for x in weights_of(law))


def probabilities(law: Law, obs: Array) -> Array:
    """The experts' probabilities p [M]."""
    return jax.nn.softmax(obs @ law.router_kernel + law.router_bias)


def route(law: Law, obs: Array) -> tuple[Array, Array]:
    """(the expert that acts, int32 [], its probability [])."""
    p = probabilities(law, obs)
    expert = jnp.argmax(p).astype(jnp.int32)
    return expert, p[expert]


def printed(law: Law, obs: Array, expert: Array | int) -> Array:
    """What an expert's law gives [A]: mu s + c."""
    return obs @ law.mean_kernel[expert] + law.mean_bias[expert]


def act_trained(law: Law, obs: Array, expert: Array | int | None = None) -> Array:
    """The action [A] as trained; by another `expert` than the router's with that one's probability."""
    p = probabilities(law, obs)
    expert = jnp.argmax(p) if expert is None else expert
    mean = printed(law, obs, expert) * (p[expert] if law.gate else 1.0)
    return choice(law, mean) if law.low is None else scaled(law, jnp.tanh(mean))


def act_linear(law: Law, obs: Array, expert: Array | int | None = None) -> Array:
    """The action [A] of the law as it is printed, clipped to the bounds; by another `expert` than the router's."""
    mean = printed(law, obs, route(law, obs)[0] if expert is None else expert)
    return choice(law, mean) if law.low is None else scaled(law, jnp.clip(mean, -1, 1))


def choice(law: Law, logits: Array) -> Array:
    """The likeliest of discrete actions, int32 []."""
    return (jnp.argmax(logits) + law.start).astype(jnp.int32)


def scaled(law: Law, action: Array) -> Array:
    """An action [A] in [-1, 1] within the bounds."""
    assert law.low is not None and law.high is not None
    return jnp.clip((law.low + law.high) / 2 + (law.high - law.low) / 2 * action, law.low, law.high)
