"""Swing-up tasks: a hanging pole must be swung up and balanced. The models are small files in this folder.

    sparse   1 per step while upright (and, for the cart-pole, near the centre), else 0
    dense    (1 + cos of the angle) / 2

The tasks are those of the DeepMind control suite, except that its pendulum starts at any angle (`spread` = pi).
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
    """Base class of both tasks: angle 0 is upright and the hinge is the last joint. Episodes never terminate."""

    reward: Literal["sparse", "dense"] = static("sparse")
    """Reward of a step: 1 while upright (`sparse`), or (1 + cos of the angle) / 2 (`dense`)."""
    spread: float = static(0.01, least=0, most=math.pi)
    """The initial angle is uniform within this of hanging down (radians)."""

    substeps: ClassVar[int] = 1

    def start(self, key: Key) -> tuple[Array, Array]:
        """Draw an initial state that hangs down, nearly at rest."""
        k_angle, k_position, k_velocity = jax.random.split(key, 3)
        model = self.physics.model
        qpos = 0.01 * jax.random.normal(k_position, (model.nq,), jnp.float32)
        angle = math.pi + jax.random.uniform(k_angle, (), jnp.float32, -self.spread, self.spread)
        return qpos.at[-1].set(angle), 0.01 * jax.random.normal(k_velocity, (model.nv,), jnp.float32)

    def upright(self, read: Reads) -> Array:
        """Return whether the sparse reward is paid []."""
        raise NotImplementedError

    def evaluate(self, read: Reads, action: Array, memory: Array) -> tuple[Array, Array, Array]:
        """Return (reward, success, terminated) as in the module; success: the sparse reward is paid at this step."""
        if self.reward == "dense":
            return (1 + read["cos"][0]) / 2, jnp.zeros((), bool), jnp.zeros((), bool)
        paid = self.upright(read)
        return paid.astype(jnp.float32), paid, jnp.zeros((), bool)


@struct.dataclass
class Cartpole(SwingUp):
    """Swing up and balance a pole on a cart that one motor pushes along a rail.

    Observation [5]: 0, position of the cart (m); 1 and 2, cosine and sine of the pole's angle; 3, velocity of the cart
    (m/s); 4, angular velocity of the pole (rad/s). Action [1] in [-1, 1]: force on the cart, 1 for 10 N. A step lasts
    0.01 s. Reward: see `reward`; upright means a cosine of at least 0.995 (5.7 degrees) with the cart within 0.25 m of
    the centre. Success: the sparse reward is paid at this step. The episode never terminates; it is truncated after
    `horizon` steps. Behaviour descriptor: (position of the cart / 1.8 m, cosine of the angle).
    """

    id: str = static("mujoco/cartpole_swingup_sparse")

    file: ClassVar[str] = "cartpole.xml"
    observed: ClassVar[tuple[str, ...]] = ("cart", "cos", "sin", "velocity")

    @property
    def reads(self) -> dict[str, Read]:
        """The reads; the cart is joint 0 and the pole joint 1."""
        return {
            "cart": Read("qpos", 0, 1),
            "cos": Read("qpos", 1, 1, "cos"),
            "sin": Read("qpos", 1, 1, "sin"),
            "velocity": Read("qvel", 0, 2),
        }

    def upright(self, read: Reads) -> Array:
        """Return whether the pole is upright with the cart near the centre []."""
        return (read["cos"][0] >= 0.995) & (jnp.abs(read["cart"][0]) <= 0.25)

    def place(self, read: Reads) -> Array:
        """Return the behaviour descriptor [2]."""
        return jnp.concatenate([read["cart"] / 1.8, read["cos"]])


@struct.dataclass
class Pendulum(SwingUp):
    """Swing up and balance a pendulum whose motor is too weak to lift it directly.

    Observation [3]: 0 and 1, cosine and sine of the angle; 2, angular velocity (rad/s). Action [1] in [-1, 1]: torque,
    1 for 1 N m. A step lasts 0.02 s. Reward: see `reward`; upright means within 8 degrees. Success: the sparse reward
    is paid at this step. The episode never terminates; it is truncated after `horizon` steps. Behaviour descriptor:
    (sine, cosine) of the angle, the position of the bob divided by the length of the pole.
    """

    id: str = static("mujoco/pendulum_swingup_sparse")

    file: ClassVar[str] = "pendulum.xml"
    observed: ClassVar[tuple[str, ...]] = ("cos", "sin", "velocity")

    @property
    def reads(self) -> dict[str, Read]:
        """The reads of the only joint."""
        return {"cos": Read("qpos", 0, 1, "cos"), "sin": Read("qpos", 0, 1, "sin"), "velocity": Read("qvel", 0, 1)}

    def upright(self, read: Reads) -> Array:
        """Return whether the pendulum is upright []."""
        return read["cos"][0] >= math.cos(math.radians(8))

    def place(self, read: Reads) -> Array:
        """Return the behaviour descriptor [2]."""
        return jnp.concatenate([read["sin"], read["cos"]])
