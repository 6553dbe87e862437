"""SAC: a stochastic policy that maximises reward plus entropy, with twin critics.

Source: Haarnoja et al. 2018, arXiv 1812.05905; conventions and defaults of stable-baselines3 (learning rate 3e-4 for
all, critics with a factor 1/2, actor and targets updated every time), but with 10 000 random steps instead of 100.
    a' ~ pi(s'),   y = r + gamma (1 - terminated) (min_i Q_i,targ(s', a') - alpha log pi(a' | s'))
    critics: Adam on 1/2 sum_i mean (Q_i(s, a) - y)^2
    actor:   Adam on mean (alpha log pi(a | s) - min_i Q_i(s, a)),  a ~ pi(s) reparameterised
    alpha:   Adam on -mean log(alpha) (log pi(a | s) + target entropy)
    targets move by tau
a = tanh(x), x ~ N(mean(s), std(s)^2); densities are those of actions in [-1, 1].

Shapes: B rows of a batch, O observation and A action components.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from prospect_rl.agents.api import Array, DefaultRun, Key, Tree, hyper
from prospect_rl.agents.continuous import Continuous, Figures
from prospect_rl.agents.nn.critics import begin_critics, critic_values, squared_error
from prospect_rl.agents.nn.networks import MLP, Layer, stacked
from prospect_rl.agents.online.off_policy import OffPolicy, fold_in, zeros_like
from prospect_rl.agents.ops import replay as replays
from prospect_rl.agents.ops.distributions import LOG_STD, log_normal, log_slope
from prospect_rl.agents.ops.replay import Experience


class GaussianActor(nn.Module):
    """The policy network: [O] -> (mean [A], log std [A]) of the action before its tanh."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    size: int
    """Number of action components (A)."""

    @nn.compact
    def __call__(self, obs: Array) -> tuple[Array, Array]:
        """The distribution at observations [..., O]."""
        mean, log_std = jnp.split(MLP((*self.hidden, 2 * self.size), torch_init=True)(obs), 2, axis=-1)
        return mean, jnp.clip(log_std, *LOG_STD)

    def dense_layers(self, params: Tree) -> list[Layer]:
        """Those of the mean."""
        *layers, (weight, bias) = stacked(params["params"]["MLP_0"])
        return [*layers, (weight[:, : self.size], bias[: self.size])]


@struct.dataclass
class Learner:
    """Networks, target networks, temperature and optimiser states."""

    actor: Tree
    """Weights of the policy network."""
    critics: Tree
    """Weights of the two critics."""
    target_critics: Tree
    """Weights of the two target critics."""
    log_alpha: Array
    """[] logarithm of the temperature (alpha)."""
    actor_optimiser: Tree
    """Optimiser state of the actor."""
    critic_optimiser: Tree
    """Optimiser state of both critics."""
    alpha_optimiser: Tree
    """Optimiser state of the temperature."""
    figures: Tree = struct.field(default=None, kw_only=True)
    """Metrics of the actor's last update, where it has a delay; None without."""


