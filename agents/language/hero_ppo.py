"""HERO's rewards under PPO: an extension of ours, no part of the paper.

HERO's reward is paid at an episode's last step, and a value function says which steps earned it:
    A   = GAE(r, V) over each episode, standardised over all steps;  R = A + V
    GRPO's loss with these advantages + value_weight mean (V - R)^2
Advantages are not compared within groups, so that alpha and the weights of groups count as they are.
Shapes: P starts, N members of a group, B episodes, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import jax.numpy as jnp

from prospect_rl.agents.api import Array, DefaultRun, Episodes, hyper
from prospect_rl.agents.language.grpo_data import Rows, State, credits
from prospect_rl.agents.language.hero import HERO


@dataclass(frozen=True, kw_only=True)
class HeroPPO(HERO):
    """PPO with HERO's rewards at the end of episodes, an extension of ours."""

    default_run = DefaultRun("text/sort", 150_000)
    valued: ClassVar[bool] = True

    gamma: float = hyper(0.99, least=0, most=1)
    """Discount factor of future rewards, for each step."""
    lam: float = hyper(0.95, least=0, most=1)
    """Lambda of generalised advantage estimation: 0 relies on predicted values, 1 on observed returns."""
    value_weight: float = hyper(0.5, least=0)
    """Weight of the value loss in the total loss."""

    def rows(self, state: State, data: Episodes, reward: Array) -> Rows:
        """The steps of all episodes, with advantages by the values of each step and with these values' targets."""
        rows = super().rows(state, data, reward)
        value = self.outputs(state.params, rows.obs, rows.first)[1]
        last = jnp.arange(value.shape[1]) == data.length - 1  # [B, T], of lengths [B, 1]
        paid = jnp.where(last, reward.reshape(-1, 1), 0.0)
        mean = lambda x: self.mean(x, rows)  # noqa: E731
        advantage, target = credits(paid, value, last, mean, gamma=self.gamma, lam=self.lam)
        return replace(rows, advantage=advantage, target=target)

    def loss_of_values(self, values: Array, rows: Rows) -> Array:
        """The squared error of the values."""
        return self.value_weight * self.mean((values - rows.target) ** 2, rows)
