"""IQL: values of the best actions in the data, by expectile regression, without evaluating other actions.

Source: Kostrikov, Nair, Levine 2021, arXiv 2110.06169; conventions of CORL (see docs/methods/offline.md).
    A      min_i Q_i,targ(s, a) - V(s)
    V      mean |expectile - 1(A < 0)| A^2
    Q_i    1/2 sum_i mean (Q_i(s, a) - r - gamma (1 - terminated) V(s'))^2
    pi     -mean min(exp(beta A), 100) log pi(a | s), with a learning rate that falls to 0 along a cosine
All gradients are taken at the same weights; then target critics move by tau.

Shapes: B rows of a batch, O observation components.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from prospect_rl.agents.api import Array, Dataset, DefaultRun, Key, Tree, hyper
from prospect_rl.agents.continuous import Figures
from prospect_rl.agents.nn.critics import begin_critics, critic_values, squared_error
from prospect_rl.agents.nn.networks import MLP
from prospect_rl.agents.offline.base import ROUNDING, returns_of
from prospect_rl.agents.offline.weighted import Weighted
from prospect_rl.agents.ops.replay import Experience

stop = jax.lax.stop_gradient


@struct.dataclass
class Networks:
    """The networks that are updated together."""

    actor: Tree
    """Weights of the policy network."""
    critics: Tree
    """Weights of the two critics."""
    v: Tree
    """Weights of the state-value network V."""


@struct.dataclass
class Learner:
    """Networks, target critics and optimiser state."""

    networks: Networks
    """Actor, critics and state-value network."""
    target_critics: Tree
    """Weights of the two target critics."""
    optimiser: Tree
    """Optimiser state of all networks."""
    updates: Array
    """[] int32 number of updates so far."""


@dataclass(frozen=True, kw_only=True)
class IQL(Weighted):
    """Implicit Q-learning: offline learning without evaluating actions outside the data."""

    default_run = DefaultRun("maze2d/large", 30_000, "maze2d/large/waypoints")

    expectile: float = hyper(0.7, above=0, below=1, traced=True)
    """Expectile of the values of the data's actions that V learns: .5 is their mean, towards 1 their best."""
    beta: float = hyper(3.0, least=0, traced=True)
    """Inverse temperature of the policy: 0 is behaviour cloning."""
    decay: int = hyper(0, least=0)
    """Number of updates in which the policy's learning rate falls to 0 along a cosine; 0 means that it is constant."""
    scale_rewards: bool = False
    """Whether rewards are multiplied by 1000 and divided by the range of the data's returns, as for MuJoCo's robots."""

    def rewards(self, dataset: Dataset) -> np.ndarray:
        """The rewards, unchanged or scaled; data whose returns are all equal is never scaled."""
        reward, returns = super().rewards(dataset), returns_of(dataset)
        width = float(np.ptp(returns))
        differ = width > ROUNDING * np.abs(returns).max()
        return reward * np.float32(1000 / width) if self.scale_rewards and differ else reward

    @property
    def value_network(self) -> MLP:
        """The network of V: [..., O] -> [..., 1]."""
        return MLP((*self.hidden, 1), torch_init=True)

    def begin(self, key: Key) -> Learner:
        """Random networks; the target critics equal the critics."""
        k_actor, k_critics, k_v = jax.random.split(key, 3)
        obs, critics = jnp.zeros(self.sizes[0]), begin_critics(self, k_critics)
        networks = Networks(self.actor_network.init(k_actor, obs), critics, self.value_network.init(k_v, obs))
        start: Any = self.optimiser.init
        return Learner(networks, critics, start(networks), jnp.int32(0))

    def actor_of(self, learner: Learner) -> Tree:
        """The policy's weights."""
        return learner.networks.actor

    def value(self, v: Tree, obs: Array) -> Array:
        """The state value V(s) [B]."""
        return jnp.asarray(self.value_network.apply(v, obs))[..., 0]

    def loss(self, networks: Networks, targets: Tree, batch: Experience) -> tuple[Array, Figures]:
        """The sum [] of the three losses: each weight has a gradient of only one of them."""
        best = jnp.min(critic_values(self, targets, batch.obs, batch.action), axis=0)
        advantage = best - self.value(networks.v, batch.obs)
        loss_v = expectile_loss(advantage, self.expectile)
        following = stop(self.value(networks.v, batch.next_obs))
        target = batch.reward + self.gamma * (1 - batch.terminated) * following
        values = critic_values(self, networks.critics, batch.obs, batch.action)
        loss_q = squared_error(values, target) / 2
        # beta multiplies here, as a temperature of 1 / beta would be infinite for beta = 0
        loss_pi = self.cloning(networks.actor, batch.obs, batch.action, self.beta * advantage, 1.0)
        figures = {
            "learn/loss_v": loss_v, "learn/loss_critic": loss_q, "learn/loss_actor": loss_pi,
            "learn/value": jnp.mean(values),
        }  # fmt: skip
        return loss_v + loss_q + loss_pi, figures

    def update(self, learner: Learner, batch: Experience, key: Key) -> tuple[Learner, Figures]:
        """One update of all networks and of the target critics."""
        gradient, figures = jax.grad(self.loss, has_aux=True)(learner.networks, learner.target_critics, batch)
        change, optimiser = self.optimiser.update(gradient, learner.optimiser)
        assert isinstance(change, Networks)
        rate = self.rate(learner.updates)
        change = replace(change, actor=jax.tree.map(lambda x: rate * x, change.actor))
        networks = jax.tree.map(jnp.add, learner.networks, change)
        targets = optax.incremental_update(networks.critics, learner.target_critics, self.tau)
        return Learner(networks, targets, optimiser, learner.updates + 1), figures

    def rate(self, updates: Array) -> Array:
        """The policy's learning rate [] after so many updates, as a share of its initial value."""
        if not self.decay:
            return jnp.ones(())
        return (1 + jnp.cos(jnp.pi * jnp.minimum(updates / self.decay, 1.0))) / 2


def expectile_loss(error: Array, expectile: float) -> Array:
    """Mean |expectile - 1(error < 0)| error^2 [] of errors [B]."""
    return jnp.mean(jnp.where(error < 0, 1 - expectile, expectile) * error**2)
