"""What OptiDICE and CDE do in their own way by kind of action: vectors of real numbers, or choices.

    real      V, E on (s, a); a Gaussian policy and a mixture of Gaussians for the data's, both under a tanh;
              expectations over the policy are taken at one action drawn for each row
    choices   all networks give a number for each choice, behind an encoder; expectations are exact sums

Densities of real actions are those of what is in [-1, 1], after the tanh. Source: official code czp16/cde-offline-rl,
cde.py and utils/network.py; for choices there is none, see docs/methods/cde.md.
Shapes: B rows of a batch, O observation and A action components, n choices, J actions that are looked at for a row.
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
from prospect_rl.agents.offline.cde.networks import (
    Critic,
    Encoded,
    Gaussian,
    Mixture,
    before_tanh,
    log_gaussian,
    log_mixture,
    log_slope,
)
from prospect_rl.agents.ops.distributions import Categorical
from prospect_rl.envs.api import Space


@struct.dataclass
class Looked:
    """Actions that stand for a policy's; all leaves [B, J]."""

    chance: Array
    """Weights that make a sum over J an expectation over the policy: 1 for one sample."""
    edge: Array
    """E."""
    log_pi: Array
    log_data: Array
    """Of pi_D."""
    log_uniform: Array
    """Of uniform actions, whose volume is taken for 1."""


@dataclass(frozen=True)
class Real:
    """Actions in [-1, 1]^A, for observations [..., O]."""

    sizes: tuple[int, int]
    """(O, A)."""
    hidden: tuple[int, ...]
    components: int
    """Of the mixture."""
    squash: bool
    """Whether policies end in a tanh; otherwise actions are cut at the bounds."""
    raw: bool
    """Take uniform actions for uniform before the tanh, as densities there do (the official code's)."""

    @property
    def critic(self) -> Critic:
        """V: [..., O] -> [...], and E: [..., O + A] -> [...]."""
        return Critic(self.hidden)

    @property
    def actor(self) -> Gaussian:
        """[..., O] -> (mean, log std) [..., A]."""
        return Gaussian(self.hidden, self.sizes[1])

    @property
    def mixture(self) -> Mixture:
        """[..., O] -> (logits [..., K], mean [..., K, A], log std [..., K, A])."""
        return Mixture(self.hidden, self.sizes[1], self.components)

    @property
    def target_entropy(self) -> float | None:
        """What the entropy of the policy is tuned towards."""
        return -float(self.sizes[1])

    @property
    def log_volume(self) -> float:
        """Of [-1, 1]^A."""
        return self.sizes[1] * math.log(2)

    def begin(self, key: Key) -> tuple[Tree, Tree, Tree, Tree]:
        """Random weights of V, E, pi_D, pi."""
        keys, obs, pair = jax.random.split(key, 4), jnp.zeros(self.sizes[0]), jnp.zeros(sum(self.sizes))
        networks = (self.critic, obs), (self.critic, pair), (self.mixture, obs), (self.actor, obs)
        v, e, behaviour, actor = (network.init(k, x) for k, (network, x) in zip(keys, networks, strict=True))
        return v, e, behaviour, actor

    def value(self, v: Tree, obs: Array) -> Array:
        """V(s) [...]."""
        return jnp.asarray(self.critic.apply(v, obs))

    def edge(self, e: Tree, obs: Array, action: Array) -> Array:
        """E(s, a) [...]."""
        return jnp.asarray(self.critic.apply(e, jnp.concatenate([obs, action], axis=-1)))

    def chosen(self, actor: Tree, obs: Array, noise: Array, key: Key) -> Array:
        """An action [A] for ONE observation [O]: the mean's, or a sample whose spread is scaled by `noise` []."""
        mean, log_std = self.distribution(actor, obs)
        raw = mean + noise * jnp.exp(log_std) * jax.random.normal(key, mean.shape)
        return jnp.tanh(raw) if self.squash else jnp.clip(raw, -1, 1)

    def distribution(self, actor: Tree, obs: Array) -> tuple[Array, Array]:
        """(mean, log std) [..., A] before the tanh."""
        out: Any = self.actor.apply(actor, obs)
        return out

    def log_policy(self, actor: Tree, obs: Array, action: Array) -> Array:
        """[B] log pi(a | s) of the data's actions."""
        raw = self.before(action)
        return log_gaussian(raw, *self.distribution(actor, obs)) - self.slope(raw)

    def log_behaviour(self, behaviour: Tree, obs: Array, action: Array) -> Array:
        """[B] log pi_D(a | s) of the data's actions."""
        raw, parts = self.before(action), self.parts(behaviour, obs)
        return log_mixture(raw, *parts) - self.slope(raw)

    def looked(self, actor: Tree, e: Tree, behaviour: Tree, obs: Array, key: Key) -> Looked:
        """One action of the policy a row (J = 1)."""
        mean, log_std = self.distribution(actor, obs)
        raw = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)
        slope, action = self.slope(raw), jnp.tanh(raw) if self.squash else raw
        looked = Looked(
            jnp.ones_like(slope), self.edge(e, obs, action), log_gaussian(raw, mean, log_std) - slope,
            log_mixture(raw, *self.parts(behaviour, obs)) - slope, -slope if self.raw else jnp.zeros_like(slope),
        )  # fmt: skip
        return jax.tree.map(lambda x: x[:, None], looked)

    def parts(self, behaviour: Tree, obs: Array) -> tuple[Array, Array, Array]:
        """(logits [..., K], mean [..., K, A], log std [..., K, A]) of the mixture, before the tanh."""
        out: Any = self.mixture.apply(behaviour, obs)
        return out

    def deviation(self, behaviour: Tree, obs: Array) -> Array:
        """The mean [..., A] of the deviations of pi_D's components, before the tanh."""
        _, _, log_std = self.parts(behaviour, obs)
        return jnp.mean(jnp.exp(log_std), axis=-2)

    def before(self, action: Array) -> Array:
        """Actions of the data before the tanh."""
        return before_tanh(action) if self.squash else action

    def slope(self, raw: Array) -> Array:
        """By how much [...] the log density of an action is less than that of what is before the tanh."""
        return log_slope(raw) if self.squash else jnp.zeros(raw.shape[:-1])


