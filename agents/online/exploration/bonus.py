"""The base of agents with an exploration bonus: r + beta b, state ids to count, and models trained beside the policy.

The bonus is added to the reward: one value head, one discount, and it ends with the episode. (RND's second head and its
non-episodic returns are left out.) With `beta` 0 this is PPO at the same settings, bit for bit; the defaults of
`learning_rate` and `entropy` are not PPO's.
Shapes: T steps, N streams, R = T * N rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from prospect_rl.agents.api import Array, Dict, Discrete, Key, Segment, Spec, Transitions, Tree, hyper
from prospect_rl.agents.nn.encoder import Encoder
from prospect_rl.agents.online.ppo import PPO
from prospect_rl.agents.online.ppo_data import State
from prospect_rl.agents.ops import normalise, visits
from prospect_rl.agents.ops.minibatches import Figures, passes


@dataclass(frozen=True, kw_only=True)
class Explorer(PPO):
    """PPO on r + beta b; a subclass defines `bonus`."""

    learning_rate: float = hyper(1e-3, above=0, traced=True)
    """Learning rate of the Adam optimiser."""
    entropy: float = hyper(0.01, least=0, traced=True)
    """Weight of the entropy bonus in the loss, which keeps the policy exploring."""
    beta: float = hyper(0.01, least=0, traced=True)
    """Weight of the exploration bonus relative to the reward."""
    beta_steps: int = hyper(0, least=0)
    """Number of environment steps in which the bonus weight falls linearly to 0; 0 means that it is constant."""

    def bonus(self, bonus_state: Tree, data: Segment, key: Key) -> tuple[Array, Tree, Figures]:
        """(b [T, N], the new bonus_state, metrics); `bonus_state` starts as `begin` gives it."""
        raise NotImplementedError

    def rewards(self, state: State, data: Segment, key: Key) -> tuple[Array, Tree, Figures]:
        """The rewards with the bonus, r + beta b."""
        bonus, bonus_state, figures = self.bonus(state.variant, data, key)
        beta = jnp.float32(self.beta)
        if self.beta_steps:
            beta = beta * jnp.clip(1 - state.steps / self.beta_steps, 0, 1)
        figures |= {"bonus/mean": jnp.mean(bonus), "bonus/weight": beta}
        return data.steps.reward + beta * bonus, bonus_state, figures


# --- counting ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Counting(Explorer):
    """An explorer that identifies states by ids."""

    view: Literal["state", "obs"] = "state"
    """What is counted: the full state (`info["state_id"]`, more than the policy observes), or the policy's
    observation."""
    slots: int = hyper(2**12, least=2)
    """Number of slots in each stream's table of visits; a power of two."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.slots & (self.slots - 1):
            raise ValueError(f"slots must be a power of two, not {self.slots}")

    def misfit(self, spec: Spec) -> str | None:
        """Needs state ids, or observations of integers."""
        if self.view == "state" and "state_id" not in spec.info:
            return "it counts states, but this environment has no state_id (view=obs counts observations)"
        if self.view == "obs" and not countable(spec.obs):
            return "observations of real numbers cannot be counted"
        return super().misfit(spec)

    def ids(self, steps: Transitions) -> Array:
        """The ids, uint32 [T, N], of the states (or observations) that the steps lead to."""
        if self.view == "state":
            return steps.info["state_id"]
        parts = [x.reshape(*steps.reward.shape, -1) for x in jax.tree.leaves(steps.next_obs)]
        return visits.hashed(jnp.concatenate([x.astype(jnp.int32) for x in parts], axis=-1))


def countable(space: Any) -> bool:
    """Whether a space holds only integers."""
    if isinstance(space, Dict):
        return all(countable(part) for _, part in space.items)
    return isinstance(space, Discrete) or np.issubdtype(np.dtype(space.dtype), np.integer)


def ended(steps: Transitions) -> Array:
    """Whether an episode ends with a step, bool [T, N]."""
    return steps.terminated | steps.truncated


# --- models ------------------------------------------------------------------------------------------


@struct.dataclass
class Model:
    """A model that is trained on every segment, beside the policy."""

    params: Tree
    """Weights of the bonus model."""
    optimiser: Tree
    """State of the model's optimiser."""
    spread: normalise.Moments
    """Running moments of the bonus, which is divided by its standard deviation."""


