"""RND: what a network has not yet learned to predict of a random one is new.

Source: Burda et al. 2018, arXiv 1810.12894. View: the policy's own observation.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key, Segment, Transitions, Tree
from prospect_rl.agents.nn.encoder import blank
from prospect_rl.agents.online.exploration.bonus import Model, Modelling, over
from prospect_rl.agents.ops.minibatches import Figures


@dataclass(frozen=True, kw_only=True)
class RND(Modelling):
    """PPO with the bonus b = |g(o') - f(o')|^2 (RND, section 2.2), divided by its running deviation, centred and cut.

    f is random and stays; g is trained on the successors of every segment, after the bonus was taken. One value head,
    episodic (the paper has a second, non-episodic one). View: the policy's own observation.
    """

    def begin_model(self, key: Key) -> Tree:
        """g; f sits beside it, and no gradient reaches it."""
        obs = blank(self.bound.obs)
        k_target, k_guess = jax.random.split(key)
        return {"target": self.embedding.init(k_target, obs), "guess": self.embedding.init(k_guess, obs)}

    def error(self, params: Tree, obs: Tree) -> Array:
        """|g(o) - f(o)|^2 [] of ONE observation."""
        target = jax.lax.stop_gradient(self.embed(params["target"], obs))
        return jnp.sum((self.embed(params["guess"], obs) - target) ** 2)

    def model_loss(self, params: Tree, rows: Transitions) -> tuple[Array, Figures]:
        """The mean error over successors, by features."""
        loss = jnp.mean(jax.vmap(lambda obs: self.error(params, obs))(rows.next_obs)) / self.features
        return loss, {"learn/loss_model": loss}

    def bonus(self, kept: Model, data: Segment, key: Key) -> tuple[Array, Tree, Figures]:
        """The error before this segment was learned."""
        bonus, model = self.scaled(kept, over(lambda obs: self.error(kept.params, obs), data.steps.next_obs))
        model, figures = self.fitted(model, data.steps, key)
        return bonus, model, figures
