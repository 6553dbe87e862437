"""OptiDICE: the density ratio of a good policy's state-action pairs to the data's in closed form; then the policy.

Source: Lee et al. 2021, arXiv 2106.10783, in the form of CDE's code (czp16/cde-offline-rl, cde.py,
`CDELearner.learn_w`; see docs/methods/cde.md). With R, G of `divergence`, A = r + gamma (1 - terminated) V(s') - V(s),
with gradients through both V's:
    V       mean [w (A - eta_V) - alpha G] + eta_V + (1 - gamma) mean V(s_0),   w = R((A - eta_V) / alpha)
    eta_V   eta_V + mean w (A - eta_V), whose gradient is 1 - mean w: the ratios are driven to mean 1
    E       mean (E(s, a) - A)^2 ("mse"), or mean [alpha G_E - w_E (A - eta_E)] ("minimax"); w_E, G_E as w, G but of E
    eta_E   eta_E + mean w_E (A - eta_E)
    pi_D    -mean log pi_D(a | s)
    pi      after `warm_up` updates   projection   -mean E_pi [log w_E(s, a) - log pi(a | s) + log pi_D(a | s)]
                                      weighted     -mean w_E(s, a) log pi(a | s)
            and for real actions a bonus c H(pi), c tuned towards an entropy of -A
All gradients except pi's are taken at the same weights; pi uses the updated ones. There are no target networks.
Code that depends on the kind of action is in `actions`.

Shapes: B rows of a batch, O observation and A action components, J actions that represent the policy.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from prospect_rl.agents.api import Array, Batch, Batches, Dataset, DefaultRun, Key, Tree, hyper
from prospect_rl.agents.continuous import Figures, apply_if
from prospect_rl.agents.offline.base import moments
from prospect_rl.agents.offline.cde.actions import PolicyActions
from prospect_rl.agents.offline.cde.base import AnyAction
from prospect_rl.agents.offline.cde.divergence import cost, log_ratio, ratio

stop, fold_in = jax.lax.stop_gradient, jax.random.fold_in
MIN_ROWS = 10
"""Fewest rows of successful episodes: with fewer, all rows have weight 1, as in the released code."""


@struct.dataclass
class Rows:
    """A batch of transitions and initial observations, leading [B]."""

    obs: Tree
    """[B, ...] observations before the step."""
    action: Array
    """[B, ...] actions of the data."""
    reward: Array
    """[B] rewards of the step."""
    terminated: Array
    """[B] 1 where the episode terminated, else 0."""
    next_obs: Tree
    """[B, ...] observations after the step."""
    weight: Array
    """[B] weight of the row in the policy's loss."""
    start: Tree
    """[B, ...] initial observations of other episodes."""


@struct.dataclass
class Values:
    """Networks and multipliers that are learned from the data."""

    v: Tree
    """Weights of the network V."""
    e: Tree
    """Weights of the advantage network E."""
    behaviour: Tree
    """Weights of the data's policy pi_D."""
    eta_v: Array
    """[] multiplier of the ratios from V."""
    eta_e: Array
    """[] multiplier of the ratios from E."""


@struct.dataclass
class Policy:
    """The policy, learned from the density ratios."""

    actor: Tree
    """Weights of the policy network."""
    log_c: Array
    """[] logarithm of the entropy bonus's weight."""


@struct.dataclass
class Learner:
    """Networks, multipliers and optimiser states."""

    values: Values
    """Networks and multipliers learned from the data."""
    policy: Policy
    """The policy and its entropy weight."""
    values_optimiser: Tree
    """Optimiser state of the values."""
    policy_optimiser: Tree
    """Optimiser state of the policy."""
    policy_loss: Array
    """[] policy loss of the last update; 0 before the first."""
    updates: Array
    """[] int32 number of updates so far."""


