"""The base of agents that sample their actions from a distribution: over choices, or over bounded vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prospect_rl.agents.api import Agent, Array, Box, Discrete, Key, Spec, Tree, not_bounded_vector
from prospect_rl.agents.nn.trunk import emptied
from prospect_rl.agents.ops.distributions import Categorical, Gaussian


@dataclass(frozen=True, kw_only=True)
class Sampled(Agent):
    """Base of PPO and GRPO: what their policies have in common. A behaviour has the weights as `params`."""

    def misfit(self, spec: Spec) -> str | None:
        """Needs a discrete action or a bounded vector."""
        return None if isinstance(spec.action, Discrete) else not_bounded_vector(spec.action)

    @property
    def network(self) -> Any:
        """The network of the policy, with a method `open` for the memory at the start of an episode."""
        raise NotImplementedError

    def memory(self, behaviour: Any, key: Key) -> Tree:
        """The memory at the start of an episode."""
        return self.network.apply(behaviour.params, method="open")

    def fresh_memory(self, behaviour: Any, memory: Tree, ended: Array, key: Key) -> Tree:
        """Of a window or a cache the count alone."""
        return emptied(self.memory(behaviour, key), memory, ended)

    def policy(self, params: Tree, outputs: Array) -> Categorical | Gaussian:
        """The action distribution for outputs of the network [..., A]."""
        discrete = isinstance(self.bound.action, Discrete)
        return Categorical(outputs) if discrete else Gaussian(outputs, params["params"]["log_std"])

    def bounded(self, choice: Array) -> Array:
        """A sampled action as the environment takes it: scaled from [-1, 1] to its bounds and clipped to them."""
        space = self.bound.action
        return space.scale(choice) if isinstance(space, Box) else choice
