"""OptiDICE: the ratio of a good policy's state-action density to the data's, in closed form; then the policy.

Source: Lee et al. 2021, arXiv 2106.10783, in the form of CDE's code (czp16/cde-offline-rl, cde.py,
`CDELearner.learn_w`; see docs/methods/cde.md). With R, G of `divergence`, A = r + gamma (1 - terminated) V(s') - V(s),
which gradients enter through both V's:
    V       mean [w (A - eta_V) - alpha G] + eta_V + (1 - gamma) mean V(s_0),   w = R((A - eta_V) / alpha)
    eta_V   eta_V + mean w (A - eta_V), whose gradient is 1 - mean w: the ratios shall have mean 1
    E       mean (E(s, a) - A)^2 ("mse"), or mean [alpha G_E - w_E (A - eta_E)] ("minimax"); w_E, G_E as w, G but of E
    eta_E   eta_E + mean w_E (A - eta_E)
    pi_D    -mean log pi_D(a | s)
    pi      after `warm_up` updates   projection   -mean E_pi [log w_E(s, a) - log pi(a | s) + log pi_D(a | s)]
                                      weighted     -mean w_E(s, a) log pi(a | s)
            and of real actions a bonus c H(pi), c tuned towards an entropy of -A
All gradients but pi's are taken at the same weights; pi sees the new ones. No target networks.
What depends on the kind of action is in `actions`.

Shapes: B rows of a batch, O observation and A action components, J actions that stand for a policy's.
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
from prospect_rl.agents.continuous import Figures, when
from prospect_rl.agents.offline.base import moments
from prospect_rl.agents.offline.cde.actions import Looked
from prospect_rl.agents.offline.cde.base import AnyAction
from prospect_rl.agents.offline.cde.divergence import cost, log_ratio, ratio

stop, fold_in = jax.lax.stop_gradient, jax.random.fold_in
FEWEST = 10
"""Rows that count below which all count alike, as released: nothing is divided by none."""


@struct.dataclass
class Rows:
    """A batch, leading [B]."""

    obs: Tree
    action: Array
    reward: Array
    terminated: Array
    next_obs: Tree
    weight: Array
    """What the row counts in the policy's loss."""
    start: Tree
    """First observations of other episodes."""


@struct.dataclass
class Values:
    """What is learned of the data."""

    v: Tree
    e: Tree
    behaviour: Tree
    """pi_D."""
    eta_v: Array
    eta_e: Array


@struct.dataclass
class Policy:
    """What is learned from the ratios."""

    actor: Tree
    log_c: Array
    """[] logarithm of the entropy's weight."""


@struct.dataclass
class Learner:
    """Networks, multipliers, optimisers."""

    values: Values
    policy: Policy
    values_optimiser: Tree
    policy_optimiser: Tree
    policy_loss: Array
    """[] of the newest update; 0 before there was one."""
    updates: Array
    """[] int32 so far."""


