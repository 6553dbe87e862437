"""POPGym's MultiarmedBandit, with the rules of popgym 1.0.7."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Box, Discrete, Env, Key, Spec, Step, static
from prospect_rl.envs.memory.cards import one_hot
from prospect_rl.envs.resets import reset_if


@struct.dataclass
class BanditState:
    """The state of an episode."""

    odds: Array
    """[arms] float32 probability that each arm pays."""
    pulls: Array
    """[arms] int32 number of times that each arm was pulled (used only by the oracle)."""
    wins: Array
    """[arms] int32 number of times that each arm paid (used only by the oracle)."""
    time: Array
    """[] int32 steps taken so far."""


@struct.dataclass
class MultiarmedBandit(Env):
    """Pull arms whose probabilities of paying are drawn uniformly for every episode.

    Observation [2], one-hot: 0, the last pull did not pay (or none was made); 1, it paid. Action: the index of an arm.
    Reward: 1 / horizon if the arm pays, -1 / horizon if not. An episode lasts `horizon` steps and never terminates.
    `success` has no meaning here and is always False.
    """

    id: str = static("")
    """The registered id of the task."""
    arms: int = static(10, least=1)
    """Number of arms (actions) to choose from."""
    horizon: int = static(200, least=1)
    """Length of an episode in steps; then it is truncated."""

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return Spec(self.id, Box((2,), 0.0, 1.0), Discrete(self.arms), horizon=self.horizon, fixed_length=True)

    def reset(self, key: Key) -> tuple[BanditState, Array]:
        """Draw the arms' probabilities."""
        return self.begin(jax.random.uniform(key, (self.arms,)))

    def reset_if(self, needed: Array, key: Key) -> tuple[BanditState, Array]:
        """Do as `reset` where `needed` [] is True; elsewhere do nothing."""
        return reset_if(self, needed, key)

    def begin(self, odds: Array) -> tuple[BanditState, Array]:
        """Do as `reset`, with given probabilities [arms]."""
        none = jnp.zeros(self.arms, jnp.int32)
        return BanditState(odds, none, none, jnp.int32(0)), one_hot((jnp.int32(0), 2))

    def step(self, state: BanditState, action: Array, key: Key) -> tuple[BanditState, Step]:
        """Pull an arm."""
        return self.resolve(state, action, jax.random.uniform(key))

    def resolve(self, state: BanditState, action: Array, uniform: Array) -> tuple[BanditState, Step]:
        """Do as `step`, with a given number `uniform` [] in [0, 1): the arm pays if it is below its probability."""
        pulled = jnp.arange(self.arms) == action
        paid = uniform < jnp.sum(jnp.where(pulled, state.odds, 0.0))
        time = state.time + 1
        reward = jnp.where(paid, 1.0, -1.0) * jnp.float32(1 / self.horizon)
        never = jnp.zeros((), bool)
        step = Step(one_hot((paid.astype(jnp.int32), 2)), reward, never, time >= self.horizon, {"success": never})
        return BanditState(state.odds, state.pulls + pulled, state.wins + (pulled & paid), time), step
