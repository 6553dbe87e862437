"""The base of OptiDICE and CDE: offline agents with real-valued or discrete actions.

With discrete actions, observations may be of any space: real numbers are normalised as in other agents, and category
codes go unchanged through `agents.nn.encoder`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import numpy as np

from prospect_rl.agents.api import Array, Box, Discrete, Key, Spec, Tree, hyper
from prospect_rl.agents.offline.base import Behaviour, Offline
from prospect_rl.agents.offline.cde.actions import DiscreteActions, RealActions
from prospect_rl.agents.ship.portable import Policy
from prospect_rl.agents.ship.to_numpy import behind_encoder


@dataclass(frozen=True, kw_only=True)
class AnyAction(Offline):
    """An offline agent with real-valued or discrete actions."""

    components: int = hyper(3, least=1)
    """Number of Gaussians in the mixture that models the data's real-valued actions."""
    squash: bool = True
    """Whether policies over real-valued actions end in a tanh; otherwise their actions are clipped to the bounds."""
    densities: Literal["squashed", "raw"] = "squashed"
    """Whether policies are compared by the densities of their actions (`squashed`), or of the numbers before the tanh
    (`raw`, the official code)."""
    encoding: int = hyper(128, least=1)
    """Number of features of the dense layer after an image of codes (discrete actions only)."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs discrete actions, or one array of numbers as observation and bounded real actions."""
        return None if isinstance(spec.action, Discrete) else super().misfit(spec)

    @property
    def actions(self) -> RealActions | DiscreteActions:
        """The networks and whatever depends on the kind of action."""
        spec = self.bound
        if isinstance(spec.action, Discrete):
            return DiscreteActions(spec.obs, spec.action.n, self.hidden, self.encoding)
        return RealActions(self.sizes, self.hidden, self.components, self.squash, self.densities == "raw")

    @property
    def actor_network(self) -> nn.Module:
        """The policy's network."""
        return self.actions.actor

    @property
    def squashed(self) -> bool:
        """Whether a tanh follows the network: see `squash`; never after the logits of discrete actions."""
        return self.squash and not self.discrete

    @property
    def discrete(self) -> bool:
        """Whether actions are discrete."""
        return isinstance(self.bound.action, Discrete)

    @property
    def keeps_obs(self) -> bool:
        """Whether observations stay unchanged, without normalisation."""
        obs = self.bound.obs
        return self.discrete and not (isinstance(obs, Box) and np.issubdtype(np.dtype(obs.dtype), np.floating))

    @property
    def sizes(self) -> tuple[int, int]:
        """(O, A); O is 0 where observations stay unchanged, A the number of discrete actions."""
        obs, action = self.bound.obs, self.bound.action
        if not isinstance(action, Discrete):
            return super().sizes
        return (obs.size if isinstance(obs, Box) and not self.keeps_obs else 0), action.n

    def statistics(self, obs: Tree) -> tuple[np.ndarray, np.ndarray]:
        """See `Offline`; empty where observations stay unchanged."""
        return (np.zeros(0, np.float32), np.ones(0, np.float32)) if self.keeps_obs else super().statistics(obs)

    def normalised(self, obs: Tree, mean: Any, std: Any) -> Tree:
        """See `Offline`; unchanged where observations are category codes."""
        return obs if self.keeps_obs else super().normalised(obs, mean, std)

    def scaled(self, action: np.ndarray) -> np.ndarray:
        """See `Offline`; discrete actions are unchanged."""
        return action if self.discrete else super().scaled(action)

    def within_bounds(self, chosen: Array) -> Array:
        """See `Continuous`; discrete actions are unchanged."""
        return chosen if self.discrete else super().within_bounds(chosen)

    def to_numpy(self, behaviour: Behaviour) -> Policy:
        """See `Continuous`; the network of discrete actions follows an encoder."""
        if not self.discrete:
            return super().to_numpy(behaviour)
        arrays = self.centring(behaviour)
        return behind_encoder(self, self.actor_network, behaviour.actor, "Encoder_0", arrays)

    def centring(self, behaviour: Behaviour) -> dict[str, Array]:
        """See `Offline`; none where observations stay unchanged."""
        return {} if self.keeps_obs else super().centring(behaviour)

    def policy(self, actor: Tree, obs: Tree, noise: Array, key: Key) -> Array:
        """The greedy action for ONE observation, or a sample with its spread scaled by `noise`."""
        return self.actions.select(actor, obs, noise, key)
