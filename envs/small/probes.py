"""Tiny environments whose optimal return and values are known, each for one thing that an agent may get wrong.

After the "probing environments" of A. Jones and of rejax's tests. All episodes have a fixed length; gamma is the
agent's discount.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Box, Discrete, Env, Key, Spec, Step, static
from prospect_rl.envs.terminations import never


@struct.dataclass
class ProbeState:
    """Of all the probes."""

    time: Array
    """[] int32 steps so far."""
    cue: Array
    """[] what was drawn at reset (-1 or 1); 0 where nothing is."""


def always(obs: Array, action: Array, next_obs: Array) -> Array:
    """`Spec.termination` of one-step tasks."""
    return jnp.ones((), bool)


def draw_sign(key: Key) -> Array:
    """-1 or 1, float32 []."""
    return jnp.where(jax.random.bernoulli(key), 1.0, -1.0)


def outcome(obs: Array, reward: Array, *, terminated: Array | bool, truncated: Array | bool, success: Array) -> Step:
    """A Step of a probe."""
    return Step(obs, reward, jnp.asarray(terminated), jnp.asarray(truncated), {"success": success})


@struct.dataclass
class Bandit(Env):
    """One step: the best arm pays 1, the others 0.5. Finds wrong signs in policy losses.

    Optimal return 1 (always `best`); a uniform policy gets 0.5 + 0.5 / arms, which is also the value of its obs.
    """

    arms: int = static(4, least=1)
    """Actions to choose from."""
    best: int = static(2, least=0)
    """The one that pays 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.best >= self.arms:
            raise ValueError(f"best must be one of the {self.arms} arms, not {self.best}")

    @property
    def spec(self) -> Spec:
        """Static facts; the observation is always 0."""
        obs, action = Box((1,), 0.0, 0.0), Discrete(self.arms)
        return Spec("probe/bandit", obs, action, horizon=1, fixed_length=True, termination=always)

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Nothing is drawn."""
        return ProbeState(jnp.int32(0), jnp.zeros(())), jnp.zeros(1)

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Pays, and ends."""
        best = action == self.best
        step = outcome(jnp.zeros(1), jnp.where(best, 1.0, 0.5), terminated=True, truncated=False, success=best)
        return ProbeState(state.time + 1, state.cue), step


@struct.dataclass
class Target(Env):
    """One step of a real action: pays -(action - obs / 2)^2 for an obs of -1 or 1. Finds wrong actor gradients.

    Optimal action obs / 2, return and value 0; the best policy that ignores its obs plays 0 and gets -0.25.
    Success: within 0.1 of the target.
    """

    @property
    def spec(self) -> Spec:
        """Static facts."""
        obs, action = Box((1,), -1.0, 1.0), Box((1,), -1.0, 1.0)
        return Spec("probe/target", obs, action, horizon=1, fixed_length=True, termination=always)

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Draws the sign."""
        cue = draw_sign(key)
        return ProbeState(jnp.int32(0), cue), cue[None]

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Pays, and ends; the successor observation is 0."""
        error = action[0] - state.cue / 2
        success = jnp.abs(error) < 0.1
        step = outcome(jnp.zeros(1), -jnp.square(error), terminated=True, truncated=False, success=success)
        return ProbeState(state.time + 1, state.cue), step


@struct.dataclass
class OneStep(Env):
    """One step that pays its observation, -1 or 1, whatever is done. Finds critics that ignore obs.

    Value of obs: obs. Mean return of every policy: 0; Q(obs, action) = obs.
    """

    @property
    def spec(self) -> Spec:
        """Static facts."""
        return Spec(
            "probe/one_step", Box((1,), -1.0, 1.0), Discrete(2), horizon=1, fixed_length=True, termination=always
        )

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Draws the sign."""
        cue = draw_sign(key)
        return ProbeState(jnp.int32(0), cue), cue[None]

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Pays, and ends; the successor observation is 0."""
        step = outcome(jnp.zeros(1), state.cue, terminated=True, truncated=False, success=state.cue > 0)
        return ProbeState(state.time + 1, state.cue), step


@struct.dataclass
class Discounting(Env):
    """Two steps, obs 0 then 1, and a reward of 1 at the end. Finds wrong discounts and targets off by one step.

    Value of obs 0: gamma; of obs 1: 1. Return of every policy: 1.
    """

    @property
    def spec(self) -> Spec:
        """Static facts; the successor observation of the last step is 2."""
        return Spec("probe/discounting", Box((1,), 0.0, 2.0), Discrete(2), horizon=2, fixed_length=True)

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Nothing is drawn."""
        return ProbeState(jnp.int32(0), jnp.zeros(())), jnp.zeros(1)

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Counts."""
        time = state.time + 1
        end = time >= 2
        step = outcome(
            time.astype(jnp.float32)[None], end.astype(jnp.float32), terminated=end, truncated=False, success=end
        )
        return ProbeState(time, state.cue), step


@struct.dataclass
class Memory(Env):
    """A cue seen at the first step only must be repeated at the last one. Finds memories that leak or are cut.

    Observation (cue, last): cue -1 or 1 at step 0, then 0; last is 1 at the last step. Action 1 repeats cue 1,
    action 0 repeats cue -1; earlier actions do nothing. Optimal return 1; a policy without memory gets 0.5 on average.
    Value of a remembered cue s steps before the last one: gamma^s.
    """

    delay: int = static(1, least=1)
    """Steps between the cue and the answer."""

    @property
    def spec(self) -> Spec:
        """Static facts."""
        return Spec("probe/memory", Box((2,), -1.0, 1.0), Discrete(2), horizon=self.delay + 1, fixed_length=True)

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Draws the cue and shows it."""
        cue = draw_sign(key)
        return ProbeState(jnp.int32(0), cue), jnp.stack([cue, jnp.zeros(())])

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Waits; at the last step judges the answer."""
        time = state.time + 1
        end = time > self.delay
        right = end & ((action == 1) == (state.cue > 0))
        last = (time == self.delay).astype(jnp.float32)
        step = outcome(
            jnp.stack([jnp.zeros(()), last]), right.astype(jnp.float32), terminated=end, truncated=False, success=right
        )
        return ProbeState(time, state.cue), step


@struct.dataclass
class Limit(Env):
    """A reward of 1 a step until a limit. Finds agents that take a time limit for an end, or an end for a time limit.

    Observation time / horizon. Value where the limit truncates: 1 / (1 - gamma) at every time (it bootstraps);
    where it `terminates`: (1 - gamma^(horizon - time)) / (1 - gamma). Return of every policy: horizon.
    """

    horizon: int = static(5, least=1)
    """Steps of an episode."""
    terminates: bool = static(False)
    """The limit is a true end."""

    @property
    def spec(self) -> Spec:
        """Static facts."""
        return Spec(
            "probe/limit", Box((1,), 0.0, 1.0), Discrete(2), horizon=self.horizon, fixed_length=True,
            termination=None if self.terminates else never,
        )  # fmt: skip

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Nothing is drawn."""
        return ProbeState(jnp.int32(0), jnp.zeros(())), jnp.zeros(1)

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Pays and counts."""
        time = state.time + 1
        end = time >= self.horizon
        obs = time.astype(jnp.float32)[None] / self.horizon
        terminated, truncated = (end, jnp.zeros((), bool)) if self.terminates else (jnp.zeros((), bool), end)
        return ProbeState(time, state.cue), outcome(
            obs, jnp.ones(()), terminated=terminated, truncated=truncated, success=end
        )
