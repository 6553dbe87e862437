"""A combination lock: a chain of states in which one arm of each state advances and a safe arm pays a little.

The task was designed for tabular MEX (docs/methods/mex.md).
Shapes: S = length + 1 states, of which the last is the goal; A arms (actions).
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
"""Index of the safe arm, which pays a little and stays in the same state."""


@dataclass(frozen=True)
class TabularSpec(Spec):
    """The spec of an environment with finitely many states and known rewards."""

    rewards: tuple[tuple[float, ...], ...] = ()
    """[S][A] reward of each arm in each state; it does not depend on the next state."""


@struct.dataclass
class LockState:
    """The state of an episode."""

    position: Array
    """[] int32 index of the current state, from 0 to `length` (the goal)."""
    time: Array
    """[] int32 steps taken so far."""


@struct.dataclass
class CombinationLock(Env):
    """A chain of S states; an episode begins in the first state and lasts exactly `horizon` steps.

    Observation: the index of the current state, from 0 to `length`. Action: the index of an arm.
    In state s < length, arm 0 (safe) pays `safe` and stays; the right arm, 1 + s mod (arms - 1), moves to s + 1 with
    probability `forward` and otherwise stays; every other arm moves back to the first state. The right and the wrong
    arms pay 0. The goal is absorbing and pays 1 for every step that begins in it; the step into the goal pays 0.
    Success: the goal has been reached. The episode never terminates; it is truncated after `horizon` steps.

    With the default values the goal pays only if the first six steps all succeed. Values of the first state: .35 if
    the safe arm is always taken; .9^6 = .5314 if the right arm is always taken; .6206 at the optimum (right arms until
    one fails to advance, then safe arms).
    """

    length: int = static(6, least=1)
    """Number of states before the goal."""
    arms: int = static(3, least=2)
    """Number of actions in every state: one safe arm, one right arm, and wrong arms."""
    forward: float = static(0.9, least=0, most=1)
    """Probability that the right arm advances to the next state."""
    safe: float = static(0.05)
    """Reward for pulling the safe arm once."""
    horizon: int = static(7, least=1)
    """Length of an episode in steps."""

    @property
    def spec(self) -> TabularSpec:
        """The spaces, the time limit and the reward table."""
        arms = tuple(self.safe if arm == SAFE else 0.0 for arm in range(self.arms))
        return TabularSpec(
            id="lock/combination", obs=Discrete(self.length + 1), action=Discrete(self.arms), horizon=self.horizon,
            fixed_length=True, termination=never, rewards=(arms,) * self.length + ((1.0,) * self.arms,),
        )  # fmt: skip

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the exact dynamics, float32: transition probabilities [S, A, S] and rewards [S, A]."""
        states, arms = self.length + 1, np.arange(self.arms)
        table = np.zeros((states, self.arms, states), np.float32)
        for s in range(self.length):
            right = 1 + s % (self.arms - 1)
            table[s, arms, np.where((arms == SAFE) | (arms == right), s, 0)] = 1.0
            table[s, right, s], table[s, right, s + 1] = 1 - self.forward, self.forward
        table[self.length, :, self.length] = 1.0
        return table, np.asarray(self.spec.rewards, np.float32)

    def reset(self, key: Key) -> tuple[LockState, Array]:
        """Start in the first state."""
        state = LockState(jnp.int32(0), jnp.int32(0))
        return state, state.position

    def step(self, state: LockState, action: Array, key: Key) -> tuple[LockState, Step]:
        """Pay the reward of the current state and arm, then move."""
        transition, reward = self.tables()
        paid = jnp.asarray(reward)[state.position, action]
        odds = jnp.asarray(transition)[state.position, action]
        position = jax.random.categorical(key, jnp.log(odds)).astype(jnp.int32)
        time = state.time + 1
        info = {"success": position == self.length}
        step = Step(position, paid, jnp.zeros((), bool), time >= self.horizon, info)
        return LockState(position, time), step
