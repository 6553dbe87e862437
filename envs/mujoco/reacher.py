"""Reacher, gymnasium's: an arm of two links and a target on a table."""

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
"""Targets lie within this of the middle (m)."""


@struct.dataclass
class Reacher(Simulation):
    """Reward: -distance of the fingertip from the target - |action|^2; 50 steps of 0.02 s, 2 motors. Never terminates.

    v4 measures the distance before the step and sees 11 numbers; v5 after it, and sees 10 (no z of the distance,
    which is 0). The positions of fingertip and target are one substep old, as gymnasium's are.
    """

    id: str = static("mujoco/reacher")
    horizon: int = static(50, least=1)
    version: Literal["v4", "v5"] = static("v5")
    """Which of gymnasium's versions."""
    control_weight: float = static(1.0, least=0)
    """Weight of the action's square in the cost."""

    substeps: ClassVar[int] = 2
    file: ClassVar[str] = "reacher.xml"
    seen: ClassVar[tuple[str, ...]] = ("cos", "sin", "target", "velocity", "offset")

    @property
    def reads(self) -> dict[str, Read]:
        """Bodies: 3 is the fingertip, 4 the target. `place` is the fingertip's x and y."""
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
        """Angles within 0.1, velocities within 0.005; the target anywhere in its disc, at rest."""
        k_angle, k_radius, k_bearing, k_velocity = jax.random.split(key, 4)
        angles = jax.random.uniform(k_angle, (2,), jnp.float32, -0.1, 0.1)
        radius = GOALS * jnp.sqrt(jax.random.uniform(k_radius))
        bearing = jax.random.uniform(k_bearing, (), jnp.float32, 0, 2 * jnp.pi)
        goal = radius * jnp.stack([jnp.cos(bearing), jnp.sin(bearing)])
        rest = jnp.asarray(self.physics.model.qpos0[2:], jnp.float32)  # the model's own target
        velocity = jax.random.uniform(k_velocity, (2,), jnp.float32, -0.005, 0.005)
        return jnp.concatenate([angles, goal - rest]), jnp.concatenate([velocity, jnp.zeros(2)])

    def remember(self, read: Reads) -> Array:
        """The distance [1], for v4."""
        height = read["height"] if self.version == "v5" else jnp.zeros(0)
        return jnp.linalg.norm(jnp.concatenate([read["offset"], height]), keepdims=True)

    def judge(self, read: Reads, action: Array, memory: Array) -> tuple[Array, Array, Array]:
        """See the class. A dense task has no success."""
        distance = memory[0] if self.version == "v4" else self.remember(read)[0]
        reward = -distance - self.control_weight * jnp.sum(jnp.square(action))
        return reward, jnp.zeros((), bool), jnp.zeros((), bool)

    def place(self, read: Reads) -> Array:
        """The fingertip [2] in lengths of the arm."""
        return read["place"] / ARM
