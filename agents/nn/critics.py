"""Twin critics: Q(s, a) of an observation and an action, and their squared error."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key, Tree
from prospect_rl.agents.continuous import Continuous
from prospect_rl.agents.nn.networks import MLP


def critic_network(agent: Continuous) -> MLP:
    """The network of one critic: [O + A] -> [1]."""
    return MLP((*agent.hidden, 1), torch_init=True)


def begin_critics(agent: Continuous, key: Key) -> tuple[Tree, Tree]:
    """Two random critics as separate trees: on a CPU, products with a leading axis of two cost transposes."""
    one, two = (critic_network(agent).init(k, jnp.zeros(sum(agent.sizes))) for k in jax.random.split(key))
    return one, two


def critic_values(agent: Continuous, critics: Sequence[Tree], obs: Array, action: Array) -> Array:
    """Q_i(s, a) [n, B] of n critics for obs [B, O] and action [B, A]."""
    pair = jnp.concatenate([obs, action], axis=-1)
    return jnp.stack([jnp.asarray(critic_network(agent).apply(critic, pair))[..., 0] for critic in critics])


def squared_error(values: Array, target: Array) -> Array:
    """sum_i mean (Q_i - y)^2 [] of values [2, B] and target [B]."""
    return jnp.sum(jnp.mean((values - target[None]) ** 2, axis=1))
