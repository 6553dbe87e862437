"""Behaviour cloning: learns to act as the data by supervised learning.

Source: Pomerleau 1989; the baseline of all offline agents.

    real actions      the mean squared error of actions scaled to (-1, 1), or as they are where they have no bounds
    discrete actions  the cross entropy of logits; it acts by the largest

Shapes: B rows of a batch, U batches of an iteration, A action components or discrete actions.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from prospect_rl.agents.api import Array, Batch, Batches, Box, DefaultRun, Discrete, Inputs, Key, Spec, Tree, hyper
from prospect_rl.agents.cloning import Cloning, State
from prospect_rl.agents.nn.networks import MLP
from prospect_rl.agents.ship.portable import Policy
from prospect_rl.agents.ship.to_numpy import feed_forward, layers_of


@dataclass(frozen=True, kw_only=True)
class BC(Cloning):
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
        """Needs an observation of numbers, and a vector or a discrete action."""
        if not isinstance(spec.obs, Box):
            return "it needs one array of numbers as observation"
        return super().misfit(spec)

    @property
    def wants(self) -> Batches:
        """Batches of rows of a dataset."""
        return Batches(self.batch_size, self.updates)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """The Adam optimiser of the network."""
        return optax.adam(self.learning_rate)

    @property
    def network(self) -> MLP:
        """The policy network, from a flat observation to A outputs."""
        action = self.bound.action
        assert isinstance(action, Box | Discrete)
        return MLP((*self.hidden, action.n if isinstance(action, Discrete) else action.size))

    def init(self, key: Key) -> State:
        """A network with random weights."""
        obs = self.bound.obs
        assert isinstance(obs, Box)
        params = self.network.init(key, jnp.zeros(obs.size))
        return State(params, self.optimiser.init(params))

    def output(self, params: Tree, obs: Array) -> Array:
        """[A] what the network gives for ONE observation of any shape."""
        return jnp.asarray(self.network.apply(params, jnp.ravel(obs).astype(jnp.float32)))

    def act(self, behaviour: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Array, Tree, Tree]:
        """What the data would most likely do."""
        return self.likeliest(self.output(behaviour, inputs.obs)), memory, ()

    def to_numpy(self, behaviour: Tree) -> Policy:
        """The network's layers."""
        return feed_forward(self, layers_of(self, self.network, behaviour), last="tanh" if self.squashed else "none")

    def loss(self, params: Tree, obs: Array, action: Array) -> Array:
        """The loss [] of ONE row: the squared error (mean over components) or the cross entropy."""
        out = self.output(params, obs)
        if isinstance(self.bound.action, Discrete):
            return optax.softmax_cross_entropy_with_integer_labels(out, action)
        return self.distance(out, action)

    def learn(self, state: State, data: Batch, key: Key, phase: int = 0) -> tuple[State, dict[str, Array]]:
        """U gradient steps, one for each batch."""

        def batch_loss(params: Tree, rows: dict[str, Array], valid: Array) -> Array:
            losses = jax.vmap(self.loss, (None, 0, 0))(params, rows["obs"], rows["action"])
            return jnp.sum(jnp.where(valid, losses, 0.0)) / jnp.maximum(jnp.sum(valid), 1)

        def update(state: State, batch: tuple[dict[str, Array], Array]) -> tuple[State, Array]:
            loss, gradient = jax.value_and_grad(batch_loss)(state.params, *batch)
            return self.trained(state, gradient), loss

        rows = {name: data.rows[name] for name in ("obs", "action")}
        state, losses = jax.lax.scan(update, state, (rows, data.valid))
        return state, {"learn/loss": jnp.mean(losses)}
