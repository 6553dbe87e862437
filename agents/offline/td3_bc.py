"""TD3+BC: TD3 on a dataset, whose actor also stays close to the data's actions.

Source: Fujimoto, Gu 2021, arXiv 2106.06860. Critics, targets and delays are TD3's; the actor minimises
    -lambda mean Q_1(s, pi(s)) + mean (pi(s) - a)^2,   lambda = alpha / mean |Q_1(s, pi(s))|
where no gradient passes through lambda.

Shapes: B rows of a batch, A action components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, DefaultRun, Tree, hyper
from prospect_rl.agents.offline.base import STD_EPSILON, Offline
from prospect_rl.agents.online.td3 import TD3Updates
from prospect_rl.agents.ops.replay import Experience


@dataclass(frozen=True, kw_only=True)
class TD3BC(TD3Updates, Offline):
    """TD3 with a behaviour cloning term, for offline learning."""

    default_run = DefaultRun("maze2d/medium", 20_000, "maze2d/medium/waypoints")

    alpha: float = hyper(2.5, least=0, traced=True)
    """Weight of the value relative to the squared distance to the data's actions."""

    def actor_loss(self, actor: Tree, critics: Sequence[Tree], batch: Experience) -> Array:
        """The actor's loss [] (see the module's docstring)."""
        chosen = self.greedy(actor, batch.obs)
        value = self.values(critics[:1], batch.obs, chosen)
        weight = self.alpha / (jax.lax.stop_gradient(jnp.mean(jnp.abs(value))) + STD_EPSILON)
        return -weight * jnp.mean(value) + jnp.mean((chosen - batch.action) ** 2)
