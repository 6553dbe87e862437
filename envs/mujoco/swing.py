"""Swing-ups: a pole that hangs, to be balanced upright. The models are small files of this folder.

    sparse   1 a step while upright (and, for the cart, near the middle), else 0
    dense    (1 + cos of the angle) / 2

The tasks are those of the DeepMind control suite, whose pendulum however starts at any angle (`spread` = pi).
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key, static
from prospect_rl.envs.mujoco.base import Reads, Simulation
from prospect_rl.envs.native import Read


@struct.dataclass
class SwingUp(Simulation):
    """Base of both: angle 0 is upright, the hinge is the last joint. Never terminates."""

    reward: Literal["sparse", "dense"] = static("sparse")
    """Reward of a step: 1 while upright (`sparse`), or (1 + cos of the angle) / 2 (`dense`)."""
    spread: float = static(0.01, least=0, most=math.pi)
    """Largest distance of the first angle, which is uniform, from hanging (rad)."""

    substeps: ClassVar[int] = 1

    def start(self, key: Key) -> tuple[Array, Array]:
        """Hanging, nearly at rest."""
        k_angle, k_position, k_velocity = jax.random.split(key, 3)
        model = self.physics.model
        qpos = 0.01 * jax.random.normal(k_position, (model.nq,), jnp.float32)
        angle = math.pi + jax.random.uniform(k_angle, (), jnp.float32, -self.spread, self.spread)
        return qpos.at[-1].set(angle), 0.01 * jax.random.normal(k_velocity, (model.nv,), jnp.float32)

    def upright(self, read: Reads) -> Array:
        """Whether the sparse reward is paid []."""
        raise NotImplementedError

    def judge(self, read: Reads, action: Array, memory: Array) -> tuple[Array, Array, Array]:
        """See the module; success: the sparse reward is paid at this step."""
        if self.reward == "dense":
            return (1 + read["cos"][0]) / 2, jnp.zeros((), bool), jnp.zeros((), bool)
        paid = self.upright(read)
        return paid.astype(jnp.float32), paid, jnp.zeros((), bool)


@struct.dataclass
class Cartpole(SwingUp):
    """5 numbers seen: position of the cart (m), cos and sin of the pole's angle, their velocities; 0.01 s a step.

    Upright: cos at least 0.995 (5.7 degrees) with the cart within 0.25 m of the middle. Descriptor: the cart's
    position over the rail's length, and the cos.
    """

    id: str = static("mujoco/cartpole_swingup_sparse")

    file: ClassVar[str] = "cartpole.xml"
    seen: ClassVar[tuple[str, ...]] = ("cart", "cos", "sin", "velocity")

    @property
    def reads(self) -> dict[str, Read]:
        """The cart is joint 0, the pole joint 1."""
        return {
            "cart": Read("qpos", 0, 1),
            "cos": Read("qpos", 1, 1, "cos"),
            "sin": Read("qpos", 1, 1, "sin"),
            "velocity": Read("qvel", 0, 2),
        }

    def upright(self, read: Reads) -> Array:
        """See the class."""
        return (read["cos"][0] >= 0.995) & (jnp.abs(read["cart"][0]) <= 0.25)

    def place(self, read: Reads) -> Array:
        """See the class."""
        return jnp.concatenate([read["cart"] / 1.8, read["cos"]])


@struct.dataclass
class Pendulum(SwingUp):
    """3 numbers seen: cos and sin of the angle, velocity (rad/s); 0.02 s a step. Upright: within 8 degrees.

    Descriptor: the bob's position over the pole's length.
    """

    id: str = static("mujoco/pendulum_swingup_sparse")

    file: ClassVar[str] = "pendulum.xml"
    seen: ClassVar[tuple[str, ...]] = ("cos", "sin", "velocity")

    @property
    def reads(self) -> dict[str, Read]:
        """One joint."""
        return {"cos": Read("qpos", 0, 1, "cos"), "sin": Read("qpos", 0, 1, "sin"), "velocity": Read("qvel", 0, 1)}

    def upright(self, read: Reads) -> Array:
        """See the class."""
        return read["cos"][0] >= math.cos(math.radians(8))

    def place(self, read: Reads) -> Array:
        """See the class."""
        return jnp.concatenate([read["sin"], read["cos"]])
