"""POPGym's MultiarmedBandit. Rules: popgym 1.0.7."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Box, Discrete, Env, Key, Spec, Step, static
from prospect_rl.envs.memory.cards import one_hot
from prospect_rl.envs.resets import reset_if


@struct.dataclass
class BanditState:
    """The arms, and what pulling them has given."""

    odds: Array
    """[arms] float32 probability that an arm pays."""
    pulls: Array
    """[arms] int32 times that an arm was pulled, and"""
    wins: Array
    """[arms] int32 times that it paid: what an agent may know (the rules don't need them)."""
    time: Array
    """[] int32 steps so far."""


@struct.dataclass
class MultiarmedBandit(Env):
    """Pull arms that pay with probabilities drawn uniformly for every episode.

    Observation [2], one-hot: whether the last pull paid. Reward +-1 / horizon for one that pays and one that does not.
    Success has no meaning here and is never set.
    """

    id: str = static("")
    """The registered name."""
    arms: int = static(10, least=1)
    """Arms to choose from."""
    horizon: int = static(200, least=1)
    """Steps of an episode; then it is truncated."""

    @property
    def spec(self) -> Spec:
        """Static facts."""
        return Spec(self.id, Box((2,), 0.0, 1.0), Discrete(self.arms), horizon=self.horizon, fixed_length=True)

    def reset(self, key: Key) -> tuple[BanditState, Array]:
        """Draws the odds."""
        return self.begin(jax.random.uniform(key, (self.arms,)))

    def reset_if(self, needed: Array, key: Key) -> tuple[BanditState, Array]:
        """`reset` where `needed`; nothing is done elsewhere."""
        return reset_if(self, needed, key)

    def begin(self, odds: Array) -> tuple[BanditState, Array]:
        """`reset` with the odds [arms]."""
        none = jnp.zeros(self.arms, jnp.int32)
        return BanditState(odds, none, none, jnp.int32(0)), one_hot((jnp.int32(0), 2))

    def step(self, state: BanditState, action: Array, key: Key) -> tuple[BanditState, Step]:
        """Pulls an arm."""
        return self.resolve(state, action, jax.random.uniform(key))

    def resolve(self, state: BanditState, action: Array, luck: Array) -> tuple[BanditState, Step]:
        """`step` with `luck` [] from [0, 1): the arm pays where that is below its odds."""
        pulled = jnp.arange(self.arms) == action
        paid = luck < jnp.sum(jnp.where(pulled, state.odds, 0.0))
        time = state.time + 1
        reward = jnp.where(paid, 1.0, -1.0) * jnp.float32(1 / self.horizon)
        never = jnp.zeros((), bool)
        step = Step(one_hot((paid.astype(jnp.int32), 2)), reward, never, time >= self.horizon, {"success": never})
        return BanditState(state.odds, state.pulls + pulled, state.wins + (pulled & paid), time), step
