"""Tiny environments with known optimal returns and values; each reveals one kind of bug in an agent.

They follow the "probing environments" of A. Jones and of rejax's tests. All episodes have a fixed length; gamma is the
agent's discount factor.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Box, Discrete, Env, Key, Spec, Step, static
from prospect_rl.envs.terminations import never


@struct.dataclass
class ProbeState:
    """The state of an episode, for all probes."""

    time: Array
    """[] int32 steps taken so far."""
    cue: Array
    """[] float32 sign drawn at reset, -1 or 1; 0 if the probe draws none."""


def always(obs: Array, action: Array, next_obs: Array) -> Array:
    """Return True: the termination function of one-step tasks."""
    return jnp.ones((), bool)


def draw_sign(key: Key) -> Array:
    """Draw -1 or 1 with equal probability, float32 []."""
    return jnp.where(jax.random.bernoulli(key), 1.0, -1.0)


def outcome(obs: Array, reward: Array, *, terminated: Array | bool, truncated: Array | bool, success: Array) -> Step:
    """Return the `Step` of a probe."""
    return Step(obs, reward, jnp.asarray(terminated), jnp.asarray(truncated), {"success": success})


@struct.dataclass
class Bandit(Env):
    """A one-step bandit: the best arm pays 1, the others 0.5. Reveals wrong signs in policy losses.

    Observation [1]: always 0. Action: the index of an arm. The episode terminates after one step. Success: the best
    arm was chosen. Optimal return 1 (always `best`); a uniform policy gets 0.5 + 0.5 / arms on average, which is also
    the value of the observation under it.
    """

    arms: int = static(4, least=1)
    """Number of arms (actions) to choose from."""
    best: int = static(2, least=0)
    """Index of the arm that pays 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.best >= self.arms:
            raise ValueError(f"best must be one of the {self.arms} arms, not {self.best}")

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit; the observation is always 0."""
        obs, action = Box((1,), 0.0, 0.0), Discrete(self.arms)
        return Spec("probe/bandit", obs, action, horizon=1, fixed_length=True, termination=always)

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Start an episode; nothing is random."""
        return ProbeState(jnp.int32(0), jnp.zeros(())), jnp.zeros(1)

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Pay the reward and terminate."""
        best = action == self.best
        step = outcome(jnp.zeros(1), jnp.where(best, 1.0, 0.5), terminated=True, truncated=False, success=best)
        return ProbeState(state.time + 1, state.cue), step


@struct.dataclass
class Target(Env):
    """One step with a continuous action, which pays -(action - obs / 2)^2. Reveals wrong actor gradients.

    Observation [1]: -1 or 1 with equal probability. Action [1] in [-1, 1]. The episode terminates after one step.
    Success: the action is within 0.1 of obs / 2. The optimal action is obs / 2, with return and value 0; the best
    policy that ignores the observation plays 0 and gets -0.25.
    """

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        obs, action = Box((1,), -1.0, 1.0), Box((1,), -1.0, 1.0)
        return Spec("probe/target", obs, action, horizon=1, fixed_length=True, termination=always)

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Draw the sign that is observed."""
        cue = draw_sign(key)
        return ProbeState(jnp.int32(0), cue), cue[None]

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Pay the reward and terminate; the next observation is 0."""
        error = action[0] - state.cue / 2
        success = jnp.abs(error) < 0.1
        step = outcome(jnp.zeros(1), -jnp.square(error), terminated=True, truncated=False, success=success)
        return ProbeState(state.time + 1, state.cue), step


@struct.dataclass
class OneStep(Env):
    """One step whose reward is the observation, whatever the action. Reveals critics that ignore the observation.

    Observation [1]: -1 or 1 with equal probability. Actions: 0 or 1, without effect. The episode terminates after one
    step. Success: the reward is 1. The value of an observation is the observation itself, Q(obs, action) = obs, and
    the mean return of every policy is 0.
    """

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return Spec(
            "probe/one_step", Box((1,), -1.0, 1.0), Discrete(2), horizon=1, fixed_length=True, termination=always
        )

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Draw the sign that is observed."""
        cue = draw_sign(key)
        return ProbeState(jnp.int32(0), cue), cue[None]

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Pay the reward and terminate; the next observation is 0."""
        step = outcome(jnp.zeros(1), state.cue, terminated=True, truncated=False, success=state.cue > 0)
        return ProbeState(state.time + 1, state.cue), step


@struct.dataclass
class Discounting(Env):
    """Two steps, with a reward of 1 at the second. Reveals wrong discounts and targets that are off by one step.

    Observation [1]: the number of steps taken so far. Actions: 0 or 1, without effect. The episode terminates after
    two steps, with success. The value of observation 0 is gamma, that of observation 1 is 1; the return of every
    policy is 1.
    """

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit; the observation after the last step is 2."""
        return Spec("probe/discounting", Box((1,), 0.0, 2.0), Discrete(2), horizon=2, fixed_length=True)

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Start an episode; nothing is random."""
        return ProbeState(jnp.int32(0), jnp.zeros(())), jnp.zeros(1)

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Count the step; the second pays 1 and terminates."""
        time = state.time + 1
        end = time >= 2
        step = outcome(
            time.astype(jnp.float32)[None], end.astype(jnp.float32), terminated=end, truncated=False, success=end
        )
        return ProbeState(time, state.cue), step


