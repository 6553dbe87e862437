"""What OptiDICE and CDE compute differently for real-valued and for discrete actions.

    real      V, E on (s, a); a Gaussian policy and a mixture of Gaussians for the data's, both under a tanh;
              expectations over the policy use one sampled action for each row
    discrete  all networks output a number for each action, after an encoder; expectations are exact sums

Densities of real actions are those in [-1, 1], after the tanh. Source: official code czp16/cde-offline-rl,
cde.py and utils/network.py; it has no discrete actions, see docs/methods/cde.md.
Shapes: B rows of a batch, O observation and A action components, n discrete actions, J policy actions for a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.agents.api import Array, Key, Tree
from prospect_rl.agents.nn.encoder import blank
from prospect_rl.agents.offline.cde.networks import Critic, Encoded, Gaussian, Mixture, before_tanh, log_mixture
from prospect_rl.agents.ops import distributions
from prospect_rl.agents.ops.distributions import Categorical, log_slope
from prospect_rl.envs.api import Space


@struct.dataclass
class PolicyActions:
    """Actions that represent the policy in expectations; all leaves [B, J]."""

    probability: Array
    """Weights whose sum over J is an expectation over the policy: 1 for one sample."""
    e_value: Array
    """Advantage E(s, a) of the action."""
    log_pi: Array
    """Log density of the policy."""
    log_data: Array
    """Log density of the data's policy pi_D."""
    log_uniform: Array
    """Log density of uniform actions, with their volume taken as 1."""


@dataclass(frozen=True)
class RealActions:
    """Networks and densities for actions in [-1, 1]^A and observations [..., O]."""

    sizes: tuple[int, int]
    """Numbers of observation and action components, (O, A)."""
    hidden: tuple[int, ...]
    """Widths of the hidden layers of all networks."""
    components: int
    """Number of Gaussians in the mixture (K)."""
    squash: bool
    """Whether policies end in a tanh; otherwise actions are clipped to the bounds."""
    raw: bool
    """Whether uniform actions are taken as uniform before the tanh, like the densities there (the official code)."""

    @property
    def critic(self) -> Critic:
        """The networks V: [..., O] -> [...], and E: [..., O + A] -> [...]."""
        return Critic(self.hidden)

    @property
    def actor(self) -> Gaussian:
        """The policy network: [..., O] -> (mean, log std) [..., A]."""
        return Gaussian(self.hidden, self.sizes[1])

    @property
    def mixture(self) -> Mixture:
        """The network of pi_D: [..., O] -> (logits [..., K], mean [..., K, A], log std [..., K, A])."""
        return Mixture(self.hidden, self.sizes[1], self.components)

    @property
    def target_entropy(self) -> float | None:
        """The entropy that the policy is tuned towards."""
        return -float(self.sizes[1])

    @property
    def log_volume(self) -> float:
        """The log volume of [-1, 1]^A."""
        return self.sizes[1] * math.log(2)

    def begin(self, key: Key) -> tuple[Tree, Tree, Tree, Tree]:
        """Random initial weights of V, E, pi_D, pi."""
        keys, obs, pair = jax.random.split(key, 4), jnp.zeros(self.sizes[0]), jnp.zeros(sum(self.sizes))
        networks = (self.critic, obs), (self.critic, pair), (self.mixture, obs), (self.actor, obs)
        v, e, behaviour, actor = (network.init(k, x) for k, (network, x) in zip(keys, networks, strict=True))
        return v, e, behaviour, actor

    def value(self, v: Tree, obs: Array) -> Array:
        """The state value V(s) [...]."""
        return jnp.asarray(self.critic.apply(v, obs))

    def e_value(self, e: Tree, obs: Array, action: Array) -> Array:
        """The advantage E(s, a) [...]."""
        return jnp.asarray(self.critic.apply(e, jnp.concatenate([obs, action], axis=-1)))

    def select(self, actor: Tree, obs: Array, noise: Array, key: Key) -> Array:
        """An action [A] for ONE observation [O]: the mean, or a sample with its spread scaled by `noise` []."""
        mean, log_std = self.distribution(actor, obs)
        raw = mean + noise * jnp.exp(log_std) * jax.random.normal(key, mean.shape)
        return jnp.tanh(raw) if self.squash else jnp.clip(raw, -1, 1)

    def distribution(self, actor: Tree, obs: Array) -> tuple[Array, Array]:
        """(mean, log std) [..., A] before the tanh."""
        out: Any = self.actor.apply(actor, obs)
        return out

    def log_policy(self, actor: Tree, obs: Array, action: Array) -> Array:
        """[B] log pi(a | s) of the data's actions."""
        raw = self.pre_tanh(action)
        return distributions.Gaussian(*self.distribution(actor, obs)).log_prob(raw) - self.slope(raw)

    def log_behaviour(self, behaviour: Tree, obs: Array, action: Array) -> Array:
        """[B] log pi_D(a | s) of the data's actions."""
        raw, parts = self.pre_tanh(action), self.parts(behaviour, obs)
        return log_mixture(raw, *parts) - self.slope(raw)

    def policy_actions(self, actor: Tree, e: Tree, behaviour: Tree, obs: Array, key: Key) -> PolicyActions:
        """One sampled action of the policy for each row (J = 1)."""
        pi = distributions.Gaussian(*self.distribution(actor, obs))
        raw = pi.sample(key)
        slope, action = self.slope(raw), jnp.tanh(raw) if self.squash else raw
        samples = PolicyActions(
            jnp.ones_like(slope), self.e_value(e, obs, action), pi.log_prob(raw) - slope,
            log_mixture(raw, *self.parts(behaviour, obs)) - slope, -slope if self.raw else jnp.zeros_like(slope),
        )  # fmt: skip
        return jax.tree.map(lambda x: x[:, None], samples)

    def parts(self, behaviour: Tree, obs: Array) -> tuple[Array, Array, Array]:
        """(logits [..., K], mean [..., K, A], log std [..., K, A]) of the mixture, before the tanh."""
        out: Any = self.mixture.apply(behaviour, obs)
        return out

    def deviation(self, behaviour: Tree, obs: Array) -> Array:
        """The mean [..., A] of the standard deviations of pi_D's components, before the tanh."""
        _, _, log_std = self.parts(behaviour, obs)
        return jnp.mean(jnp.exp(log_std), axis=-2)

    def pre_tanh(self, action: Array) -> Array:
        """The data's actions before the tanh."""
        return before_tanh(action) if self.squash else action

    def slope(self, raw: Array) -> Array:
        """The difference [...] between the log density before the tanh and that of the action."""
        return jnp.sum(log_slope(raw), axis=-1) if self.squash else jnp.zeros(raw.shape[:-1])


