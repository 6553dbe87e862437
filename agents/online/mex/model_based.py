"""MEX-MB: MBPO whose model is optimistic: its loss also favours outcomes with a high advantage.

Source: Liu et al., NeurIPS 2023 ("Maximize to Explore"), arXiv 2305.18258, as in its official code
(agentification/MEX, MEX_MB/mbrl/models/one_dim_tr_model.py, `update`; see docs/methods/mex.md).
For each minibatch of the model, at its states s:
    a ~ pi(s),   (d, r) ~ P(s, a)  (no gradient passes the draw),   s' = s + d,   a' ~ pi(s')
    advantage = r + gamma min_i Q_i(s', a') - min_i Q_i(s, a),   standardised over the batch
    model: Adam on MBPO's loss - value_weight mean (log P(d, r | s, a) advantage)
Everything else is MBPO; value_weight = 0 leaves the term out and is MBPO bit for bit.

Shapes: B rows of a batch, O observation and A action components, K = O + 1 outputs of the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key, Tree, hyper
from prospect_rl.agents.continuous import Figures
from prospect_rl.agents.nn.critics import critic_values
from prospect_rl.agents.nn.dynamics import Model, log_density
from prospect_rl.agents.online.mbpo import MBPO
from prospect_rl.agents.online.sac import Learner
from prospect_rl.agents.ops.replay import Experience


@dataclass(frozen=True, kw_only=True)
class MEXMB(MBPO):
    """Maximise to explore, model-based: MBPO with an optimistic value term in the loss of its model."""

    value_weight: float = hyper(0.001, least=0)
    """Weight of the optimistic value term in the loss of the model."""

    def model_loss(
        self, member: Tree, model: Model, batch: Experience, learner: Learner, key: Key
    ) -> tuple[Array, Figures]:
        """MBPO's loss of ONE member minus the weighted value term: (loss [], metrics)."""
        loss, figures = super().model_loss(member, model, batch, learner, key)
        if self.value_weight == 0:  # a term with weight 0 would change how XLA fuses sums, hence the last bits
            return loss, figures
        k_action, k_model, k_next = jax.random.split(key, 3)
        action, _ = self.sampled(learner.actor, batch.obs, k_action)
        mean, log_var = self.predict(member, model, batch.obs, action)
        drawn = jax.lax.stop_gradient(mean + jnp.exp(log_var / 2) * jax.random.normal(k_model, mean.shape))
        next_obs = batch.obs + drawn[:, :-1]
        next_action, _ = self.sampled(learner.actor, next_obs, k_next)
        value, next_value = (
            jnp.min(critic_values(self, learner.critics, *pair), axis=0)
            for pair in ((batch.obs, action), (next_obs, next_action))
        )
        gain = advantage(drawn[:, -1], value, next_value, self.gamma)
        term = value_term(log_density(mean, log_var, drawn), standardised(gain))
        figures = {"learn/loss_model": loss - self.value_weight * term, "learn/likelihood": loss}
        more = {"learn/value_term": term, "learn/advantage": jnp.mean(gain), "learn/advantage_spread": jnp.std(gain)}
        return loss - self.value_weight * term, figures | more


def advantage(reward: Array, value: Array, next_value: Array, gamma: float) -> Array:
    """The advantage [...] of an imagined outcome. Terminations are ignored, as in the official code."""
    return reward + gamma * next_value - value


def standardised(x: Array) -> Array:
    """Numbers [B] minus their mean, divided by their standard deviation (computed with B - 1)."""
    return (x - jnp.mean(x)) / (jnp.std(x, ddof=1) + 1e-8)


def value_term(log_prob: Array, gain: Array) -> Array:
    """[] mean over rows and components of log P [B, K] times advantage [B]: its gradient is the score function's."""
    return jnp.mean(log_prob * gain[:, None])