@struct.dataclass
class Memory(Env):
    """Repeat at the last step a cue that is shown only at the first. Reveals memories that leak or are cut off.

    Observation [2]: (cue, last), where cue is -1 or 1 at step 0 and 0 afterwards, and last is 1 at the last step and 0
    before. Action 1 answers cue 1, action 0 answers cue -1; earlier actions have no effect. A right answer pays 1 and
    is success. The episode terminates after `delay` + 1 steps. Optimal return 1; a policy without memory gets 0.5 on
    average. The value of a remembered cue s steps before the last one is gamma^s.
    """

    delay: int = static(1, least=1)
    """Number of steps between the cue and the answer."""

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return Spec("probe/memory", Box((2,), -1.0, 1.0), Discrete(2), horizon=self.delay + 1, fixed_length=True)

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Draw the cue and show it."""
        cue = draw_sign(key)
        return ProbeState(jnp.int32(0), cue), jnp.stack([cue, jnp.zeros(())])

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Ignore the action, except at the last step, where the answer is judged."""
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
    """A reward of 1 per step until a limit. Reveals agents that confuse truncation and termination.

    Observation [1]: time / horizon. Actions: 0 or 1, without effect. The episode ends after `horizon` steps, with
    success. If the limit truncates, the value is 1 / (1 - gamma) at every time, because the agent bootstraps; if it
    `terminates`, the value is (1 - gamma^(horizon - time)) / (1 - gamma). The return of every policy is `horizon`.
    """

    horizon: int = static(5, least=1)
    """Length of an episode in steps."""
    terminates: bool = static(False)
    """Whether the limit terminates the episode instead of truncating it."""

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return Spec(
            "probe/limit", Box((1,), 0.0, 1.0), Discrete(2), horizon=self.horizon, fixed_length=True,
            termination=None if self.terminates else never,
        )  # fmt: skip

    def reset(self, key: Key) -> tuple[ProbeState, Array]:
        """Start an episode; nothing is random."""
        return ProbeState(jnp.int32(0), jnp.zeros(())), jnp.zeros(1)

    def step(self, state: ProbeState, action: Array, key: Key) -> tuple[ProbeState, Step]:
        """Pay 1 and count the step."""
        time = state.time + 1
        end = time >= self.horizon
        obs = time.astype(jnp.float32)[None] / self.horizon
        terminated, truncated = (end, jnp.zeros((), bool)) if self.terminates else (jnp.zeros((), bool), end)
        return ProbeState(time, state.cue), outcome(
            obs, jnp.ones(()), terminated=terminated, truncated=truncated, success=end
        )