@dataclass(frozen=True)
class DiscreteActions:
    """Networks and sums for actions 0 to n - 1 and observations of any space, leading [B]."""

    space: Space
    """Space of the observations."""
    number: int
    """Number of discrete actions (n)."""
    hidden: tuple[int, ...]
    """Widths of the hidden layers of all networks."""
    encoding: int
    """Width of the dense layer after an image of codes."""

    target_entropy = None
    """None: there is no entropy bonus, as sums over discrete actions are exact."""

    @property
    def log_volume(self) -> float:
        """The logarithm of the number of actions n."""
        return math.log(self.number)

    def network(self, outputs: int) -> Encoded:
        """A network from ONE observation to [outputs], or [] for one output."""
        return Encoded(self.space, self.encoding, self.hidden, outputs)

    @property
    def actor(self) -> Encoded:
        """ONE observation -> logits [n]."""
        return self.network(self.number)

    def apply(self, params: Tree, obs: Tree, outputs: int) -> Array:
        """The outputs of a network for observations [B, ...]."""
        return jax.vmap(lambda one: jnp.asarray(self.network(outputs).apply(params, one)))(obs)

    def begin(self, key: Key) -> tuple[Tree, Tree, Tree, Tree]:
        """Random initial weights of V, E, pi_D, pi."""
        keys, obs = jax.random.split(key, 4), blank(self.space)
        outputs = 1, self.number, self.number, self.number
        v, e, behaviour, actor = (self.network(o).init(k, obs) for k, o in zip(keys, outputs, strict=True))
        return v, e, behaviour, actor

    def value(self, v: Tree, obs: Tree) -> Array:
        """The state value V(s) [B]."""
        return self.apply(v, obs, 1)

    def e_values(self, e: Tree, obs: Tree) -> Array:
        """The advantages E(s, .) [B, n] of all actions."""
        return self.apply(e, obs, self.number)

    def e_value(self, e: Tree, obs: Tree, action: Array) -> Array:
        """The advantage E(s, a) [B]."""
        return jnp.sum(self.e_values(e, obs) * self.one_hot(action), axis=-1)

    def one_hot(self, action: Array) -> Array:
        """One-hot actions [B, n]: a product with them selects a column faster than a gather and its gradient."""
        return jax.nn.one_hot(action, self.number)

    def select(self, actor: Tree, obs: Tree, noise: Array, key: Key) -> Array:
        """An action [] for ONE observation: the most likely, or a sample where `noise` [] is 1."""
        logits = jnp.asarray(self.network(self.number).apply(actor, obs))
        return jnp.argmax(logits + noise * jax.random.gumbel(key, logits.shape)).astype(jnp.int32)

    def log_policy(self, actor: Tree, obs: Tree, action: Array) -> Array:
        """[B] log pi(a | s) of the data's actions."""
        return Categorical(self.apply(actor, obs, self.number)).log_prob(action)

    def log_behaviour(self, behaviour: Tree, obs: Tree, action: Array) -> Array:
        """[B] log pi_D(a | s) of the data's actions."""
        return self.log_policy(behaviour, obs, action)

    def policy_actions(self, actor: Tree, e: Tree, behaviour: Tree, obs: Tree, key: Key) -> PolicyActions:
        """All discrete actions with their probabilities (J = n)."""
        log_pi, log_data = (jax.nn.log_softmax(self.apply(p, obs, self.number)) for p in (actor, behaviour))
        return PolicyActions(jnp.exp(log_pi), self.e_values(e, obs), log_pi, log_data, jnp.zeros_like(log_pi))
