"""The Ant: `envs.mujoco.locomotion` in space, with contact forces. Its three rewards are told there."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, static
from prospect_rl.envs.mujoco.base import Reads
from prospect_rl.envs.mujoco.locomotion import Faller
from prospect_rl.envs.native import Read
from prospect_rl.envs.terminations import never

CONTACT_WEIGHT = 5e-4


def ant_fallen(obs: Array, action: Array, next_obs: Array) -> Array:
    """Ant's `Spec.termination`."""
    return ~((next_obs[0] >= 0.2) & (next_obs[0] <= 1.0))


@struct.dataclass
class Ant(Faller):
    """Four legs in space: 27 numbers seen (105 in v5, with contact forces), 8 motors, 0.05 s a step."""

    id: str = static("mujoco/ant")
    control_weight: float = static(0.5, least=0)
    observe_contacts: bool = static(True)
    """v5: whether the 78 contact forces are seen, clipped at 1. v4 never shows them."""

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
        """Whether contact forces cost: in v5, and with MEX's reward."""
        return self.reward == "velocity" or (self.version == "v5" and self.reward == "dense")

    @property
    def contact(self) -> bool:
        """See `shows_contacts` and `pays_contacts`."""
        return self.shows_contacts or self.pays_contacts

    @property
    def seen(self) -> tuple[str, ...]:
        """The forces on the world body are read (they are paid for) but never seen."""
        return ("position", "velocity", "forces") if self.shows_contacts else ("position", "velocity")

    @property
    def reads(self) -> dict[str, Read]:
        """`speed` is that of the torso's frame, which is one substep old; `place` is x and y."""
        forces = {"world": Read("cfrc_ext", 0, 6), "forces": Read("cfrc_ext", 6, 78)} if self.contact else {}
        return {
            "position": Read("qpos", 2, 13),
            "velocity": Read("qvel", 0, 14),
            "speed": Read("xpos", 3, 1, "rate"),
            "place": Read("qpos", 0, 2),
            **forces,
        }

    @property
    def ends(self) -> Any:
        """Height outside 0.2 to 1."""
        return ant_fallen if self.terminates else never

    def observe(self, read: Reads) -> Array:
        """Contact forces are seen up to 1."""
        seen = [read["position"], read["velocity"]]
        return jnp.concatenate(seen + ([jnp.clip(read["forces"], -1, 1)] if self.shows_contacts else []))

    def fallen(self, read: Reads) -> Array:
        """See `ends`."""
        return ant_fallen(action=read["position"], obs=read["position"], next_obs=read["position"])

    def cost(self, read: Reads, action: Array) -> Array:
        """Control, and 5e-4 times the squared contact forces, each clipped at 1, where they cost."""
        control = self.control_weight * jnp.sum(jnp.square(action))
        if not self.pays_contacts:
            return control
        forces = jnp.clip(jnp.concatenate([read["world"], read["forces"]]), -1, 1)
        return control + CONTACT_WEIGHT * jnp.sum(jnp.square(forces))
