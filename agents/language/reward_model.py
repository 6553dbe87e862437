"""Reward models: they order the members of a group that a verifier cannot tell apart (see hero.py for the shapes)."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from prospect_rl.agents.api import Array, Discrete, Episodes, Key, Spec, Tree
from prospect_rl.agents.nn.decoder import Decoder
from prospect_rl.agents.nn.encoder import Encoder, blank
from prospect_rl.envs.api import Space


class Pooled(nn.Module):
    """The score of an episode: of the mean of its observations' features, and of the last one's."""

    space: Space
    """Space of the observations."""
    width: int
    """Number of features (F)."""

    def setup(self) -> None:
        """Make the layers."""
        self.encoder = Encoder(self.space, self.width, nn.relu)
        self.layer, self.hidden, self.last = nn.Dense(self.width), nn.Dense(self.width), nn.Dense(1)

    def features(self, obs: Tree) -> Array:
        """The features [F] of an observation."""
        return nn.relu(self.layer(self.encoder(obs)))

    def score(self, mean: Array, last: Array) -> Array:
        """The score [] from features [F]."""
        return self.last(nn.relu(self.hidden(jnp.concatenate([mean, last]))))[0]

    def __call__(self, obs: Tree) -> Array:
        """The score [] of an episode of one observation."""
        features = self.features(obs)
        return self.score(features, features)


def scorer(spec: Spec, layers: int, width: int, *, text: bool) -> Decoder | Pooled:
    """The network of a reward model: in a text task a decoder, whose value of the last token is the score."""
    if not text:
        return Pooled(spec.obs, width)
    assert isinstance(spec.action, Discrete)
    return Decoder(spec.action.n, spec.horizon, layers, width, 2, 1, 3 * width, value=True)


def first_weights(network: Any, spec: Spec, key: Key) -> Tree:
    """Random weights of a scorer."""
    return network.init(key, jnp.zeros(1, jnp.int32) if isinstance(network, Decoder) else blank(spec.obs))


def judged(network: Any, params: Tree, data: Episodes, *, text: bool) -> Array:
    """[B] scores of episodes: of all tokens that were spoken, the problems' too, or of all observations."""
    assert data.steps is not None
    seen, live = jax.tree.map(lambda x: jnp.swapaxes(x[:, :, 0], 0, 1), (data.steps.next_obs, data.steps.live))
    if text:
        return jax.vmap(lambda tokens: network.apply(params, tokens)[1][-1])(seen)

    def one(obs: Tree, live: Array) -> Array:
        features: Any = jax.vmap(lambda obs: network.apply(params, obs, method="features"))(obs)
        count = jnp.sum(live)
        mean = jnp.sum(jnp.where(live[:, None], features, 0.0), axis=0) / count
        return network.apply(params, mean, features[count - 1], method="score")

    return jax.vmap(one)(seen, live)


def compared(scores: Array, worth: Array, shift: Array) -> Array:
    """Loss [] of Bradley and Terry on scores and their true worth, both [P, N]: each member and the one `shift` on."""
    others = (jnp.arange(scores.shape[1]) + shift) % scores.shape[1]
    better = (worth > worth[:, others]).astype(jnp.float32)
    return jnp.mean(optax.sigmoid_binary_cross_entropy(scores - scores[:, others], better))


# --- what is known of a judge ------------------------------------------------------------------------


@struct.dataclass
class Weighing:
    """How much groups' weights have changed advantages in the iterations of learning so far, in units of them."""

    most: Array
    """[] the largest change of an iteration."""
    total: Array
    """[] the sum over iterations."""
    count: Array
    """[] number of iterations."""


@struct.dataclass
class Judge:
    """The reward model, how much its scores usually spread, and what has been counted."""

    params: Tree
    """Weights of the reward model."""
    optimiser: Tree
    """State of its Adam optimiser."""
    spread: Array
    """[] running mean of the spread of a group's scores; 0 before the first batch."""
    weighing: Weighing
    """How much the groups' weights change."""
    answers: Array
    """[2, 2, 2] numbers of answers by judge (verifier, reward model), truth (wrong, right) and verdict (no, yes), while
    the first policy's answers are compared."""


def new_judge(params: Tree, optimiser: Tree) -> Judge:
    """A judge of whom nothing is known."""
    zero = jnp.zeros(())
    return Judge(params, optimiser, zero, Weighing(zero, zero, zero), jnp.zeros((2, 2, 2)))


def counts(truth: Array, verdict: Array) -> Array:
    """[2, 2] numbers of answers by truth and by verdict, both bool [P, N]."""
    each = jnp.stack([~truth, truth])[:, None] & jnp.stack([~verdict, verdict])[None]
    return jnp.sum(each, axis=(2, 3)).astype(jnp.float32)


def rates(counts: Array) -> tuple[Array, Array, Array]:
    """(recall, precision, share of wrong answers that are accepted), each [], of counts [2, 2]; NaN where of none."""
    (no, false_yes), (missed, yes) = counts
    return yes / (yes + missed), yes / (yes + false_yes), false_yes / (no + false_yes)
