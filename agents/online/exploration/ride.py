"""RIDE: what changes the world pays, the less the oftener it was seen in the episode.

Source: Raileanu and Rocktaeschel 2020, arXiv 2002.12292; facebookresearch/impact-driven-exploration, src/algos/ride.py.
View: the change is one of the policy's own observation; counts are of the full state by default (`view`).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key, Segment, Tree
from prospect_rl.agents.online.exploration.bonus import Counting, ended, over
from prospect_rl.agents.online.exploration.icm import ICM
from prospect_rl.agents.ops import visits
from prospect_rl.agents.ops.minibatches import Figures


@dataclass(frozen=True, kw_only=True)
class RIDE(ICM, Counting):
    """PPO with the bonus b = |phi(o') - phi(o)| / sqrt(N_ep(s')) (RIDE).

    It is divided by its running deviation, centred and cut. phi is ICM's; its forward and inverse losses are as there.
    View: phi the policy's own observation; N_ep the full state, or with view=obs that observation.
    """

    def begin(self, key: Key) -> Tree:
        """(the model, no visits)."""
        return super().begin(key), visits.episodic(self.num_envs, self.slots)

    def bonus(self, kept: Tree, data: Segment, key: Key) -> tuple[Array, Tree, Figures]:
        """The change before this segment was learned, by the root of the visits."""
        (model, seen), steps = kept, data.steps
        seen, counts = visits.count_episodic(seen, self.ids(steps), ended(steps))
        phi = lambda obs: over(lambda o: self.embed(model.params["phi"], o), obs)  # noqa: E731
        change = jnp.linalg.norm(phi(steps.next_obs) - phi(steps.inputs.obs), axis=-1)
        bonus, model = self.scaled(model, change * counts**-0.5)
        model, figures = self.fitted(model, steps, key)
        return bonus, (model, seen), figures | {"bonus/new": jnp.mean(counts == 1)}
