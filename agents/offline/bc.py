"""Behaviour cloning: act as the data did, by supervised learning.

Source: Pomerleau 1989; the floor under every offline agent.

    real actions      the mean squared error of actions scaled to (-1, 1); the network ends in a tanh.
                      Without bounds: of the actions as they are, and no tanh
    discrete actions  the cross entropy of logits; it acts by the largest

Shapes: B rows of a batch, U batches of an iteration, A action components or choices.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from prospect_rl.agents.api import (
    Agent,
    Array,
    Batch,
    Batches,
    Box,
    DefaultRun,
    Discrete,
    Inputs,
    Key,
    Spec,
    Tree,
    hyper,
)
from prospect_rl.agents.nn.networks import MLP


@struct.dataclass
class State:
    """What is learned."""

    params: Tree
    optimiser: Tree


@dataclass(frozen=True, kw_only=True)
class BC(Agent):
    """Behaviour cloning with a feed-forward network."""

    default_run = DefaultRun("popgym/HigherLowerEasy", 5_000, "popgym/HigherLowerEasy/oracle")

    hidden: tuple[int, ...] = hyper((256, 256), least=1)
    """Number of neurons in each hidden layer of the policy."""
    learning_rate: float = hyper(3e-4, above=0)
    """Learning rate of the Adam optimiser."""
    batch_size: int = hyper(256, least=1)
    """Number of transitions in the batch of a gradient step (B)."""
    updates: int = hyper(100, least=1)
    """Number of gradient steps in an iteration (U)."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs an observation of numbers, and one vector or one choice as action."""
        if not isinstance(spec.obs, Box):
            return "it needs one array of numbers as observation"
        if isinstance(spec.action, Discrete):
            return None
        if not isinstance(spec.action, Box) or len(spec.action.shape) != 1:
            return "it needs a vector of real numbers or a choice as action"
        finite = np.isfinite(np.append(spec.action.low, spec.action.high))
        return None if finite.all() or not finite.any() else "it needs actions with all bounds or none"

    @property
    def wants(self) -> Batches:
        """Rows of a dataset."""
        return Batches(self.batch_size, self.updates)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Adam."""
        return optax.adam(self.learning_rate)

    @property
    def network(self) -> MLP:
        """From a flat observation to A outputs."""
        action = self.bound.action
        assert isinstance(action, Box | Discrete)
        return MLP((*self.hidden, action.n if isinstance(action, Discrete) else action.size))

    def init(self, key: Key) -> State:
        """Random weights."""
        obs = self.bound.obs
        assert isinstance(obs, Box)
        params = self.network.init(key, jnp.zeros(obs.size))
        return State(params, self.optimiser.init(params))

    def output(self, params: Tree, obs: Array) -> Array:
        """[A] logits, or the action (scaled to (-1, 1) where it has bounds), for ONE observation of any shape."""
        out = self.network.apply(params, jnp.ravel(obs).astype(jnp.float32))
        assert isinstance(out, jax.Array)
        return out if self.scale is None else jnp.tanh(out)

    @property
    def scale(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(centre, half width) [A] of bounded real actions, else None."""
        action = self.bound.action
        if not isinstance(action, Box) or not np.all(np.isfinite(action.low)):
            return None
        low, high = (np.broadcast_to(np.asarray(x, np.float32), action.shape) for x in (action.low, action.high))
        return (low + high) / 2, (high - low) / 2

    def exploit(self, state: State) -> Tree:
        """The network's weights."""
        return state.params

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """What the data would most likely do."""
        out = self.output(behaviour, inputs.obs)
        if isinstance(self.bound.action, Discrete):
            return jnp.argmax(out).astype(jnp.int32), memory, ()
        if self.scale is not None:
            centre, half = self.scale
            out = jnp.asarray(centre) + jnp.asarray(half) * out
        return out, memory, ()

    def loss(self, params: Tree, obs: Array, action: Array) -> Array:
        """[] of ONE row: the squared error (mean over components) or the cross entropy."""
        out = self.output(params, obs)
        if isinstance(self.bound.action, Discrete):
            return optax.softmax_cross_entropy_with_integer_labels(out, action)
        if self.scale is not None:
            centre, half = self.scale
            action = (action - centre) / half
        return jnp.mean((out - action) ** 2)

    def learn(self, state: State, data: Batch, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """U gradient steps, one a batch."""

        def batch_loss(params: Tree, rows: dict[str, Array], valid: Array) -> Array:
            losses = jax.vmap(self.loss, (None, 0, 0))(params, rows["obs"], rows["action"])
            return jnp.sum(jnp.where(valid, losses, 0.0)) / jnp.maximum(jnp.sum(valid), 1)

        def update(state: State, batch: tuple[dict[str, Array], Array]) -> tuple[State, Array]:
            loss, gradient = jax.value_and_grad(batch_loss)(state.params, *batch)
            change, optimiser = self.optimiser.update(gradient, state.optimiser, state.params)
            return State(optax.apply_updates(state.params, change), optimiser), loss

        rows = {name: data.rows[name] for name in ("obs", "action")}
        state, losses = jax.lax.scan(update, state, (rows, data.valid))
        return state, {"learn/loss": jnp.mean(losses)}
