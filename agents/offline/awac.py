"""AWAC: an actor-critic whose actor clones the data's actions, weighted by their advantage.

Source: Nair et al. 2020, arXiv 2006.09359; conventions of CORL (see docs/methods/offline.md).
    y     r + gamma (1 - terminated) min_i Q_i,targ(s', a'),  a' ~ pi(s'), clipped
    Q_i   sum_i mean (Q_i(s, a) - y)^2
    A     min_i Q_i(s, a) - min_i Q_i(s, a~),  a~ ~ pi(s), by the updated critics
    pi    -mean min(exp(A / temperature), 100) log pi(a | s)
Then target critics move by tau.

Shapes: B rows of a batch, A action components.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import struct

from prospect_rl.agents.api import Array, DefaultRun, Key, Tree, hyper
from prospect_rl.agents.continuous import Figures
from prospect_rl.agents.nn.critics import begin_critics, critic_values, squared_error
from prospect_rl.agents.offline.weighted import Weighted
from prospect_rl.agents.ops.replay import Experience


@struct.dataclass
class Learner:
    """Networks, target critics and optimiser states."""

    actor: Tree
    """Weights of the policy network."""
    critics: Tree
    """Weights of the two critics."""
    target_critics: Tree
    """Weights of the two target critics."""
    actor_optimiser: Tree
    """Optimiser state of the actor."""
    critic_optimiser: Tree
    """Optimiser state of both critics."""


@dataclass(frozen=True, kw_only=True)
class AWAC(Weighted):
    """Advantage-weighted actor-critic, offline."""

    default_run = DefaultRun("maze2d/medium", 20_000, "maze2d/medium/waypoints")

    hidden: tuple[int, ...] = hyper((256, 256, 256), least=1)
    """Number of neurons in each hidden layer of all networks."""
    temperature: float = hyper(0.1, above=0, traced=True)
    """Divisor of the advantages: .1 in mazes, 1 elsewhere (lambda in CORL)."""

    @property
    def squashed(self) -> bool:
        """Means are cut."""
        return False

    def begin(self, key: Key) -> Learner:
        """Random networks; the target critics equal the critics."""
        k_actor, k_critics = jax.random.split(key)
        actor, critics = self.actor_network.init(k_actor, jnp.zeros(self.sizes[0])), begin_critics(self, k_critics)
        return Learner(actor, critics, critics, self.optimiser.init(actor), self.optimiser.init(critics))

    def min_value(self, critics: Tree, obs: Array, action: Array) -> Array:
        """The smaller value of the two critics, min_i Q_i(s, a) [B]."""
        return jnp.min(critic_values(self, critics, obs, action), axis=0)

    def sampled(self, actor: Tree, obs: Array, key: Key) -> Array:
        """Actions [B, A] sampled from the policy."""
        return self.policy(actor, obs, jnp.ones(()), key)

    def target(self, learner: Learner, batch: Experience, key: Key) -> Array:
        """The target y [B]; no gradient passes through it."""
        following = self.min_value(
            learner.target_critics, batch.next_obs, self.sampled(learner.actor, batch.next_obs, key)
        )
        return batch.reward + self.gamma * (1 - batch.terminated) * following

    def critic_loss(self, critics: Tree, batch: Experience, target: Array) -> tuple[Array, Figures]:
        """(sum_i mean (Q_i - y)^2 [], metrics)."""
        values = critic_values(self, critics, batch.obs, batch.action)
        loss = squared_error(values, target)
        return loss, {"learn/loss_critic": loss, "learn/value": jnp.mean(values)}

    def actor_loss(self, actor: Tree, critics: Tree, batch: Experience, sampled: Array) -> Array:
        """The weighted cloning loss [] (see the module's docstring); `sampled` [B, A] are the policy's own actions."""
        advantage = self.min_value(critics, batch.obs, batch.action) - self.min_value(critics, batch.obs, sampled)
        return self.cloning(actor, batch.obs, batch.action, advantage, self.temperature)

    def update(self, learner: Learner, batch: Experience, key: Key) -> tuple[Learner, Figures]:
        """One update of the critics, then of the actor, then of the targets."""
        k_target, k_actor = jax.random.split(key)
        target = self.target(learner, batch, k_target)
        gradient, figures = jax.grad(self.critic_loss, has_aux=True)(learner.critics, batch, target)
        change, critic_optimiser = self.optimiser.update(gradient, learner.critic_optimiser)
        critics = jax.tree.map(jnp.add, learner.critics, change)

        sampled = self.sampled(learner.actor, batch.obs, k_actor)
        loss, gradient = jax.value_and_grad(self.actor_loss)(learner.actor, critics, batch, sampled)
        change, actor_optimiser = self.optimiser.update(gradient, learner.actor_optimiser)
        actor = jax.tree.map(jnp.add, learner.actor, change)
        targets = optax.incremental_update(critics, learner.target_critics, self.tau)
        learner = Learner(actor, critics, targets, actor_optimiser, critic_optimiser)
        return learner, figures | {"learn/loss_actor": loss}