@dataclass(frozen=True, kw_only=True)
class OptiDICE(AnyAction):
    """Offline learning by stationary distribution correction, without bootstrapped maxima."""

    default_run = DefaultRun("maze2d/medium", 10_000, "maze2d/medium/waypoints")

    batch_size: int = hyper(512, least=1)
    """Number of transitions in the batch of a gradient step (B), and of first observations beside them."""
    learning_rate: float = hyper(3e-4, above=0)
    """Learning rate of the Adam optimisers of all networks."""
    alpha: float = hyper(0.001, above=0)
    """Weight of the divergence from the data: .001 on mazes, .01 on Adroit's hands, .1 on MuJoCo's locomotion."""
    warm_up: int = hyper(2_000, least=0)
    """Number of gradient updates before the policy's first one; the experiments take a fifth of the budget."""
    advantage: Literal["mse", "minimax"] = "mse"
    """Loss that the advantage network (E in the paper) is trained with."""
    extraction: Literal["projection", "weighted"] = "projection"
    """How the policy is made from the learned density ratios."""
    unit_ratios: bool = True
    """Whether multipliers hold the mean of the ratios at 1, as in the official code. Switch it off where good episodes
    terminate: the end of an episode is missing from the mean, so that they would be avoided."""
    official_broadcast: bool = False
    """Whether to repeat a slip of the official code in weighted extraction without tanh: the mean weight times the mean
    log-probability."""
    tune_entropy: bool = True
    """Whether there is an entropy bonus, tuned towards minus the number of action dimensions (real-valued actions
    alone)."""
    reward_scale: float = hyper(0.1, above=0)
    """Standard deviation that rewards are scaled to before they are learned from."""
    centre_rewards: bool = True
    """Whether the rewards' mean is subtracted, as in the official code; it changes which policy is best where episodes
    terminate."""

    # --- the data ------------------------------------------------------------------------------------

    @property
    def wants(self) -> Batches:
        """Rows of a dataset, and first rows of its episodes."""
        return Batches(self.batch_size, self.updates, starts=self.batch_size)

    @property
    def least_budget(self) -> int:
        """The updates of the multipliers alone, and the iteration in which the policy is first improved."""
        return (self.warm_up // self.updates + 1) * self.updates

    def rewards(self, dataset: Dataset) -> np.ndarray:
        """With a deviation of `reward_scale`, unless they are all alike or hardly ever differ: see `moments`."""
        reward = np.asarray(dataset.rows["reward"], np.float64)
        mean, deviation = moments(reward)
        return (self.reward_scale * (reward - (mean if self.centre_rewards else 0)) / deviation).astype(np.float32)

    def weights(self, dataset: Dataset) -> np.ndarray:
        """What each row [M] counts in the policy's loss: all alike."""
        return np.ones(len(dataset.rows["reward"]), np.float32)

    def prepare(self, dataset: Dataset) -> Dataset:
        """See `Offline`; rows also get their `weight`."""
        dataset = replace(dataset, rows=dataset.rows | {"weight": self.weights(dataset)})
        prepared = super().prepare(dataset)
        weight = prepared.rows["weight"]
        if (counted := int(weight.sum())) < min(FEWEST, len(weight)):
            weight = jnp.ones_like(weight)
            warnings.warn(
                f"{counted} rows belong to episodes that count as success, fewer than {FEWEST}: all rows count alike",
                stacklevel=2,
            )
        return replace(prepared, rows=prepared.rows | {"weight": weight})

    def batches_of(self, data: Batch) -> Rows:
        """Leading [U, B]."""
        assert data.starts is not None
        names = ("obs", "action", "reward", "terminated", "next_obs", "weight")
        return Rows(*(data.rows[name] for name in names), start=data.starts["obs"])

    # --- the learner ---------------------------------------------------------------------------------

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Adam; one for all that is updated together, which is the same as one each."""
        return optax.adam(self.learning_rate)

    def begin(self, key: Key) -> Learner:
        """Random networks, multipliers 0."""
        v, e, behaviour, actor = self.actions.begin(key)
        values, policy = Values(v, e, behaviour, jnp.zeros(()), jnp.zeros(())), Policy(actor, jnp.zeros(()))
        start: Any = self.optimiser.init
        return Learner(values, policy, start(values), start(policy), jnp.zeros(()), jnp.int32(0))

    def actor_of(self, learner: Learner) -> Tree:
        """The policy's weights."""
        return learner.policy.actor

    # --- losses --------------------------------------------------------------------------------------

    def advantages(self, v: Tree, batch: Rows) -> tuple[Array, Array]:
        """(A [B], V at the first observations [B])."""
        together = jax.tree.map(lambda *x: jnp.concatenate(x), batch.obs, batch.next_obs, batch.start)
        value, following, start = jnp.split(self.actions.value(v, together), 3)
        return batch.reward + self.gamma * (1 - batch.terminated) * following - value, start

    def edges(self, values: Values, batch: Rows, key: Key) -> tuple[Array, Any]:
        """(E(s, a) [B], what a variant's loss of E needs besides)."""
        return self.actions.edge(values.e, batch.obs, batch.action), None

    def edge_loss(self, values: Values, advantage: Array, edge: Array, outside: Any) -> tuple[Array, Figures]:
        """(loss [] of E, figures) from A, without its gradient, and `edges`."""
        if self.advantage == "mse":
            return jnp.mean((edge - advantage) ** 2), {}
        x = (edge - stop(values.eta_e)) / self.alpha
        return jnp.mean(self.alpha * cost(x) - ratio(x) * (advantage - stop(values.eta_e))), {}

    def values_loss(self, values: Values, batch: Rows, key: Key) -> tuple[Array, Figures]:
        """The sum of all losses but the policy's []: no two of them share a weight that both have a gradient of."""
        advantage, start = self.advantages(values.v, batch)
        x = (advantage - stop(values.eta_v)) / self.alpha
        w, held = ratio(x), stop(advantage)
        loss_v = jnp.mean(w * (advantage - stop(values.eta_v)) - self.alpha * cost(x)) + stop(values.eta_v)
        loss_v += (1 - self.gamma) * jnp.mean(start)
        multiplier_v = jnp.mean(stop(w) * (held - values.eta_v)) + values.eta_v

        edge, outside = self.edges(values, batch, key)
        loss_e, more = self.edge_loss(values, held, edge, outside)
        w_e = ratio((stop(edge) - stop(values.eta_e)) / self.alpha)
        multiplier_e = jnp.mean(w_e * (held - values.eta_e)) + values.eta_e

        loss_d = -jnp.mean(self.actions.log_behaviour(values.behaviour, batch.obs, batch.action))
        figures = {
            "learn/loss_v": loss_v, "learn/loss_e": loss_e, "learn/loss_behaviour": loss_d,
            "learn/ratio_v": jnp.mean(w), "learn/ratio_e": jnp.mean(w_e), **more,
        }  # fmt: skip
        multipliers = multiplier_v + multiplier_e if self.unit_ratios else 0
        return loss_v + loss_e + loss_d + multipliers, figures

    def log_proposal(self, looked: Looked) -> Array:
        """The logarithm [B, J] of the density that the policy is drawn to where ratios are 1: the data's."""
        return looked.log_data

    def projection(self, actor: Tree, values: Values, batch: Rows, key: Key) -> tuple[Array, Array]:
        """(what the policy gains: log w_E less its divergence from the proposal [B], its entropy [])."""
        looked = self.actions.looked(actor, values.e, values.behaviour, batch.obs, key)
        log_w = log_ratio((looked.edge - values.eta_e) / self.alpha)
        gain = jnp.sum(looked.chance * (log_w - looked.log_pi + self.log_proposal(looked)), axis=-1)
        return gain, -jnp.mean(jnp.sum(looked.chance * looked.log_pi, axis=-1))

    def weighted(self, actor: Tree, values: Values, batch: Rows) -> Array:
        """w_E log pi(a | s) [B] of the data's actions; of equal mean for all rows with `official_broadcast`."""
        log_pi = self.actions.log_policy(actor, batch.obs, batch.action)
        w = ratio((self.actions.edge(values.e, batch.obs, batch.action) - values.eta_e) / self.alpha)
        return jnp.mean(w) * log_pi if self.official_broadcast and not self.squash else w * log_pi

    def policy_loss(self, policy: Policy, values: Values, batch: Rows, key: Key) -> tuple[Array, Array]:
        """(loss [] of the policy and of its entropy's weight, the policy's part of it)."""
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
        """One update of all, of the policy after the warm-up."""
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
        policy, policy_optimiser, loss = when(learner.updates >= self.warm_up, improve, parts)
        learner = Learner(values, policy, values_optimiser, policy_optimiser, loss, learner.updates + 1)
        return learner, figures | {"learn/loss_policy": loss, "learn/log_c": policy.log_c}
