"""POPGym's cart-poles and pendulums: gymnasium's tasks with a partly hidden or noisy state.

`begin` and `resolve` are `reset` and `step` with a given initial state and noise. Numbers are float32, while
gymnasium's states are float64. The rules are those of popgym 1.0.7 and gymnasium 1.4.
"""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Discrete, Env, Key, Spec, Step, static


@struct.dataclass
class ControlState:
    """The state of an episode of either task."""

    q: Array
    """[4] float32 position (m), velocity (m/s), angle (rad, 0 upright) and angular velocity (rad/s) of a cart-pole; or
    [2] angle (rad, 0 upright) and angular velocity (rad/s) of a pendulum."""
    time: Array
    """[] int32 steps taken so far."""


def noisy(seen: Array, noise: Array, sigma: float, box: Box) -> Array:
    """Add `noise` [2] (standard normal) times sigma to an observation [2], and clip it to its bounds."""
    if sigma == 0:
        return seen
    return jnp.clip(seen + sigma * noise, jnp.asarray(box.low, jnp.float32), jnp.asarray(box.high, jnp.float32))


@struct.dataclass
class CartPole(Env):
    """Keep a pole upright on a cart by pushing the cart left (action 0) or right (action 1).

    Observation [2]: position of the cart (m) and angle of the pole (rad), or with `sees="velocity"` their velocities
    (m/s, rad/s; but position and angle at reset, as in popgym). A step lasts 0.02 s. Reward: 1 / horizon per step. The
    episode terminates when the cart leaves +-2.4 m or the pole +-12 degrees; it is truncated after `horizon` steps,
    which is success.
    """

    id: str = static("")
    """The registered id of the task."""
    sees: Literal["position", "velocity"] = static("position")
    """What is observed: positions or velocities."""
    sigma: float = static(0.0, least=0)
    """Standard deviation of the noise on observed positions (metres and radians)."""
    horizon: int = static(200, least=1)
    """Maximum length of an episode in steps."""

    X, ANGLE = 2.4, 12 * math.pi / 180
    """Largest distance of the cart (m) and largest angle of the pole (rad)."""

    @property
    def _box(self) -> Box:
        if self.sees == "velocity":
            return Box((2,))
        high = tuple(float(np.float32(2 * bound)) for bound in (self.X, self.ANGLE))
        return Box((2,), tuple(-bound for bound in high), high)

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return Spec(self.id, self._box, Discrete(2), horizon=self.horizon)

    def reset(self, key: Key) -> tuple[ControlState, Array]:
        """Draw an initial state with all four numbers uniform within +-.05."""
        k_q, k_noise = jax.random.split(key)
        return self.begin(jax.random.uniform(k_q, (4,), minval=-0.05, maxval=0.05), self._draw(k_noise))

    def _draw(self, key: Key) -> Array:
        return jax.random.normal(key, (2,)) if self.sigma else jnp.zeros(2)

    def begin(self, q: Array, noise: Array) -> tuple[ControlState, Array]:
        """Do as `reset`, with a given initial state [4] and noise [2]."""
        return ControlState(q, jnp.int32(0)), noisy(q[::2], noise, self.sigma, self._box)

    def step(self, state: ControlState, action: Array, key: Key) -> tuple[ControlState, Step]:
        """Advance by 0.02 s."""
        return self.resolve(state, action, self._draw(key))

    def resolve(self, state: ControlState, action: Array, noise: Array) -> tuple[ControlState, Step]:
        """Do as `step`, with given noise [2]."""
        x, speed, angle, spin = state.q
        sine, cosine = jnp.sin(angle), jnp.cos(angle)
        pole, total, half, gravity, dt = 0.1, 1.1, 0.5, 9.8, 0.02
        push = (jnp.where(action == 1, 10.0, -10.0) + pole * half * spin**2 * sine) / total
        turn = (gravity * sine - cosine * push) / (half * (4 / 3 - pole * cosine**2 / total))
        slide = push - pole * half * turn * cosine / total
        q = jnp.stack([x + dt * speed, speed + dt * slide, angle + dt * spin, spin + dt * turn])
        fallen = (jnp.abs(q[0]) > self.X) | (jnp.abs(q[2]) > self.ANGLE)
        time = state.time + 1
        out = (time >= self.horizon) & ~fallen
        seen = noisy(q[::2], noise, self.sigma, self._box) if self.sees == "position" else q[1::2]
        return ControlState(q, time), Step(seen, jnp.float32(1 / self.horizon), fallen, out, {"success": out})


@struct.dataclass
class Pendulum(Env):
    """Swing a pendulum up and hold it upright.

    Observation [2]: cosine and sine of the angle. Action [1]: torque in [-2, 2] N m. A step lasts 0.05 s. Reward:
    gymnasium's, -(angle^2 + .1 speed^2 + .001 torque^2), shifted and scaled so that an episode's return is within +-1.
    An episode lasts `horizon` steps and never terminates. Success: at the end the pendulum is within .3 rad of upright
    and slower than 1 rad/s.
    """

    id: str = static("")
    """The registered id of the task."""
    sigma: float = static(0.0, least=0)
    """Standard deviation of the noise on both observed numbers."""
    horizon: int = static(200, least=1)
    """Length of an episode in steps."""

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return Spec(
            self.id, Box((2,), -1.0, 1.0), Box((1,), -2.0, 2.0), horizon=self.horizon, fixed_length=True
        )  # fmt: skip

    def reset(self, key: Key) -> tuple[ControlState, Array]:
        """Draw any angle and an angular velocity within +-1 rad/s."""
        k_q, k_noise = jax.random.split(key)
        q = jax.random.uniform(k_q, (2,), minval=-1.0) * jnp.array([math.pi, 1.0])
        return self.begin(q, self._draw(k_noise))

    def _draw(self, key: Key) -> Array:
        return jax.random.normal(key, (2,)) if self.sigma else jnp.zeros(2)

    def begin(self, q: Array, noise: Array) -> tuple[ControlState, Array]:
        """Do as `reset`, with a given initial state [2] and noise [2]."""
        return ControlState(q, jnp.int32(0)), self._observe(q, noise)

    def _observe(self, q: Array, noise: Array) -> Array:
        return noisy(jnp.stack([jnp.cos(q[0]), jnp.sin(q[0])]), noise, self.sigma, self.spec.obs)  # type: ignore[arg-type]

    def step(self, state: ControlState, action: Array, key: Key) -> tuple[ControlState, Step]:
        """Advance by 0.05 s."""
        return self.resolve(state, action, self._draw(key))

    def resolve(self, state: ControlState, action: Array, noise: Array) -> tuple[ControlState, Step]:
        """Do as `step`, with given noise [2]."""
        angle, speed = state.q
        torque = jnp.clip(action[0], -2.0, 2.0)
        cost = wrapped(angle) ** 2 + 0.1 * speed**2 + 0.001 * torque**2
        speed = jnp.clip(speed + (15.0 * jnp.sin(angle) + 3.0 * torque) * 0.05, -8.0, 8.0)
        q = jnp.stack([angle + speed * 0.05, speed])
        time = state.time + 1
        out = time >= self.horizon
        half = 16.2736044 / 2
        success = out & (jnp.abs(wrapped(q[0])) < 0.3) & (jnp.abs(speed) < 1.0)
        reward = (half - cost) / half / self.horizon
        step = Step(self._observe(q, noise), reward, jnp.zeros((), bool), out, {"success": success})
        return ControlState(q, time), step


def wrapped(angle: Array) -> Array:
    """Return the angle [] wrapped to [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
