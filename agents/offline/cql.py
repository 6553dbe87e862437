"""CQL: SAC on a dataset, whose critics are pushed down on actions outside the data.

Source: Kumar et al. 2020, arXiv 2006.04779; conventions of CORL (see docs/methods/offline.md). In addition to SAC's
losses, without the entropy in its target, each critic has
    price weight (gap_i - target_gap),   gap_i = mean [logsumexp_j (Q_i(s, a_j) - log density_j) - Q_i(s, a)]
over 3 `samples` actions a_j a row: uniform ones (density 1/2^A), and those of pi(s) and of pi(s'). The price is 1, or
with `lagrange` a Lagrange multiplier: Adam on -mean_i price weight (gap_i - target_gap), clipped to [0, 10^6].
All gradients are taken at the same weights; then target critics move by tau.

Deviation: networks are initialised as in the other agents here, not orthogonally.
Shapes: B rows of a batch, J = 3 `samples` actions a row, A action components.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import struct

from prospect_rl.agents.api import Array, DefaultRun, Key, Tree, hyper
from prospect_rl.agents.continuous import Figures
from prospect_rl.agents.nn.critics import critic_values, squared_error
from prospect_rl.agents.offline.base import Offline
from prospect_rl.agents.online import sac
from prospect_rl.agents.online.sac import SACUpdates
from prospect_rl.agents.ops.replay import Experience

MAX_MULTIPLIER = 1e6
"""Largest value of the Lagrange multiplier (the price)."""
OPTIMISERS = {
    "actor": "actor_optimiser", "critics": "critic_optimiser", "log_alpha": "alpha_optimiser",
    "log_price": "price_optimiser",
}  # fmt: skip
"""Trained part of the learner -> field with its optimiser state."""


@struct.dataclass
class Learner(sac.Learner):
    """SAC's learner and the Lagrange multiplier."""

    log_price: Array
    """[] logarithm of the Lagrange multiplier (the price)."""
    price_optimiser: Tree
    """Optimiser state of the multiplier."""


