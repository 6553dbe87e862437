"""What OptiDICE and CDE see and do: real actions, as every agent that learns from a dataset, or choices.

Where actions are choices, observations may be of any space: real numbers are normalised as elsewhere, and what is made
of codes goes through `agents.nn.encoder` as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from prospect_rl.agents.api import Array, Box, Discrete, Key, Spec, Tree, hyper
from prospect_rl.agents.offline.base import Offline
from prospect_rl.agents.offline.cde.actions import Choices, Real


@dataclass(frozen=True, kw_only=True)
class AnyAction(Offline):
    """An agent that learns from a dataset, of real actions or of choices."""

    components: int = hyper(3, least=1)
    """Number of Gaussians in the mixture that models the data's real-valued actions."""
    squash: bool = True
    """Whether policies over real-valued actions end in a tanh; otherwise their actions are cut at the bounds."""
    densities: Literal["squashed", "raw"] = "squashed"
    """Whether policies are compared by the densities of their actions, or of what is before the tanh (the official
    code)."""
    encoding: int = hyper(128, least=1)
    """Number of features of the dense layer behind a picture of codes (discrete actions alone)."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs choices, or one array of numbers as observation and bounded real actions."""
        return None if isinstance(spec.action, Discrete) else super().misfit(spec)

    @property
    def actions(self) -> Real | Choices:
        """Its networks, and what depends on the kind of action."""
        spec = self.bound
        if isinstance(spec.action, Discrete):
            return Choices(spec.obs, spec.action.n, self.hidden, self.encoding)
        return Real(self.sizes, self.hidden, self.components, self.squash, self.densities == "raw")

    @property
    def chooses(self) -> bool:
        """Whether actions are choices."""
        return isinstance(self.bound.action, Discrete)

    @property
    def coded(self) -> bool:
        """Whether observations stay as they are."""
        obs = self.bound.obs
        return self.chooses and not (isinstance(obs, Box) and np.issubdtype(np.dtype(obs.dtype), np.floating))

    @property
    def sizes(self) -> tuple[int, int]:
        """(O, A); O is 0 where observations stay as they are, A the number of choices."""
        obs, action = self.bound.obs, self.bound.action
        if not isinstance(action, Discrete):
            return super().sizes
        return (obs.size if isinstance(obs, Box) and not self.coded else 0), action.n

    def statistics(self, obs: Tree) -> tuple[np.ndarray, np.ndarray]:
        """See `Offline`; empty where observations stay as they are."""
        return (np.zeros(0, np.float32), np.ones(0, np.float32)) if self.coded else super().statistics(obs)

    def seen(self, obs: Tree, mean: Any, std: Any) -> Tree:
        """See `Offline`; as they are where they are made of codes."""
        return obs if self.coded else super().seen(obs, mean, std)

    def scaled(self, action: np.ndarray) -> np.ndarray:
        """See `Offline`; choices as they are."""
        return action if self.chooses else super().scaled(action)

    def within_bounds(self, chosen: Array) -> Array:
        """See `Continuous`; choices as they are."""
        return chosen if self.chooses else super().within_bounds(chosen)

    def policy(self, actor: Tree, obs: Tree, noise: Array, key: Key) -> Array:
        """The greedy action for ONE observation, or a sample whose spread is scaled by `noise`."""
        return self.actions.chosen(actor, obs, noise, key)
