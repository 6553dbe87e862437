"""Running robots: gymnasium's HalfCheetah, Hopper, Walker2d and Swimmer (and Ant, see ant.py), dense or sparse.

    dense      gymnasium's: speed + bonus for being healthy - cost
    velocity   MEX's band (see variants.py): 2 - |speed - target| where |speed - target| <= band, else 0, - cost
    far        1 a step where x > distance, else 0

The cost is control_weight * |action|^2, the Ant's also of contact forces. `terminates` says whether a robot that is
not healthy ends its episode. `version` "v4" or "v5" is gymnasium's, where they differ (see README.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key, Step, static
from prospect_rl.envs.mujoco.base import Reads, Simulation, State
from prospect_rl.envs.native import Read
from prospect_rl.envs.terminations import never

Kind = Literal["dense", "velocity", "far"]


def in_band(speed: Array, target: float, band: float) -> tuple[Array, Array]:
    """(reward [], whether in the band []) of a speed []; the border is inside.

    The borders are compared as speeds: rounding keeps order, so that no speed inside is ever taken for one outside.
    """
    inside = (speed >= target - band) & (speed <= target + band)
    return jnp.where(inside, 2 - jnp.abs(speed - target), 0.0), inside


@struct.dataclass
class Robot(Simulation):
    """Base of the five. `position` and `velocity` are observed, `speed` is along x (m/s), `place` the torso (m)."""

    version: Literal["v4", "v5"] = static("v5")
    """Which of gymnasium's versions; all but HalfCheetah and Swimmer differ in it."""
    reward: Kind = static("dense")
    """Reward of a step: gymnasium's (`dense`), for a speed in the band (`velocity`), or beyond `distance` (`far`)."""
    control_weight: float = static(0.1, least=0)
    """Weight of the action's square in the cost."""
    target: float = static(1.5)
    """velocity: the middle of the band (m/s)."""
    band: float = static(0.6, least=0)
    """velocity: half the width of the band (m/s)."""
    distance: float = static(1.0)
    """far: x beyond which a step pays (m)."""
    threshold: float | None = static(None)
    """dense: success is a return so far above it, as CDE counts it (arXiv 2401.08819); None: there is no success."""

    seen: ClassVar[tuple[str, ...]] = ("position", "velocity")
    noise: ClassVar[float]
    """Scale of the noise in the first state."""
    normal: ClassVar[bool] = False
    """Whether the noise of velocities is normal rather than uniform."""
    reach: ClassVar[tuple[float, float]]
    """What one unit of the descriptor stands for (m)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is not None and self.reward != "dense":
            raise ValueError(f"threshold is one of the dense reward's return: it goes with no {self.reward!r}")

    def start(self, key: Key) -> tuple[Array, Array]:
        """Positions uniform, velocities uniform or normal, with the scale `noise`."""
        k_position, k_velocity = jax.random.split(key)
        model = self.physics.model
        qpos = jax.random.uniform(k_position, (model.nq,), jnp.float32, -self.noise, self.noise)
        if self.normal:
            return qpos, self.noise * jax.random.normal(k_velocity, (model.nv,), jnp.float32)
        return qpos, jax.random.uniform(k_velocity, (model.nv,), jnp.float32, -self.noise, self.noise)

    def place(self, read: Reads) -> Array:
        """The torso in the plane it moves in [2]."""
        return read["place"] / jnp.asarray(self.reach)

    def cost(self, read: Reads, action: Array) -> Array:
        """What a step costs []."""
        return self.control_weight * jnp.sum(jnp.square(action))

    def fallen(self, read: Reads) -> Array:
        """Whether it is not healthy []; some robots always are."""
        return jnp.zeros((), bool)

    def bonus(self, fallen: Array) -> Array | float:
        """What being healthy pays []."""
        return 0.0

    def reset_if(self, needed: Array, key: Key) -> tuple[State, Array]:
        """With a threshold, the return so far is remembered."""
        state, obs = super().reset_if(needed, key)
        return state if self.threshold is None else replace(state, memory=jnp.zeros(1)), obs

    def step_if(self, live: Array, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """With a threshold, it decides on success."""
        after, step = super().step_if(live, state, action, key)
        if self.threshold is None:
            return after, step
        earned = state.memory + step.reward
        return replace(after, memory=earned), replace(step, info=step.info | {"success": earned[0] > self.threshold})

    def judge(self, read: Reads, action: Array, memory: Array) -> tuple[Array, Array, Array]:
        """See the module; success: in the band, or far enough; False with the dense reward and no threshold."""
        speed, fallen = read["speed"][0], self.fallen(read)
        over = fallen if self.ends is not never else jnp.zeros((), bool)
        if self.reward == "dense":
            return speed + self.bonus(fallen) - self.cost(read, action), jnp.zeros((), bool), over
        if self.reward == "velocity":
            paid, success = in_band(speed, self.target, self.band)
            return paid - self.cost(read, action), success, over
        success = read["place"][0] > self.distance
        return success.astype(jnp.float32), success, over


@struct.dataclass
class HalfCheetah(Robot):
    """Two legs in a plane: 17 numbers seen, 6 motors, 0.05 s a step. Never terminates."""

    id: str = static("mujoco/half_cheetah")
    observe_torso: bool = static(False)
    """Whether the torso's x, y, z are seen too, as in MEX's model-free tasks (20 numbers, one substep old)."""

    substeps: ClassVar[int] = 5
    noise: ClassVar[float] = 0.1
    normal: ClassVar[bool] = True
    reach: ClassVar[tuple[float, float]] = (100.0, 1.0)
    file: ClassVar[str] = "half_cheetah.xml"

    @property
    def seen(self) -> tuple[str, ...]:
        """See `observe_torso`."""
        return ("position", "velocity", "torso") if self.observe_torso else ("position", "velocity")

    @property
    def reads(self) -> dict[str, Read]:
        """`place` is x and z, the latter from where the torso starts."""
        torso = {"torso": Read("xpos", 3, 3)} if self.observe_torso else {}
        return planar(9) | torso


@struct.dataclass
class Swimmer(Robot):
    """Three links in a viscous plane: 8 numbers seen, 2 motors, 0.04 s a step. Never terminates."""

    id: str = static("mujoco/swimmer")
    control_weight: float = static(1e-4, least=0)

    substeps: ClassVar[int] = 4
    noise: ClassVar[float] = 0.1
    reach: ClassVar[tuple[float, float]] = (20.0, 20.0)
    file: ClassVar[str] = "swimmer.xml"

    @property
    def reads(self) -> dict[str, Read]:
        """`place` is x and y."""
        return planar(5, skip=2)


@struct.dataclass
class Faller(Robot):
    """Base of the robots that can fall."""

    terminates: bool = static(True)
    """Whether an episode ends when the robot is not healthy."""
    healthy_reward: float = static(1.0)
    """dense: what a step in health pays."""

    def bonus(self, fallen: Array) -> Array | float:
        """v5 pays it to the healthy only; v4 to all if falling terminates, hence for the last step too."""
        if self.version == "v4" and self.terminates:
            return self.healthy_reward
        return jnp.where(fallen, 0.0, self.healthy_reward)


def hopper_fallen(obs: Array, action: Array, next_obs: Array) -> Array:
    """Hopper's `Spec.termination`. Observed velocities end at 10, so that one at 100, which ends too, is not seen."""
    height, angle = next_obs[0], next_obs[1]
    return ~((height > 0.7) & (jnp.abs(angle) < 0.2) & jnp.all(jnp.abs(next_obs[1:]) < 100))


