"""TD3: deterministic policy gradients with twin critics, smoothed targets and a delayed actor.

Source: Fujimoto, van Hoof, Meger 2018, arXiv 1802.09477; conventions of the authors' code (sfujim/TD3, TD3.py).
    a' = clip(pi_targ(s') + clip(policy_noise N(0, 1), -noise_clip, noise_clip), -1, 1)
    y  = r + gamma (1 - terminated) min_i Q_i,targ(s', a')
    critics: Adam on sum_i mean (Q_i(s, a) - y)^2, without a factor 1/2
    every `policy_delay` updates:  actor: Adam on -mean Q_1(s, pi(s)),  then all targets move by tau

Shapes: B rows of a batch, O observation and A action components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import optax
from flax import struct

from prospect_rl.agents.api import Array, DefaultRun, Key, Tree, hyper
from prospect_rl.agents.continuous import Continuous, Figures, apply_if
from prospect_rl.agents.nn.critics import begin_critics, critic_values, squared_error
from prospect_rl.agents.nn.networks import MLP
from prospect_rl.agents.online.off_policy import OffPolicy
from prospect_rl.agents.ops.replay import Experience


@struct.dataclass
class Learner:
    """Networks, target networks and optimiser states."""

    actor: Tree
    """Weights of the policy network."""
    critics: Tree
    """Weights of the two critics."""
    target_actor: Tree
    """Weights of the target policy network."""
    target_critics: Tree
    """Weights of the two target critics."""
    actor_optimiser: Tree
    """Optimiser state of the actor."""
    critic_optimiser: Tree
    """Optimiser state of both critics."""
    actor_loss: Array
    """[] loss at the last update of the actor."""
    updates: Array
    """[] int32 number of critic updates so far."""


@dataclass(frozen=True, kw_only=True)
class TD3Updates(Continuous):
    """The updates of TD3, online or offline."""

    tau: float = hyper(0.005, above=0, most=1, traced=True)
    """Share of the distance that target networks move towards the trained networks in an update (0-1)."""
    learning_rate: float = hyper(3e-4, above=0, traced=True)
    """Learning rate of the Adam optimisers of the actor and the critics."""
    policy_noise: float = hyper(0.2, least=0, traced=True)
    """Standard deviation of the noise that is added to target actions, which lie in [-1, 1]."""
    noise_clip: float = hyper(0.5, least=0, traced=True)
    """Largest absolute value of the noise that is added to target actions."""
    policy_delay: int = hyper(2, least=1)
    """Number of updates of the critics for each update of the actor and the target networks."""

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """The Adam optimiser of actor and critics."""
        return optax.adam(self.learning_rate)

    @property
    def actor_network(self) -> MLP:
        """The policy network: [O] -> [A], before the tanh."""
        return MLP((*self.hidden, self.sizes[1]), torch_init=True)

    def begin(self, key: Key) -> Learner:
        """Random networks; the target networks equal them."""
        k_actor, k_critics = jax.random.split(key)
        actor = self.actor_network.init(k_actor, jnp.zeros(self.sizes[0]))
        critics = begin_critics(self, k_critics)
        start = self.optimiser.init
        return Learner(actor, critics, actor, critics, start(actor), start(critics), jnp.zeros(()), jnp.int32(0))

    def greedy(self, actor: Tree, obs: Array) -> Array:
        """The greedy action pi(s): [..., A] in [-1, 1] for observations [..., O]."""
        out = self.actor_network.apply(actor, obs)
        assert isinstance(out, jax.Array)
        return jnp.tanh(out)

    def values(self, critics: Sequence[Tree], obs: Array, action: Array) -> Array:
        """Q_i(s, a) [n, B] of n critics for obs [B, O] and action [B, A]."""
        return critic_values(self, critics, obs, action)

    def policy(self, actor: Tree, obs: Array, noise: Array, key: Key) -> Array:
        """The greedy action with Gaussian noise, clipped to [-1, 1]."""
        greedy = self.greedy(actor, obs)
        return jnp.clip(greedy + noise * jax.random.normal(key, greedy.shape), -1, 1)

    def target(self, learner: Learner, batch: Experience, key: Key) -> Array:
        """The target y [B]; no gradient passes through it."""
        noise = self.policy_noise * jax.random.normal(key, batch.action.shape)
        noise = jnp.clip(noise, -self.noise_clip, self.noise_clip)
        action = jnp.clip(self.greedy(learner.target_actor, batch.next_obs) + noise, -1, 1)
        value = jnp.min(self.values(learner.target_critics, batch.next_obs, action), axis=0)
        return batch.reward + self.gamma * (1 - batch.terminated) * value

    def critic_loss(
        self, critics: Tree, actor: Tree, batch: Experience, target: Array, key: Key
    ) -> tuple[Array, Figures]:
        """(loss [], metrics). Subclasses may use the actor and `key`; TD3 uses neither."""
        values = self.values(critics, batch.obs, batch.action)
        loss = squared_error(values, target)
        return loss, {"learn/loss_critic": loss, "learn/value": jnp.mean(values)}

    def actor_loss(self, actor: Tree, critics: Sequence[Tree], batch: Experience) -> Array:
        """The actor's loss, -mean Q_1(s, pi(s)) []."""
        return -jnp.mean(self.values(critics[:1], batch.obs, self.greedy(actor, batch.obs)))

    def update(self, learner: Learner, batch: Experience, key: Key) -> tuple[Learner, Figures]:
        """One update of the critics, and at every `policy_delay`-th one of the actor and the targets."""
        k_target, k_loss = jax.random.split(key)
        target = self.target(learner, batch, k_target)
        gradient, figures = jax.grad(self.critic_loss, has_aux=True)(
            learner.critics, learner.actor, batch, target, k_loss
        )
        change, critic_optimiser = self.optimiser.update(gradient, learner.critic_optimiser, learner.critics)
        learner = replace(
            learner,
            critics=optax.apply_updates(learner.critics, change),
            critic_optimiser=critic_optimiser,
            updates=learner.updates + 1,
        )
        learner = self.delayed(learner, batch, learner.updates % self.policy_delay == 0)
        return learner, figures | {"learn/loss_actor": learner.actor_loss}

    def delayed(self, learner: Learner, batch: Experience, due: Array) -> Learner:
        """Update the actor and the targets where `due` [] holds."""
        critics = learner.critics

        def act(parts: tuple[Tree, ...]) -> tuple[Tree, ...]:
            actor, optimiser, target_actor, target_critics, _ = parts
            loss, gradient = jax.value_and_grad(self.actor_loss)(actor, critics, batch)
            change, optimiser = self.optimiser.update(gradient, optimiser, actor)
            actor = optax.apply_updates(actor, change)
            target_actor = optax.incremental_update(actor, target_actor, self.tau)
            return actor, optimiser, target_actor, optax.incremental_update(critics, target_critics, self.tau), loss

        names = ("actor", "actor_optimiser", "target_actor", "target_critics", "actor_loss")
        parts = apply_if(due, act, tuple(getattr(learner, name) for name in names))
        return replace(learner, **dict(zip(names, parts, strict=True)))


@dataclass(frozen=True, kw_only=True)
class TD3(TD3Updates, OffPolicy):
    """Twin-delayed deep deterministic policy gradients."""

    default_run = DefaultRun("mujoco/reacher", 40_000)

    exploration_noise: float = hyper(0.1, least=0, traced=True)
    """Standard deviation of the noise that is added to actions while exploring; actions lie in [-1, 1]."""

    @property
    def noise(self) -> float:
        """Scale of the exploration noise."""
        return self.exploration_noise