@dataclass(frozen=True, kw_only=True)
class SACUpdates(Continuous):
    """The updates of SAC, online or offline. A subclass with another policy overrides `actor_network`."""

    tau: float = hyper(0.005, above=0, most=1, traced=True)
    """Share of the distance that target networks move towards the trained networks in an update (0-1)."""
    actor_learning_rate: float = hyper(3e-4, above=0, traced=True)
    """Learning rate of the Adam optimiser of the actor."""
    critic_learning_rate: float = hyper(3e-4, above=0, traced=True)
    """Learning rate of the Adam optimisers of the critics and of the temperature."""
    alpha: float = hyper(1.0, above=0)
    """Temperature (weight of the entropy): its initial value, or its fixed value where it is not tuned."""
    tune_alpha: bool = True
    """Whether the temperature is tuned so that the policy's entropy approaches minus the number of action
    dimensions."""
    actor_delay: int = hyper(1, least=1, later=True)
    """Number of updates of the critics between two rounds of as many updates of the actor, all on one batch; each is
    followed by one of the temperature, on new actions. At 1 the temperature is updated on the actions of the actor's
    loss."""

    @property
    def actor_network(self) -> nn.Module:
        """The policy network: [..., O] -> (mean, log std), both [..., A]; overridden for another policy."""
        return GaussianActor(self.hidden, self.sizes[1])

    @property
    def optimisers(self) -> tuple[optax.GradientTransformation, ...]:
        """The Adam optimisers of actor, critics and temperature."""
        return tuple(map(optax.adam, (self.actor_learning_rate, self.critic_learning_rate, self.critic_learning_rate)))

    def begin(self, key: Key) -> Learner:
        """Random networks; the target critics equal the critics."""
        k_actor, k_critics = jax.random.split(key)
        actor = self.actor_network.init(k_actor, jnp.zeros(self.sizes[0]))
        critics, log_alpha = begin_critics(self, k_critics), jnp.float32(math.log(self.alpha))
        states = (opt.init(x) for opt, x in zip(self.optimisers, (actor, critics, log_alpha), strict=True))
        learner = Learner(actor, critics, critics, log_alpha, *states)
        if self.actor_delay == 1:
            return learner
        batch = replays.take(replays.empty(2, *self.sizes), jnp.zeros(2, jnp.int32))
        return replace(learner, figures=zeros_like(jax.eval_shape(self.actor_step, learner, batch, key).figures))

    def policy(self, actor: Tree, obs: Array, noise: Array, key: Key) -> Array:
        """A sample of the policy with its spread scaled by `noise`; tanh(mean) where that is 0."""
        mean, log_std = self.distribution(actor, obs)
        return jnp.tanh(mean + noise * jnp.exp(log_std) * jax.random.normal(key, mean.shape))

    def distribution(self, actor: Tree, obs: Array) -> tuple[Array, Array]:
        """(mean, log std) [..., A] before the tanh."""
        out: Any = self.actor_network.apply(actor, obs)
        return out

    def sampled(self, actor: Tree, obs: Array, key: Key, each: tuple[int, ...] = ()) -> tuple[Array, Array]:
        """(actions [*each, B, A], their log-probabilities [*each, B]) for observations [B, O]."""
        return drawn(*self.distribution(actor, obs), key, each)

    def target(self, learner: Learner, batch: Experience, key: Key) -> Array:
        """The target y [B]; no gradient passes through it."""
        action, log_prob = self.sampled(learner.actor, batch.next_obs, key)
        value = jnp.min(critic_values(self, learner.target_critics, batch.next_obs, action), axis=0)
        return batch.reward + self.gamma * (1 - batch.terminated) * (value - jnp.exp(learner.log_alpha) * log_prob)

    def critic_loss(self, critics: Tree, batch: Experience, target: Array) -> tuple[Array, Figures]:
        """(1/2 sum_i mean (Q_i - y)^2 [], metrics)."""
        values = critic_values(self, critics, batch.obs, batch.action)
        loss = squared_error(values, target) / 2
        return loss, {"learn/loss_critic": loss, "learn/value": jnp.mean(values)}

    def actor_loss(
        self, actor: Tree, critics: Tree, alpha: Array, batch: Experience, key: Key
    ) -> tuple[Array, tuple[Array, Figures]]:
        """(mean (alpha log pi - min_i Q_i) [], (log pi [B], metrics))."""
        return self.soft_loss(critics, alpha, batch.obs, *self.sampled(actor, batch.obs, key))

    def soft_loss(
        self, critics: Tree, alpha: Array, obs: Array, action: Array, log_prob: Array
    ) -> tuple[Array, tuple[Array, Figures]]:
        """`actor_loss` of actions [B, A] and their log-probabilities [B]."""
        loss = jnp.mean(alpha * log_prob - jnp.min(critic_values(self, critics, obs, action), axis=0))
        return loss, (log_prob, {"learn/loss_actor": loss, "learn/entropy": -jnp.mean(log_prob)})

    def alpha_loss(self, log_alpha: Array, log_prob: Array) -> Array:
        """-mean log(alpha) (log pi + target entropy) []; the target entropy is -A."""
        return -jnp.mean(log_alpha * (log_prob - self.sizes[1]))

    def update(self, learner: Learner, batch: Experience, key: Key) -> tuple[Learner, Figures]:
        """One update of critics, actor, temperature and targets; all use the temperature before the update."""
        k_target, k_actor = jax.random.split(key)
        alpha, target = jnp.exp(learner.log_alpha), self.target(learner, batch, k_target)

        gradient, figures = jax.grad(self.critic_loss, has_aux=True)(learner.critics, batch, target)
        change, critic_optimiser = self.optimisers[1].update(gradient, learner.critic_optimiser, learner.critics)
        critics = optax.apply_updates(learner.critics, change)
        learner = replace(learner, critics=critics, critic_optimiser=critic_optimiser)

        learner, more = self.improve_actor(learner, batch, k_actor)
        targets = optax.incremental_update(critics, learner.target_critics, self.tau)
        return replace(learner, target_critics=targets), figures | more | {"learn/alpha": alpha}

    def improve_actor(self, learner: Learner, batch: Experience, key: Key) -> tuple[Learner, Figures]:
        """(the learner with another actor and temperature, the actor's metrics), after an update of the critics."""
        if self.actor_delay == 1:
            learner, log_prob, figures = self.actor_update(learner, batch, key)
            return self.alpha_update(learner, log_prob), figures
        # at the first update of the critics, and so on
        due = (optax.tree_utils.tree_get(learner.critic_optimiser, "count") - 1) % self.actor_delay == 0

        def step(i: Array, now: Learner) -> Learner:
            return self.actor_step(now, batch, fold_in(key, i))

        # a loop of no or several iterations: unlike `cond`, it copies nothing
        learner = jax.lax.fori_loop(0, jnp.where(due, self.actor_delay, 0), step, learner)
        return learner, learner.figures

    def actor_step(self, learner: Learner, batch: Experience, key: Key) -> Learner:
        """One update of the actor, then one of the temperature on new actions; the metrics are kept."""
        k_actor, k_alpha = jax.random.split(key)
        learner, _, figures = self.actor_update(learner, batch, k_actor)
        _, log_prob = self.sampled(learner.actor, batch.obs, k_alpha)
        return replace(self.alpha_update(learner, log_prob), figures=figures)

    def actor_update(self, learner: Learner, batch: Experience, key: Key) -> tuple[Learner, Array, Figures]:
        """(the learner with another actor, log pi [B] of the actions in its loss, metrics)."""
        gradient, (log_prob, figures) = jax.grad(self.actor_loss, has_aux=True)(
            learner.actor, learner.critics, jnp.exp(learner.log_alpha), batch, key
        )
        change, optimiser = self.optimisers[0].update(gradient, learner.actor_optimiser, learner.actor)
        actor = optax.apply_updates(learner.actor, change)
        return replace(learner, actor=actor, actor_optimiser=optimiser), log_prob, figures

    def alpha_update(self, learner: Learner, log_prob: Array) -> Learner:
        """The learner with another temperature, unless that is fixed."""
        if not self.tune_alpha:
            return learner
        gradient = jax.grad(self.alpha_loss)(learner.log_alpha, log_prob)
        change, optimiser = self.optimisers[2].update(gradient, learner.alpha_optimiser)
        log_alpha = jnp.asarray(optax.apply_updates(learner.log_alpha, change))
        return replace(learner, log_alpha=log_alpha, alpha_optimiser=optimiser)


