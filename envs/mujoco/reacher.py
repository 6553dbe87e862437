"""Gymnasium's Reacher: a planar arm of two links reaches for a target."""

from __future__ import annotations

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key, static
from prospect_rl.envs.mujoco.base import Reads, Simulation
from prospect_rl.envs.native import Read

ARM = 0.21
"""Length of the stretched arm (m)."""
GOALS = 0.2
"""Largest distance of a target from the centre (m)."""


@struct.dataclass
class Reacher(Simulation):
    """Move the fingertip of a two-link arm with 2 motors to a target.

    Observation [10] (v4: [11]): 0 and 1, cosines of the joint angles; 2 and 3, their sines; 4 and 5, x and y of the
    target (m); 6 and 7, angular velocities of the joints (rad/s); 8 and 9, x and y of the vector from the target to the
    fingertip (m); in v4 also 10, its z, which is 0. Positions of fingertip and target are one substep old, as in
    gymnasium. Action [2] in [-1, 1]: torques. A step lasts 0.02 s.
    Reward: -(distance from fingertip to target in metres) - control_weight * |action|^2; v4 measures the distance
    before the step, v5 after it. The episode never terminates; it is truncated after `horizon` steps. `success` is
    always False.
    """

    id: str = static("mujoco/reacher")
    horizon: int = static(50, least=1)
    version: Literal["v4", "v5"] = static("v5")
    """Version of gymnasium's environment: v4 or v5."""
    control_weight: float = static(1.0, least=0)
    """Weight of the squared norm of the action in the cost."""

    substeps: ClassVar[int] = 2
    file: ClassVar[str] = "reacher.xml"
    observed: ClassVar[tuple[str, ...]] = ("cos", "sin", "target", "velocity", "offset")

    @property
    def reads(self) -> dict[str, Read]:
        """The reads; body 3 is the fingertip, body 4 the target, and `place` is the fingertip's x and y."""
        flat = {} if self.version == "v4" else {"height": Read("xpos", 11, 1, "difference", 14)}
        return {
            "cos": Read("qpos", 0, 2, "cos"),
            "sin": Read("qpos", 0, 2, "sin"),
            "target": Read("qpos", 2, 2),
            "velocity": Read("qvel", 0, 2),
            "offset": Read("xpos", 9, 3 if self.version == "v4" else 2, "difference", 12),
            "place": Read("xpos", 9, 2),
            **flat,
        }

    def start(self, key: Key) -> tuple[Array, Array]:
        """Draw angles within 0.1 rad, velocities within 0.005 rad/s, and a target at rest, uniform in its disc."""
        k_angle, k_radius, k_bearing, k_velocity = jax.random.split(key, 4)
        angles = jax.random.uniform(k_angle, (2,), jnp.float32, -0.1, 0.1)
        radius = GOALS * jnp.sqrt(jax.random.uniform(k_radius))
        bearing = jax.random.uniform(k_bearing, (), jnp.float32, 0, 2 * jnp.pi)
        goal = radius * jnp.stack([jnp.cos(bearing), jnp.sin(bearing)])
        rest = jnp.asarray(self.physics.model.qpos0[2:], jnp.float32)  # the target in the model's initial state
        velocity = jax.random.uniform(k_velocity, (2,), jnp.float32, -0.005, 0.005)
        return jnp.concatenate([angles, goal - rest]), jnp.concatenate([velocity, jnp.zeros(2)])

    def remember(self, read: Reads) -> Array:
        """Return the distance [1] of the fingertip from the target (m), which v4 needs at the next step."""
        height = read["height"] if self.version == "v5" else jnp.zeros(0)
        return jnp.linalg.norm(jnp.concatenate([read["offset"], height]), keepdims=True)

    def evaluate(self, read: Reads, action: Array, memory: Array) -> tuple[Array, Array, Array]:
        """Return (reward, success, terminated); the latter two are always False."""
        distance = memory[0] if self.version == "v4" else self.remember(read)[0]
        reward = -distance - self.control_weight * jnp.sum(jnp.square(action))
        return reward, jnp.zeros((), bool), jnp.zeros((), bool)

    def place(self, read: Reads) -> Array:
        """Return the fingertip's position [2], divided by the length of the arm."""
        return read["place"] / ARM