def walker_fallen(obs: Array, action: Array, next_obs: Array) -> Array:
    """Walker2d's `Spec.termination`."""
    height, angle = next_obs[0], next_obs[1]
    return ~((height > 0.8) & (height < 2.0) & (jnp.abs(angle) < 1.0))


@struct.dataclass
class Hopper(Faller):
    """One leg in a plane: 11 numbers seen, velocities clipped at 10, 3 motors, 0.008 s a step."""

    id: str = static("mujoco/hopper")
    control_weight: float = static(1e-3, least=0)

    substeps: ClassVar[int] = 4
    noise: ClassVar[float] = 5e-3
    reach: ClassVar[tuple[float, float]] = (25.0, 2.0)
    file: ClassVar[str] = "hopper.xml"

    @property
    def reads(self) -> dict[str, Read]:
        """`place` is x and z."""
        return planar(6)

    @property
    def ends(self) -> Any:
        """Height at most 0.7, torso 0.2 rad off, or a number of the state at 100."""
        return hopper_fallen if self.terminates else never

    def observe(self, read: Reads) -> Array:
        """Velocities are seen up to 10."""
        return jnp.concatenate([read["position"], jnp.clip(read["velocity"], -10, 10)])

    def fallen(self, read: Reads) -> Array:
        """By the velocities as they are."""
        whole = jnp.concatenate([read["position"], read["velocity"]])
        return hopper_fallen(whole, whole, whole)


@struct.dataclass
class Walker2d(Faller):
    """Two legs in a plane: 17 numbers seen, velocities clipped at 10, 6 motors, 0.008 s a step."""

    id: str = static("mujoco/walker2d")
    control_weight: float = static(1e-3, least=0)

    substeps: ClassVar[int] = 4
    noise: ClassVar[float] = 5e-3
    reach: ClassVar[tuple[float, float]] = (25.0, 2.0)

    @property
    def file(self) -> str:
        """The feet of v5 differ."""
        return "walker2d.xml" if self.version == "v4" else "walker2d_v5.xml"

    @property
    def reads(self) -> dict[str, Read]:
        """`place` is x and z."""
        return planar(9)

    @property
    def ends(self) -> Any:
        """Height outside 0.8 to 2, or torso 1 rad off."""
        return walker_fallen if self.terminates else never

    def observe(self, read: Reads) -> Array:
        """Velocities are seen up to 10."""
        return jnp.concatenate([read["position"], jnp.clip(read["velocity"], -10, 10)])

    def fallen(self, read: Reads) -> Array:
        """See `ends`."""
        return walker_fallen(read["position"], action=read["position"], next_obs=read["position"])


def planar(size: int, skip: int = 1) -> dict[str, Read]:
    """The reads of a robot with `size` positions and velocities, whose first `skip` positions are not seen."""
    return {
        "position": Read("qpos", skip, size - skip),
        "velocity": Read("qvel", 0, size),
        "speed": Read("qpos", 0, 1, "rate"),
        "place": Read("qpos", 0, 2),
    }
