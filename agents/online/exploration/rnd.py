"""RND: the error of a network that learns to predict a fixed random network as bonus.

Source: Burda et al. 2018, arXiv 1810.12894. View: the policy's own observation.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key, Segment, Transitions, Tree
from prospect_rl.agents.nn.encoder import blank
from prospect_rl.agents.online.exploration.bonus import Model, Modelling, vmap_steps
from prospect_rl.agents.ops.minibatches import Figures


@dataclass(frozen=True, kw_only=True)
class RND(Modelling):
    """PPO with the bonus b = |g(o') - f(o')|^2 (RND, section 2.2), divided by its running deviation, centred, clipped.

    f is random and fixed; g is trained on the next observations of every segment, after the bonus is computed. One
    value
    head, episodic (the paper has a second, non-episodic one). View: the policy's own observation.
    """

    def begin_model(self, key: Key) -> Tree:
        """The weights of g ("guess") and of the random f ("target"), which gets no gradient."""
        obs = blank(self.bound.obs)
        k_target, k_guess = jax.random.split(key)
        return {"target": self.embedding.init(k_target, obs), "guess": self.embedding.init(k_guess, obs)}

    def error(self, params: Tree, obs: Tree) -> Array:
        """The error |g(o) - f(o)|^2 [] of ONE observation."""
        target = jax.lax.stop_gradient(self.embed(params["target"], obs))
        return jnp.sum((self.embed(params["guess"], obs) - target) ** 2)

    def model_loss(self, params: Tree, rows: Transitions) -> tuple[Array, Figures]:
        """The mean error over next observations, divided by the number of features."""
        loss = jnp.mean(jax.vmap(lambda obs: self.error(params, obs))(rows.next_obs)) / self.features
        return loss, {"learn/loss_model": loss}

    def bonus(self, bonus_state: Model, data: Segment, key: Key) -> tuple[Array, Tree, Figures]:
        """The error before the model is trained on this segment."""
        bonus, model = self.scaled(
            bonus_state, vmap_steps(lambda obs: self.error(bonus_state.params, obs), data.steps.next_obs)
        )
        model, figures = self.fitted(model, data.steps, key)
        return bonus, model, figures