@dataclass(frozen=True, kw_only=True)
class CQL(SACUpdates, Offline):
    """Conservative Q-learning, at the settings of CORL for mazes."""

    default_run = DefaultRun("maze2d/medium", 30_000, "maze2d/medium/waypoints")  # smaller: not tested

    hidden: tuple[int, ...] = hyper((256, 256, 256), least=1)
    """Number of neurons in each hidden layer of all networks."""
    actor_learning_rate: float = hyper(3e-5, above=0, traced=True)
    """Learning rate of the Adam optimisers of the actor and the temperature."""
    critic_learning_rate: float = hyper(3e-4, above=0, traced=True)
    """Learning rate of the Adam optimisers of the critics and the Lagrange multiplier."""
    weight: float = hyper(10.0, least=0, traced=True)
    """Weight in the critics' loss of the gap between the values of other actions and of the data's; 0 gives SAC's
    loss."""
    samples: int = hyper(10, least=1)
    """Number of actions of each of the three kinds that are sampled for each transition."""
    lagrange: bool = True
    """Whether the weight is scaled by a Lagrange multiplier that rises while the gap is above `target_gap`."""
    target_gap: float = 5.0
    """Gap that the Lagrange multiplier tunes towards."""
    log_std_offset: float = -1.0
    """Number added to the logarithm of the policy's standard deviation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.actor_delay != 1:
            raise ValueError(f"actor_delay must be 1, not {self.actor_delay}: CQL updates everything every time")

    @property
    def optimisers(self) -> tuple[optax.GradientTransformation, ...]:
        """The Adam optimisers of actor, critics and temperature."""
        return tuple(map(optax.adam, (self.actor_learning_rate, self.critic_learning_rate, self.actor_learning_rate)))

    @property
    def price_adam(self) -> optax.GradientTransformation:
        """The Adam optimiser of the Lagrange multiplier."""
        return optax.adam(self.critic_learning_rate)

    def begin(self, key: Key) -> Learner:
        """SAC's learner; the multiplier starts at e, as in the released code."""
        begun, log_price = super().begin(key), jnp.ones(())
        parts = {name: getattr(begun, name) for name in sac.Learner.__dataclass_fields__}
        return Learner(**parts, log_price=log_price, price_optimiser=self.price_adam.init(log_price))

    def distribution(self, actor: Tree, obs: Array) -> tuple[Array, Array]:
        """(mean, log std) [..., A] before the tanh."""
        mean, log_std = super().distribution(actor, obs)
        return mean, log_std + self.log_std_offset

    def target(self, learner: Learner, batch: Experience, key: Key) -> Array:
        """The target y [B], without the policy's entropy."""
        action, _ = self.sampled(learner.actor, batch.next_obs, key)
        value = jnp.min(critic_values(self, learner.target_critics, batch.next_obs, action), axis=0)
        return batch.reward + self.gamma * (1 - batch.terminated) * value

    def sampled_actions(self, actor: Tree, batch: Experience, key: Key) -> tuple[Array, Array]:
        """(actions a_j [J, B, A], log densities [J, B]); no gradient passes through them."""
        keys, shape = jax.random.split(key, 3), (self.samples, *batch.action.shape)
        drawn = [jax.random.uniform(keys[0], shape, minval=-1, maxval=1)]
        densities = [jnp.full(shape[:-1], -self.sizes[1] * math.log(2))]
        for k, obs in zip(keys[1:], (batch.obs, batch.next_obs), strict=True):
            action, log_prob = self.sampled(actor, obs, k, (self.samples,))
            drawn.append(action)
            densities.append(log_prob)
        return jnp.concatenate(drawn), jnp.concatenate(densities)

    def gaps(self, critics: Tree, values: Array, obs: Array, sampled: tuple[Array, Array]) -> Array:
        """gap_i [2] of the critics, whose values of the data's actions are `values` [2, B]."""
        action, density = sampled
        q = critic_values(self, critics, jnp.broadcast_to(obs, (len(action), *obs.shape)), action)  # [2, J, B]
        return jnp.mean(jax.nn.logsumexp(q - density, axis=1) - values, axis=1)

    def price(self, log_price: Array) -> Array:
        """The Lagrange multiplier []; 1 without `lagrange`."""
        return jnp.clip(jnp.exp(log_price), 0.0, MAX_MULTIPLIER) if self.lagrange else jnp.ones(())

    def weighted_gaps(self, gaps: Array) -> Array:
        """The penalty weight (gap_i - target_gap) [2]; the target gap is used only with `lagrange`."""
        return self.weight * (gaps - (self.target_gap if self.lagrange else 0.0))

    def critics_loss(
        self, critics: Tree, batch: Experience, target: Array, sampled: tuple[Array, Array], price: Array
    ) -> tuple[Array, tuple[Array, Figures]]:
        """(loss [], (gaps [2], metrics))."""
        values = critic_values(self, critics, batch.obs, batch.action)
        gaps = self.gaps(critics, values, batch.obs, sampled)
        loss = squared_error(values, target) + jnp.sum(price * self.weighted_gaps(gaps))
        return loss, (gaps, {"learn/loss_critic": loss, "learn/value": jnp.mean(values), "learn/gap": jnp.mean(gaps)})

    def price_loss(self, log_price: Array, gaps: Array) -> Array:
        """The multiplier's loss, -mean_i price weight (gap_i - target_gap) []."""
        return -jnp.mean(self.price(log_price) * self.weighted_gaps(gaps))

    def update(self, learner: Learner, batch: Experience, key: Key) -> tuple[Learner, Figures]:
        """One update of critics, actor, temperature, multiplier and targets."""
        k_target, k_actor, k_sampled = jax.random.split(key, 3)
        alpha, price = jnp.exp(learner.log_alpha), self.price(learner.log_price)
        target, sampled = self.target(learner, batch, k_target), self.sampled_actions(learner.actor, batch, k_sampled)
        g_critics, (gaps, figures) = jax.grad(self.critics_loss, has_aux=True)(
            learner.critics, batch, target, sampled, price
        )
        g_actor, (log_prob, more) = jax.grad(self.actor_loss, has_aux=True)(
            learner.actor, learner.critics, alpha, batch, k_actor
        )
        steps = {
            "actor": (g_actor, self.optimisers[0]), "critics": (g_critics, self.optimisers[1]),
            "log_alpha": (jax.grad(self.alpha_loss)(learner.log_alpha, log_prob), self.optimisers[2]),
            "log_price": (jax.grad(self.price_loss)(learner.log_price, gaps), self.price_adam),
        }  # fmt: skip
        if not self.tune_alpha:
            del steps["log_alpha"]
        if not self.lagrange:
            del steps["log_price"]
        changed: dict[str, Tree] = {}
        for name, (gradient, adam) in steps.items():
            state = OPTIMISERS[name]
            change, changed[state] = adam.update(gradient, getattr(learner, state))
            changed[name] = jax.tree.map(jnp.add, getattr(learner, name), change)
        targets = optax.incremental_update(changed["critics"], learner.target_critics, self.tau)
        learner = learner.replace(**changed, target_critics=targets)  # type: ignore[attr-defined]
        return learner, figures | more | {"learn/alpha": alpha, "learn/price": price}
