"""A combination lock: a chain that only the right arm of each state climbs, beside a safe arm that pays a little.

A task of ours, for MEX in tables (docs/methods/mex.md). Shapes: S = length + 1 states, the last one the goal; A arms.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Discrete, Env, Key, Spec, Step, static
from prospect_rl.envs.terminations import never

SAFE = 0
"""The arm that pays a little and leads nowhere."""


@dataclass(frozen=True)
class TabularSpec(Spec):
    """The spec of an environment with countable states and known rewards."""

    rewards: tuple[tuple[float, ...], ...] = ()
    """[S][A] the reward of an arm in a state, wherever it leads."""


@struct.dataclass
class LockState:
    """Where the lock stands."""

    position: Array
    """[] int32, `length` in the goal."""
    time: Array
    """[] int32 steps so far."""


@struct.dataclass
class CombinationLock(Env):
    """S states in a row; the episode begins in the first and lasts `horizon` steps.

    In state s < length: arm 0 pays `safe` and stays; the right arm, 1 + s mod (arms - 1), leads to s + 1 with
    probability `forward` and else stays; every other arm leads back to the first state. Neither pays. The goal is
    absorbing and pays 1 for every step that begins there. Observation: the state. Success: in the goal.

    With the default numbers the goal pays only if the first six steps all succeed. Values of the first state: safe
    arm .35; right arms to the end .9^6 = .5314; optimum (right arms until one slips, then safe ones) .6206.

    Such chains differ in where the safe arm, a slip and a wrong arm lead, whether the safe arm pays in every state, and
    whether a step into the goal pays: here as said above, and that step does not pay yet.
    """

    length: int = static(6, least=1)
    """States before the goal."""
    arms: int = static(3, least=2)
    """Actions in every state: the safe one, the right one, wrong ones."""
    forward: float = static(0.9, least=0, most=1)
    """Probability that the right arm leads on."""
    safe: float = static(0.05)
    """Reward of the safe arm."""
    horizon: int = static(7, least=1)
    """Steps of an episode."""

    @property
    def spec(self) -> TabularSpec:
        """Static facts, the table of rewards among them."""
        arms = tuple(self.safe if arm == SAFE else 0.0 for arm in range(self.arms))
        return TabularSpec(
            id="lock/combination", obs=Discrete(self.length + 1), action=Discrete(self.arms), horizon=self.horizon,
            fixed_length=True, termination=never, rewards=(arms,) * self.length + ((1.0,) * self.arms,),
        )  # fmt: skip

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """(transition [S, A, S], reward [S, A]), the exact dynamics, float32."""
        states, arms = self.length + 1, np.arange(self.arms)
        table = np.zeros((states, self.arms, states), np.float32)
        for s in range(self.length):
            right = 1 + s % (self.arms - 1)
            table[s, arms, np.where((arms == SAFE) | (arms == right), s, 0)] = 1.0
            table[s, right, s], table[s, right, s + 1] = 1 - self.forward, self.forward
        table[self.length, :, self.length] = 1.0
        return table, np.asarray(self.spec.rewards, np.float32)

    def reset(self, key: Key) -> tuple[LockState, Array]:
        """Always in the first state."""
        state = LockState(jnp.int32(0), jnp.int32(0))
        return state, state.position

    def step(self, state: LockState, action: Array, key: Key) -> tuple[LockState, Step]:
        """Pays for the state that it begins in, then moves."""
        transition, reward = self.tables()
        paid = jnp.asarray(reward)[state.position, action]
        odds = jnp.asarray(transition)[state.position, action]
        position = jax.random.categorical(key, jnp.log(odds)).astype(jnp.int32)
        time = state.time + 1
        info = {"success": position == self.length}
        step = Step(position, paid, jnp.zeros((), bool), time >= self.horizon, info)
        return LockState(position, time), step