@dataclass(frozen=True, kw_only=True)
class OptiDICE(AnyAction):
    """Offline learning by stationary distribution correction, without maxima over bootstrapped values."""

    default_run = DefaultRun("maze2d/medium", 10_000, "maze2d/medium/waypoints")

    batch_size: int = hyper(512, least=1)
    """Number of transitions in the batch of a gradient step (B), and of initial observations with them."""
    learning_rate: float = hyper(3e-4, above=0)
    """Learning rate of the Adam optimisers of all networks."""
    alpha: float = hyper(0.001, above=0)
    """Weight of the divergence from the data: .001 on mazes, .01 on Adroit's hands, .1 on MuJoCo's locomotion."""
    warm_up: int = hyper(2_000, least=0)
    """Number of gradient updates before the policy's first one; the experiments take a fifth of the budget."""
    advantage: Literal["mse", "minimax"] = "mse"
    """Loss of the advantage network (E in the paper)."""
    extraction: Literal["projection", "weighted"] = "projection"
    """How the policy is extracted from the learned density ratios."""
    unit_ratios: bool = True
    """Whether multipliers hold the mean of the ratios at 1, as in the official code. Switch it off where good episodes
    terminate: the mean lacks the end of an episode, so they would be avoided."""
    official_broadcast: bool = False
    """Whether to repeat a mistake of the official code in weighted extraction without tanh: the mean weight times the
    mean log-probability."""
    tune_entropy: bool = True
    """Whether there is an entropy bonus, tuned towards minus the number of action dimensions (real-valued actions
    only)."""
    reward_scale: float = hyper(0.1, above=0)
    """Standard deviation to which rewards are scaled before learning."""
    centre_rewards: bool = True
    """Whether the rewards' mean is subtracted, as in the official code; this changes which policy is best where
    episodes terminate."""

    # --- the data ------------------------------------------------------------------------------------

    @property
    def wants(self) -> Batches:
        """Rows of a dataset, and initial observations of its episodes."""
        return Batches(self.batch_size, self.updates, starts=self.batch_size)

    @property
    def least_budget(self) -> int:
        """The updates of the warm-up, and the iteration in which the policy is first improved."""
        return (self.warm_up // self.updates + 1) * self.updates

    def rewards(self, dataset: Dataset) -> np.ndarray:
        """Rewards scaled to a deviation of `reward_scale`; constant or rarely changing rewards as in `moments`."""
        reward = np.asarray(dataset.rows["reward"], np.float64)
        mean, deviation = moments(reward)
        return (self.reward_scale * (reward - (mean if self.centre_rewards else 0)) / deviation).astype(np.float32)

    def weights(self, dataset: Dataset) -> np.ndarray:
        """The weight of each row [M] in the policy's loss: 1 for all."""
        return np.ones(len(dataset.rows["reward"]), np.float32)

    def prepare(self, dataset: Dataset) -> Dataset:
        """The dataset as in `Offline`; rows also get their `weight`."""
        dataset = replace(dataset, rows=dataset.rows | {"weight": self.weights(dataset)})
        prepared = super().prepare(dataset)
        weight = prepared.rows["weight"]
        if (counted := int(weight.sum())) < min(MIN_ROWS, len(weight)):
            weight = jnp.ones_like(weight)
            warnings.warn(
                f"{counted} rows belong to successful episodes, fewer than {MIN_ROWS}: all rows have the same weight",
                stacklevel=2,
            )
        return replace(prepared, rows=prepared.rows | {"weight": weight})

    def batches_of(self, data: Batch) -> Rows:
        """The batches as `Rows`, leading [U, B]."""
        assert data.starts is not None
        names = ("obs", "action", "reward", "terminated", "next_obs", "weight")
        return Rows(*(data.rows[name] for name in names), start=data.starts["obs"])

    # --- the learner ---------------------------------------------------------------------------------

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """The Adam optimiser; one for all parts that are updated together gives the same result as one for each."""
        return optax.adam(self.learning_rate)

    def begin(self, key: Key) -> Learner:
        """Random networks, with multipliers 0."""
        v, e, behaviour, actor = self.actions.begin(key)
        values, policy = Values(v, e, behaviour, jnp.zeros(()), jnp.zeros(())), Policy(actor, jnp.zeros(()))
        start: Any = self.optimiser.init
        return Learner(values, policy, start(values), start(policy), jnp.zeros(()), jnp.int32(0))

    def actor_of(self, learner: Learner) -> Tree:
        """The policy's weights."""
        return learner.policy.actor

    # --- losses --------------------------------------------------------------------------------------

    def advantages(self, v: Tree, batch: Rows) -> tuple[Array, Array]:
        """(A [B], V of the initial observations [B])."""
        together = jax.tree.map(lambda *x: jnp.concatenate(x), batch.obs, batch.next_obs, batch.start)
        value, following, start = jnp.split(self.actions.value(v, together), 3)
        return batch.reward + self.gamma * (1 - batch.terminated) * following - value, start

    def e_values(self, values: Values, batch: Rows, key: Key) -> tuple[Array, Any]:
        """(E(s, a) [B], further input of a subclass's loss of E)."""
        return self.actions.e_value(values.e, batch.obs, batch.action), None

    def e_loss(self, values: Values, advantage: Array, e_value: Array, outside: Any) -> tuple[Array, Figures]:
        """(loss [] of E, metrics) from A, without its gradient, and `e_values`."""
        if self.advantage == "mse":
            return jnp.mean((e_value - advantage) ** 2), {}
        x = (e_value - stop(values.eta_e)) / self.alpha
        return jnp.mean(self.alpha * cost(x) - ratio(x) * (advantage - stop(values.eta_e))), {}

    def values_loss(self, values: Values, batch: Rows, key: Key) -> tuple[Array, Figures]:
        """The sum of all losses but the policy's []: each weight has a gradient of only one of them."""
        advantage, start = self.advantages(values.v, batch)
        x = (advantage - stop(values.eta_v)) / self.alpha
        w, held = ratio(x), stop(advantage)
        loss_v = jnp.mean(w * (advantage - stop(values.eta_v)) - self.alpha * cost(x)) + stop(values.eta_v)
        loss_v += (1 - self.gamma) * jnp.mean(start)
        multiplier_v = jnp.mean(stop(w) * (held - values.eta_v)) + values.eta_v

        e_value, outside = self.e_values(values, batch, key)
        loss_e, more = self.e_loss(values, held, e_value, outside)
        w_e = ratio((stop(e_value) - stop(values.eta_e)) / self.alpha)
        multiplier_e = jnp.mean(w_e * (held - values.eta_e)) + values.eta_e

        loss_d = -jnp.mean(self.actions.log_behaviour(values.behaviour, batch.obs, batch.action))
        figures = {
            "learn/loss_v": loss_v, "learn/loss_e": loss_e, "learn/loss_behaviour": loss_d,
            "learn/ratio_v": jnp.mean(w), "learn/ratio_e": jnp.mean(w_e), **more,
        }  # fmt: skip
        multipliers = multiplier_v + multiplier_e if self.unit_ratios else 0
        return loss_v + loss_e + loss_d + multipliers, figures

    def log_proposal(self, samples: PolicyActions) -> Array:
        """The log density [B, J] that the policy is regularised towards, where ratios are 1: the data's."""
        return samples.log_data

    def projection(self, actor: Tree, values: Values, batch: Rows, key: Key) -> tuple[Array, Array]:
        """(the policy's objective: log w_E minus its divergence from the proposal [B], its entropy [])."""
        samples = self.actions.policy_actions(actor, values.e, values.behaviour, batch.obs, key)
        log_w = log_ratio((samples.e_value - values.eta_e) / self.alpha)
        gain = jnp.sum(samples.probability * (log_w - samples.log_pi + self.log_proposal(samples)), axis=-1)
        return gain, -jnp.mean(jnp.sum(samples.probability * samples.log_pi, axis=-1))

    def weighted(self, actor: Tree, values: Values, batch: Rows) -> Array:
        """w_E log pi(a | s) [B] of the data's actions; with `official_broadcast` the mean weight for all rows."""
        log_pi = self.actions.log_policy(actor, batch.obs, batch.action)
        w = ratio((self.actions.e_value(values.e, batch.obs, batch.action) - values.eta_e) / self.alpha)
        return jnp.mean(w) * log_pi if self.official_broadcast and not self.squash else w * log_pi

    def policy_loss(self, policy: Policy, values: Values, batch: Rows, key: Key) -> tuple[Array, Array]:
        """(loss [] of the policy and of its entropy weight, the policy's part of it)."""
        gain, entropy = self.projection(policy.actor, values, batch, key)
        if self.extraction == "weighted":
            loss = -jnp.mean(self.weighted(policy.actor, values, batch))
        else:
            loss = -jnp.mean(batch.weight * gain)
        if not self.tune_entropy or self.actions.target_entropy is None:
            return loss, loss
        tuning = policy.log_c * (stop(entropy) - self.actions.target_entropy)
        return loss - jnp.exp(stop(policy.log_c)) * entropy + tuning, loss

    def update(self, learner: Learner, batch: Rows, key: Key) -> tuple[Learner, Figures]:
        """One update of all parts; of the policy only after the warm-up."""
        k_values, k_policy = fold_in(key, 0), fold_in(key, 1)
        gradient, figures = jax.grad(self.values_loss, has_aux=True)(learner.values, batch, k_values)
        change, values_optimiser = self.optimiser.update(gradient, learner.values_optimiser)
        values = jax.tree.map(jnp.add, learner.values, change)

        def improve(parts: tuple[Policy, Tree, Array]) -> tuple[Policy, Tree, Array]:
            policy, optimiser, _ = parts
            gradient, loss = jax.grad(self.policy_loss, has_aux=True)(policy, values, batch, k_policy)
            change, optimiser = self.optimiser.update(gradient, optimiser)
            return jax.tree.map(jnp.add, policy, change), optimiser, loss

        parts = learner.policy, learner.policy_optimiser, learner.policy_loss
        policy, policy_optimiser, loss = apply_if(learner.updates >= self.warm_up, improve, parts)
        learner = Learner(values, policy, values_optimiser, policy_optimiser, loss, learner.updates + 1)
        return learner, figures | {"learn/loss_policy": loss, "learn/log_c": policy.log_c}