@dataclass(frozen=True, kw_only=True)
class SAC(SACUpdates, OffPolicy):
    """Soft actor-critic with a squashed Gaussian policy."""

    default_run = DefaultRun("mujoco/reacher", 30_000)

    learning_starts: int = hyper(10_000, least=0)
    """Number of environment steps with uniformly random actions before learning begins."""
    actor_hidden: tuple[int, ...] = hyper((), least=1, later=True)
    """Number of neurons in each hidden layer of the actor; empty means those of the critics (`hidden`)."""

    @property
    def noise(self) -> float:
        """Scale 1: exploration samples from the policy itself."""
        return 1.0

    @property
    def actor_network(self) -> nn.Module:
        """The policy network, with hidden layers of its own where `actor_hidden` names them."""
        return GaussianActor(self.actor_hidden or self.hidden, self.sizes[1])


def drawn(mean: Array, log_std: Array, key: Key, each: tuple[int, ...] = ()) -> tuple[Array, Array]:
    """(actions [*each, ..., A], log-probabilities [*each, ...]) of the squashed normal of mean and log std [..., A]."""
    noise = jax.random.normal(key, (*each, *mean.shape))
    raw = mean + jnp.exp(log_std) * noise
    return jnp.tanh(raw), log_density(raw, noise, log_std)


def log_density(raw: Array, noise: Array, log_std: Array) -> Array:
    """The density log pi(tanh(raw)) [...] of raw = mean + std noise, all [..., A]."""
    return jnp.sum(log_normal(noise, log_std) - log_slope(raw), axis=-1)