class Features(nn.Module):
    """A network from an observation to features [F]."""

    space: Any
    """Space of the observations."""
    size: int
    """Number of features (F)."""
    width: int
    """Width of the hidden layer."""

    @nn.compact
    def __call__(self, obs: Tree) -> Array:
        """The features [F] of ONE observation."""
        x = Encoder(self.space, self.width)(obs)
        return nn.Dense(self.size)(nn.relu(nn.Dense(self.width)(x)))


@dataclass(frozen=True, kw_only=True)
class Modelling(Explorer):
    """An explorer whose bonus comes from a model; a subclass defines `begin_model` and `model_loss`."""

    features: int = hyper(64, least=1)
    """Number of features that the model gives for an observation (F)."""
    width: int = hyper(128, least=1)
    """Number of neurons in the model's hidden layers."""
    model_rate: float = hyper(3e-4, above=0, traced=True)
    """Learning rate of the Adam optimiser of the model."""
    centre: bool = True
    """Whether the running mean is subtracted from the bonus, so that longer episodes earn no more bonus."""
    bonus_clip: float = hyper(100.0, above=0, later=True, traced=True)
    """The bonus, in units of its standard deviation, is clipped to plus and minus this value."""
    model_epochs: int = hyper(1, least=1)
    """Number of passes of the model over a segment, with as many minibatches as the policy (of single steps, even if
    recurrent)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_envs * self.length % self.minibatches:
            raise ValueError(f"minibatches must divide the {self.num_envs * self.length} rows of a segment")

    def begin_model(self, key: Key) -> Tree:
        """The initial weights of the model."""
        raise NotImplementedError

    def model_loss(self, params: Tree, rows: Transitions) -> tuple[Array, Figures]:
        """(loss [], metrics) of a minibatch of transitions [B]."""
        raise NotImplementedError

    @property
    def embedding(self) -> Features:
        """The feature network, whose observations are never normalised by the policy's statistics."""
        return Features(self.bound.obs, self.features, self.width)

    def embed(self, params: Tree, obs: Tree) -> Array:
        """The features [F] of ONE observation."""
        out: Any = self.embedding.apply(params, obs)
        return out

    @property
    def model_optimiser(self) -> optax.GradientTransformation:
        """Adam with gradient clipping."""
        return optax.flatten(optax.chain(optax.clip_by_global_norm(self.max_grad_norm), optax.adam(self.model_rate)))

    def begin(self, key: Key) -> Tree:
        """The untrained bonus model."""
        params = self.begin_model(key)
        return Model(params, self.model_optimiser.init(params), normalise.moments())

    def fitted(self, model: Model, steps: Transitions, key: Key) -> tuple[Model, Figures]:
        """The model after `model_epochs` passes over a segment."""
        rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), replace(steps, extras=()))

        def update(carry: tuple[Tree, Tree], batch: Transitions) -> tuple[tuple[Tree, Tree], Figures]:
            gradient, figures = jax.grad(self.model_loss, has_aux=True)(carry[0], batch)
            change, optimiser = self.model_optimiser.update(gradient, carry[1], carry[0])
            return (optax.apply_updates(carry[0], change), optimiser), figures

        (params, optimiser), figures = passes(
            update, (model.params, model.optimiser), rows, key, epochs=self.model_epochs, minibatches=self.minibatches
        )
        return replace(model, params=params, optimiser=optimiser), figures

    def scaled(self, model: Model, bonus: Array) -> tuple[Array, Model]:
        """(bonus [T, N] over the standard deviation of all bonuses so far, these included, clipped; the new model)."""
        spread = normalise.include(model.spread, bonus.ravel())
        scaled = (bonus - spread.mean if self.centre else bonus) / spread.std
        return jnp.clip(scaled, -self.bonus_clip, self.bonus_clip), replace(model, spread=spread)


def vmap_steps(function: Callable[..., Any], *trees: Tree) -> Any:
    """`function`, written for one step, mapped over all of [T, N]."""
    return jax.vmap(jax.vmap(function))(*trees)
