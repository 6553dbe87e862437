"""ICM: the prediction error of a forward model as bonus, in features of what the agent can control.

Source: Pathak et al. 2017, arXiv 1705.05363. View: the policy's own observation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from prospect_rl.agents.api import Array, Box, Discrete, Key, Segment, Transitions, Tree, hyper
from prospect_rl.agents.nn.encoder import blank
from prospect_rl.agents.nn.networks import MLP
from prospect_rl.agents.online.exploration.bonus import Model, Modelling, vmap_steps
from prospect_rl.agents.ops.minibatches import Figures


@dataclass(frozen=True, kw_only=True)
class ICM(Modelling):
    """PPO with the bonus b = |F(phi(o), a) - phi(o')|^2 / 2 (ICM, eq. 6).

    The bonus is divided by its running standard deviation, centred and clipped. phi is trained only by the inverse
    model,
    a = I(phi(o), phi(o')) (eq. 2 and 3), and F on top of it (eq. 5); both after the bonus is computed. A step that ends
    an episode counts like any other. View: the policy's own observation.
    """

    beta: float = hyper(0.0003, least=0, traced=True)
    """Weight of the exploration bonus relative to the reward; with .01 a long episode earns more bonus than finishing
    an easy task earns reward."""
    forward_weight: float = hyper(0.2, least=0, most=1, traced=True)
    """Weight of the forward loss, from 0 to 1; the inverse loss has the rest (beta of eq. 7)."""

    @property
    def actions(self) -> int:
        """Number of discrete actions, or of action components."""
        space = self.bound.action
        assert isinstance(space, Box | Discrete)
        return space.n if isinstance(space, Discrete) else space.size

    @property
    def forward(self) -> MLP:
        """The forward model F: [F + A] -> [F]."""
        return MLP((self.width, self.features))

    @property
    def inverse(self) -> MLP:
        """The inverse model I: [2 F] -> [A]."""
        return MLP((self.width, self.actions))

    def begin_model(self, key: Key) -> Tree:
        """The initial weights of phi, F and I."""
        k_phi, k_forward, k_inverse = jax.random.split(key, 3)
        return {
            "phi": self.embedding.init(k_phi, blank(self.bound.obs)),
            "forward": self.forward.init(k_forward, jnp.zeros(self.features + self.actions)),
            "inverse": self.inverse.init(k_inverse, jnp.zeros(2 * self.features)),
        }

    def errors(self, params: Tree, obs: Tree, action: Array, next_obs: Tree) -> tuple[Array, Array]:
        """(forward error |F - phi(o')|^2 / 2 [], inverse error []) of ONE transition."""
        before, after = self.embed(params["phi"], obs), self.embed(params["phi"], next_obs)
        discrete = isinstance(self.bound.action, Discrete)
        vector = jax.nn.one_hot(action, self.actions) if discrete else action
        given = jax.lax.stop_gradient((before, after))
        predicted_features: Any = self.forward.apply(params["forward"], jnp.concatenate([given[0], vector]))
        predicted_action: Any = self.inverse.apply(params["inverse"], jnp.concatenate([before, after]))
        forward = jnp.sum((predicted_features - given[1]) ** 2) / 2
        if discrete:
            return forward, optax.softmax_cross_entropy_with_integer_labels(predicted_action, action)
        return forward, jnp.mean((predicted_action - action) ** 2)

    def model_loss(self, params: Tree, rows: Transitions) -> tuple[Array, Figures]:
        """(1 - w) inverse + w forward, w = `forward_weight`; the forward error is divided by the number of features."""
        errors = jax.vmap(lambda *row: self.errors(params, *row))(rows.inputs.obs, rows.action, rows.next_obs)
        forward, inverse = jnp.mean(errors[0]) / self.features, jnp.mean(errors[1])
        loss = (1 - self.forward_weight) * inverse + self.forward_weight * forward
        return loss, {"learn/loss_forward": forward, "learn/loss_inverse": inverse}

    def bonus(self, bonus_state: Model, data: Segment, key: Key) -> tuple[Array, Tree, Figures]:
        """The forward error before the model is trained on this segment."""
        steps = data.steps
        row = lambda *row: self.errors(bonus_state.params, *row)[0]  # noqa: E731
        bonus, model = self.scaled(bonus_state, vmap_steps(row, steps.inputs.obs, steps.action, steps.next_obs))
        model, figures = self.fitted(model, steps, key)
        return bonus, model, figures
