"""Gymnasium's Ant: a running robot in three dimensions, with contact forces; see `locomotion` for the rewards."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, static
from prospect_rl.envs.mujoco.base import Reads
from prospect_rl.envs.mujoco.locomotion import TerminatingRobot
from prospect_rl.envs.native import Read
from prospect_rl.envs.terminations import never

CONTACT_WEIGHT = 5e-4
"""Weight of the squared contact forces in the cost."""


def ant_unhealthy(obs: Array, action: Array, next_obs: Array) -> Array:
    """Return whether the Ant terminates: its height is outside [0.2, 1] m."""
    return ~((next_obs[0] >= 0.2) & (next_obs[0] <= 1.0))


@struct.dataclass
class Ant(TerminatingRobot):
    """A robot with four legs and 8 motors runs along x in three dimensions.

    Observation [27], or [105] in v5 with `observe_contacts`: 0, height (m); 1 to 4, orientation of the torso
    (quaternion w, x, y, z); 5 to 12, angles of the joints (rad), hip and ankle of each leg: front left, front right,
    back left, back right; 13 to 15, velocity of the torso (m/s); 16 to 18, its angular velocity (rad/s); 19 to 26,
    angular velocities of the joints (rad/s); 27 to 104, contact torques and forces on each of 13 bodies (6 numbers
    each), clipped to [-1, 1]. Action [8] in [-1, 1]: torques on hip and ankle of each leg: back right, front left,
    front right, back left. A step lasts 0.05 s.
    Reward: see `reward`; the cost also includes 5e-4 times the squared contact forces, each clipped to [-1, 1], in v5
    with the dense reward and always with the reward `velocity`. The episode terminates if the height leaves
    [0.2, 1] m (unless `terminates` is False); it is truncated after `horizon` steps.
    """

    id: str = static("mujoco/ant")
    control_weight: float = static(0.5, least=0)
    observe_contacts: bool = static(True)
    """Whether to observe the 78 contact forces, clipped to [-1, 1] (v5 only; v4 never shows them)."""

    substeps: ClassVar[int] = 5
    noise: ClassVar[float] = 0.1
    normal: ClassVar[bool] = True
    reach: ClassVar[tuple[float, float]] = (50.0, 50.0)
    file: ClassVar[str] = "ant.xml"

    @property
    def shows_contacts(self) -> bool:
        """Whether contact forces are observed."""
        return self.version == "v5" and self.observe_contacts

    @property
    def pays_contacts(self) -> bool:
        """Whether contact forces are part of the cost: in v5 with the dense reward, and with MEX's reward."""
        return self.reward == "velocity" or (self.version == "v5" and self.reward == "dense")

    @property
    def contact(self) -> bool:
        """Whether contact forces are computed: if they are observed or part of the cost."""
        return self.shows_contacts or self.pays_contacts

    @property
    def observed(self) -> tuple[str, ...]:
        """The names of the observed reads; forces on the world body are part of the cost but never observed."""
        return ("position", "velocity", "forces") if self.shows_contacts else ("position", "velocity")

    @property
    def reads(self) -> dict[str, Read]:
        """The reads; `speed` is that of the torso's frame, which is one substep old, and `place` is x and y."""
        forces = {"world": Read("cfrc_ext", 0, 6), "forces": Read("cfrc_ext", 6, 78)} if self.contact else {}
        return {
            "position": Read("qpos", 2, 13),
            "velocity": Read("qvel", 0, 14),
            "speed": Read("xpos", 3, 1, "rate"),
            "place": Read("qpos", 0, 2),
            **forces,
        }

    @property
    def termination(self) -> Any:
        """The termination function."""
        return ant_unhealthy if self.terminates else never

    def observe(self, read: Reads) -> Array:
        """Return the observation, with contact forces clipped to [-1, 1]."""
        parts = [read["position"], read["velocity"]]
        return jnp.concatenate(parts + ([jnp.clip(read["forces"], -1, 1)] if self.shows_contacts else []))

    def unhealthy(self, read: Reads) -> Array:
        """Return whether the robot is unhealthy []."""
        return ant_unhealthy(action=read["position"], obs=read["position"], next_obs=read["position"])

    def cost(self, read: Reads, action: Array) -> Array:
        """Return the cost [] of the control and, if they are part of it, of the contact forces."""
        control = self.control_weight * jnp.sum(jnp.square(action))
        if not self.pays_contacts:
            return control
        forces = jnp.clip(jnp.concatenate([read["world"], read["forces"]]), -1, 1)
        return control + CONTACT_WEIGHT * jnp.sum(jnp.square(forces))
