"""ICM: what a model cannot foretell, in features of what the agent can control, is new.

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
from prospect_rl.agents.online.exploration.bonus import Model, Modelling, over
from prospect_rl.agents.ops.minibatches import Figures


@dataclass(frozen=True, kw_only=True)
class ICM(Modelling):
    """PPO with the bonus b = |F(phi(o), a) - phi(o')|^2 / 2 (ICM, eq. 6).

    It is divided by its running deviation, centred and cut. phi is trained by the inverse model alone,
    a = I(phi(o), phi(o')) (eq. 2 and 3), and F on top of it (eq. 5); both after the bonus was taken. A step that ends
    an episode counts like any other. View: the policy's own observation.
    """

    beta: float = hyper(0.0003, least=0)
    """Weight of the bonus beside the reward; with .01 a long episode earns more bonus than finishing an easy task earns
    reward."""
    forward_weight: float = hyper(0.2, least=0, most=1)
    """beta of eq. 7: the share of the forward loss beside the inverse one."""

    @property
    def actions(self) -> int:
        """Choices, or components of the action."""
        space = self.bound.action
        assert isinstance(space, Box | Discrete)
        return space.n if isinstance(space, Discrete) else space.size

    @property
    def forward(self) -> MLP:
        """F: [F + A] -> [F]."""
        return MLP((self.width, self.features))

    @property
    def inverse(self) -> MLP:
        """I: [2 F] -> [A]."""
        return MLP((self.width, self.actions))

    def begin_model(self, key: Key) -> Tree:
        """phi, F and I."""
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
        foretold: Any = self.forward.apply(params["forward"], jnp.concatenate([given[0], vector]))
        guessed: Any = self.inverse.apply(params["inverse"], jnp.concatenate([before, after]))
        forward = jnp.sum((foretold - given[1]) ** 2) / 2
        if discrete:
            return forward, optax.softmax_cross_entropy_with_integer_labels(guessed, action)
        return forward, jnp.mean((guessed - action) ** 2)

    def model_loss(self, params: Tree, rows: Transitions) -> tuple[Array, Figures]:
        """(1 - w) inverse + w forward, w = `forward_weight`; the forward error by features."""
        errors = jax.vmap(lambda *row: self.errors(params, *row))(rows.inputs.obs, rows.action, rows.next_obs)
        forward, inverse = jnp.mean(errors[0]) / self.features, jnp.mean(errors[1])
        loss = (1 - self.forward_weight) * inverse + self.forward_weight * forward
        return loss, {"learn/loss_forward": forward, "learn/loss_inverse": inverse}

    def bonus(self, kept: Model, data: Segment, key: Key) -> tuple[Array, Tree, Figures]:
        """The forward error before this segment was learned."""
        steps = data.steps
        row = lambda *row: self.errors(kept.params, *row)[0]  # noqa: E731
        bonus, model = self.scaled(kept, over(row, steps.inputs.obs, steps.action, steps.next_obs))
        model, figures = self.fitted(model, steps, key)
        return bonus, model, figures
