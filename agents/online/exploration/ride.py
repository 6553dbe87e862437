"""RIDE: rewards changes of the state, discounted by the episodic visit count.

Source: Raileanu and Rocktaeschel 2020, arXiv 2002.12292; facebookresearch/impact-driven-exploration, src/algos/ride.py.
View: the change is that of the policy's own observation; counts are of the full state by default (`view`).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key, Segment, Tree
from prospect_rl.agents.online.exploration.bonus import Counting, ended, vmap_steps
from prospect_rl.agents.online.exploration.icm import ICM
from prospect_rl.agents.ops import visits
from prospect_rl.agents.ops.minibatches import Figures


@dataclass(frozen=True, kw_only=True)
class RIDE(ICM, Counting):
    """PPO with the bonus b = |phi(o') - phi(o)| / sqrt(N_ep(s')) (RIDE).

    The bonus is divided by its running standard deviation, centred and clipped. phi and its forward and inverse losses
    are
    ICM's. View: phi uses the policy's own observation; N_ep the full state, or with view=obs that observation.
    """

    def begin(self, key: Key) -> Tree:
        """(the model, empty tables of visits)."""
        return super().begin(key), visits.episodic(self.num_envs, self.slots)

    def bonus(self, bonus_state: Tree, data: Segment, key: Key) -> tuple[Array, Tree, Figures]:
        """The change of features over the root of the visit count, before the model is trained on this segment."""
        (model, seen), steps = bonus_state, data.steps
        seen, counts = visits.count_episodic(seen, self.ids(steps), ended(steps))
        phi = lambda obs: vmap_steps(lambda o: self.embed(model.params["phi"], o), obs)  # noqa: E731
        change = jnp.linalg.norm(phi(steps.next_obs) - phi(steps.inputs.obs), axis=-1)
        bonus, model = self.scaled(model, change * counts**-0.5)
        model, figures = self.fitted(model, steps, key)
        return bonus, (model, seen), figures | {"bonus/new": jnp.mean(counts == 1)}
