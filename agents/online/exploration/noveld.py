"""NovelD: rewards moving from known into novel states, once per episode and state.

Source: Zhang et al. 2021 (BeBold, arXiv 2012.08621; NovelD, NeurIPS 2021); tianjunz/NovelD, src/algos/bebold.py.
View: novelty is of the policy's own observation; first visits are of the full state by default (`view`).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, DefaultRun, Key, Segment, Tree, hyper
from prospect_rl.agents.online.exploration.bonus import Counting, ended, vmap_steps
from prospect_rl.agents.online.exploration.rnd import RND
from prospect_rl.agents.ops import visits
from prospect_rl.agents.ops.minibatches import Figures


@dataclass(frozen=True, kw_only=True)
class NovelD(RND, Counting):
    """PPO with the bonus b = max(e(o') - alpha e(o), 0) [first visit of s' in the episode] (NovelD).

    e = |g(o) - f(o)| is the error of RND, a norm and not its square; b is divided by its running standard deviation,
    centred and clipped. View: e uses the policy's own observation; first visits the full state, or with view=obs that
    observation.
    """

    default_run = DefaultRun("minigrid/DoorKey-8x8-v0", 303_104)

    alpha: float = hyper(0.5, least=0, traced=True)
    """Factor of the previous state's novelty, which is subtracted from that of the next state."""

    def begin(self, key: Key) -> Tree:
        """(the model, empty tables of visits)."""
        return super().begin(key), visits.episodic(self.num_envs, self.slots)

    def bonus(self, bonus_state: Tree, data: Segment, key: Key) -> tuple[Array, Tree, Figures]:
        """The difference of novelty at first visits, before the model is trained on this segment."""
        (model, seen), steps = bonus_state, data.steps
        novelty = lambda obs: jnp.sqrt(vmap_steps(lambda o: self.error(model.params, o), obs))  # noqa: E731
        seen, counts = visits.count_episodic(seen, self.ids(steps), ended(steps))
        gain = jax.nn.relu(novelty(steps.next_obs) - self.alpha * novelty(steps.inputs.obs))
        bonus, model = self.scaled(model, gain * (counts == 1))
        model, figures = self.fitted(model, steps, key)
        return bonus, (model, seen), figures | {"bonus/new": jnp.mean(counts == 1)}
