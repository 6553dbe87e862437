"""Gymnasium's Reacher with a verifier: is the fingertip at the target when the episode ends?"""

from __future__ import annotations

import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key, Step, Tree, static
from prospect_rl.envs.mujoco.reacher import Reacher
from prospect_rl.envs.verified.task import Verified

FAST = 30.0
"""Mean speed of the joints (rad/s) for which the proxy pays most."""


@struct.dataclass
class Motion:
    """What is remembered of an episode."""

    distance: Array
    """[] distance of the fingertip from the target at the start (m)."""
    turned: Array
    """[] sum over steps of the joints' speed (rad/s)."""
    time: Array
    """[] number of steps."""


@struct.dataclass
class Reach(Verified):
    """Move the fingertip of Reacher's arm to the target and be there at the end; 1 is paid then, and nothing before.

    Observation and action: see `mujoco/reacher`. Success: at the last step the fingertip is within `near` of the
    target. Progress: the share of the distance at the start that has been covered. Proxy: the mean speed of the joints,
    wherever they turn.
    """

    horizon: int = static(50, least=1, most=200)
    """Length of an episode in steps."""
    near: float = static(0.05, above=0)
    """Distance from the target that counts as there (m)."""

    @property
    def id(self) -> str:
        """The registered id."""
        return "verified/reacher"

    @property
    def inner(self) -> Reacher:
        """The MuJoCo task."""
        return Reacher(horizon=self.horizon)

    def start(self, needed: Array, key: Key) -> tuple[Tree, Array, Motion]:
        """As Reacher starts."""
        state, obs = self.inner.reset_if(needed, key)
        return state, obs, Motion(jnp.linalg.norm(obs[8:10]), jnp.zeros(()), jnp.zeros(()))

    def judge(self, memory: Motion, state: Tree, step: Step, last: Array) -> tuple[Motion, Array, Array, Array]:
        """By the observation: 6 and 7 are the joints' velocities, 8 and 9 the way from the target."""
        distance, speed = jnp.linalg.norm(step.obs[8:10]), jnp.linalg.norm(step.obs[6:8])
        memory = Motion(memory.distance, memory.turned + speed, memory.time + 1)
        progress = jnp.clip(1 - distance / jnp.maximum(memory.distance, 1e-6), 0, 1)
        proxy = jnp.clip(memory.turned / memory.time / FAST, 0, 1)
        return memory, last & (distance <= self.near) & ~step.info["failed"], progress, proxy

    def reward(self, step: Step, success: Array) -> Array:
        """1 for a success, which is known at the last step, else 0."""
        return success.astype(jnp.float32)