@dataclass(frozen=True)
class Choices:
    """Actions 0 to n - 1, for observations of any space, leading [B]."""

    space: Space
    """Of observations."""
    number: int
    """n."""
    hidden: tuple[int, ...]
    encoding: int
    """Width of the layer behind a picture of codes."""

    target_entropy = None
    """Sums over choices are exact: there is no bonus."""

    @property
    def log_volume(self) -> float:
        """Of n choices."""
        return math.log(self.number)

    def network(self, outputs: int) -> Encoded:
        """ONE observation -> [outputs], or [] for one output."""
        return Encoded(self.space, self.encoding, self.hidden, outputs)

    def apply(self, params: Tree, obs: Tree, outputs: int) -> Array:
        """What a network gives for observations [B, ...]."""
        return jax.vmap(lambda one: jnp.asarray(self.network(outputs).apply(params, one)))(obs)

    def begin(self, key: Key) -> tuple[Tree, Tree, Tree, Tree]:
        """Random weights of V, E, pi_D, pi."""
        keys, obs = jax.random.split(key, 4), blank(self.space)
        outputs = 1, self.number, self.number, self.number
        v, e, behaviour, actor = (self.network(o).init(k, obs) for k, o in zip(keys, outputs, strict=True))
        return v, e, behaviour, actor

    def value(self, v: Tree, obs: Tree) -> Array:
        """V(s) [B]."""
        return self.apply(v, obs, 1)

    def edges(self, e: Tree, obs: Tree) -> Array:
        """E(s, .) [B, n]."""
        return self.apply(e, obs, self.number)

    def edge(self, e: Tree, obs: Tree, action: Array) -> Array:
        """E(s, a) [B]."""
        return jnp.sum(self.edges(e, obs) * self.one_hot(action), axis=-1)

    def one_hot(self, action: Array) -> Array:
        """[B, n]: a product with it picks a column, faster than a gather and its gradient."""
        return jax.nn.one_hot(action, self.number)

    def chosen(self, actor: Tree, obs: Tree, noise: Array, key: Key) -> Array:
        """A choice [] for ONE observation: the likeliest, or a sample where `noise` [] is 1."""
        logits = jnp.asarray(self.network(self.number).apply(actor, obs))
        return jnp.argmax(logits + noise * jax.random.gumbel(key, logits.shape)).astype(jnp.int32)

    def log_policy(self, actor: Tree, obs: Tree, action: Array) -> Array:
        """[B] log pi(a | s) of the data's choices."""
        return Categorical(self.apply(actor, obs, self.number)).log_prob(action)

    def log_behaviour(self, behaviour: Tree, obs: Tree, action: Array) -> Array:
        """[B] log pi_D(a | s) of the data's choices."""
        return self.log_policy(behaviour, obs, action)

    def looked(self, actor: Tree, e: Tree, behaviour: Tree, obs: Tree, key: Key) -> Looked:
        """All choices (J = n)."""
        log_pi, log_data = (jax.nn.log_softmax(self.apply(p, obs, self.number)) for p in (actor, behaviour))
        return Looked(jnp.exp(log_pi), self.edges(e, obs), log_pi, log_data, jnp.zeros_like(log_pi))
