"""Gymnasium's running robots HalfCheetah, Hopper, Walker2d and Swimmer (Ant: see ant.py), with dense or sparse rewards.

    dense      gymnasium's reward: speed + healthy reward - cost
    velocity   MEX's band (see variants.py): 2 - |speed - target| if |speed - target| <= band, else 0; minus cost
    far        1 per step if x > distance, else 0

The cost is control_weight * |action|^2; the Ant's also includes contact forces. `terminates` selects whether an episode
ends when the robot is unhealthy. `version` is gymnasium's, "v4" or "v5"; README.md lists the differences.
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
    """Return (reward [], whether inside the band []) of a speed [] in m/s; the limits count as inside.

    The speed is compared with the limits themselves: rounding preserves order, so none inside counts as outside.
    """
    inside = (speed >= target - band) & (speed <= target + band)
    return jnp.where(inside, 2 - jnp.abs(speed - target), 0.0), inside


@struct.dataclass
class Robot(Simulation):
    """Base class of the five robots; the read `speed` is along x (m/s), and `place` is the torso's position (m)."""

    version: Literal["v4", "v5"] = static("v5")
    """Version of gymnasium's environment; HalfCheetah and Swimmer are the same in both."""
    reward: Kind = static("dense")
    """Reward of a step: gymnasium's (`dense`), for a speed in the band (`velocity`), or for x > `distance` (`far`)."""
    control_weight: float = static(0.1, least=0)
    """Weight of the squared norm of the action in the cost."""
    target: float = static(1.5)
    """Centre of the rewarded speed band in m/s (reward `velocity`)."""
    band: float = static(0.6, least=0)
    """Half the width of the rewarded speed band in m/s (reward `velocity`)."""
    distance: float = static(1.0)
    """Position along x in metres beyond which every step pays 1 (reward `far`)."""
    threshold: float | None = static(None)
    """Success means that the return so far exceeds this (reward `dense`, as in CDE, arXiv 2401.08819); None: never."""

    observed: ClassVar[tuple[str, ...]] = ("position", "velocity")
    noise: ClassVar[float]
    """Scale of the noise in the initial state."""
    normal: ClassVar[bool] = False
    """Whether the noise of the velocities is normal rather than uniform."""
    reach: ClassVar[tuple[float, float]]
    """Metres per unit of the behaviour descriptor, along each of its axes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is not None and self.reward != "dense":
            raise ValueError(f"threshold applies to the return of the dense reward, not to reward={self.reward!r}")

    def start(self, key: Key) -> tuple[Array, Array]:
        """Draw uniform positions and uniform or normal velocities with the scale `noise`."""
        k_position, k_velocity = jax.random.split(key)
        model = self.physics.model
        qpos = jax.random.uniform(k_position, (model.nq,), jnp.float32, -self.noise, self.noise)
        if self.normal:
            return qpos, self.noise * jax.random.normal(k_velocity, (model.nv,), jnp.float32)
        return qpos, jax.random.uniform(k_velocity, (model.nv,), jnp.float32, -self.noise, self.noise)

    def place(self, read: Reads) -> Array:
        """Return the torso's position [2] in the plane of its motion, divided by `reach`."""
        return read["place"] / jnp.asarray(self.reach)

    def cost(self, read: Reads, action: Array) -> Array:
        """Return the cost [] of a step."""
        return self.control_weight * jnp.sum(jnp.square(action))

    def unhealthy(self, read: Reads) -> Array:
        """Return whether the robot is unhealthy []; some robots never are."""
        return jnp.zeros((), bool)

    def bonus(self, unhealthy: Array) -> Array | float:
        """Return the reward [] for being healthy."""
        return 0.0

    def reset_if(self, needed: Array, key: Key) -> tuple[State, Array]:
        """Do as the base class; with a threshold, also remember the return so far."""
        state, obs = super().reset_if(needed, key)
        return state if self.threshold is None else replace(state, memory=jnp.zeros(1)), obs

    def step_if(self, live: Array, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """Do as the base class; with a threshold, success means that the return so far exceeds it."""
        after, step = super().step_if(live, state, action, key)
        if self.threshold is None:
            return after, step
        earned = state.memory + step.reward
        return replace(after, memory=earned), replace(step, info=step.info | {"success": earned[0] > self.threshold})

    def evaluate(self, read: Reads, action: Array, memory: Array) -> tuple[Array, Array, Array]:
        """Return (reward, success, terminated) as in the module; success is False with the dense reward."""
        speed, unhealthy = read["speed"][0], self.unhealthy(read)
        over = unhealthy if self.termination is not never else jnp.zeros((), bool)
        if self.reward == "dense":
            return speed + self.bonus(unhealthy) - self.cost(read, action), jnp.zeros((), bool), over
        if self.reward == "velocity":
            paid, success = in_band(speed, self.target, self.band)
            return paid - self.cost(read, action), success, over
        success = read["place"][0] > self.distance
        return success.astype(jnp.float32), success, over


@struct.dataclass
class HalfCheetah(Robot):
    """A planar robot with two legs and 6 motors runs along x.

    Observation [17]: 0, height of the torso relative to its initial value (m); 1, angle of the torso (rad); 2 to 7,
    angles of the joints (rad): back thigh, shin and foot, front thigh, shin and foot; 8 and 9, velocities along x and z
    (m/s); 10, angular velocity of the torso (rad/s); 11 to 16, angular velocities of the joints (rad/s). With
    `observe_torso`, 17 to 19: x, y and z of the torso (m). Action [6] in [-1, 1]: torques, in the order of the joints.
    A step lasts 0.05 s.
    Reward: see `reward`. The episode never terminates; it is truncated after `horizon` steps.
    """

    id: str = static("mujoco/half_cheetah")
    observe_torso: bool = static(False)
    """Whether to observe the torso's x, y, z too (one substep old), as in MEX's model-free tasks (20 numbers)."""

    substeps: ClassVar[int] = 5
    noise: ClassVar[float] = 0.1
    normal: ClassVar[bool] = True
    reach: ClassVar[tuple[float, float]] = (100.0, 1.0)
    file: ClassVar[str] = "half_cheetah.xml"

    @property
    def observed(self) -> tuple[str, ...]:
        """The names of the observed reads, see `observe_torso`."""
        return ("position", "velocity", "torso") if self.observe_torso else ("position", "velocity")

    @property
    def reads(self) -> dict[str, Read]:
        """The reads; `place` is x and z, where z is relative to its initial value."""
        torso = {"torso": Read("xpos", 3, 3)} if self.observe_torso else {}
        return planar(9) | torso


@struct.dataclass
class Swimmer(Robot):
    """A planar robot of three links with 2 motors swims along x in a viscous fluid.

    Observation [8]: 0, angle of the front link (rad); 1 and 2, angles of the two joints (rad); 3 and 4, velocities
    along x and y (m/s); 5, angular velocity of the front link (rad/s); 6 and 7, angular velocities of the joints
    (rad/s). Action [2] in [-1, 1]: torques. A step lasts 0.04 s.
    Reward: see `reward`. The episode never terminates; it is truncated after `horizon` steps.
    """

    id: str = static("mujoco/swimmer")
    control_weight: float = static(1e-4, least=0)

    substeps: ClassVar[int] = 4
    noise: ClassVar[float] = 0.1
    reach: ClassVar[tuple[float, float]] = (20.0, 20.0)
    file: ClassVar[str] = "swimmer.xml"

    @property
    def reads(self) -> dict[str, Read]:
        """The reads; `place` is x and y."""
        return planar(5, skip=2)


@struct.dataclass
class TerminatingRobot(Robot):
    """Base class of the robots that can become unhealthy (fall)."""

    terminates: bool = static(True)
    """Whether an episode terminates when the robot is unhealthy."""
    healthy_reward: float = static(1.0)
    """Reward per step for being healthy (reward `dense`)."""

    def bonus(self, unhealthy: Array) -> Array | float:
        """Return the healthy reward: v5 pays it only if healthy; v4 with `terminates` pays it at the last step too."""
        if self.version == "v4" and self.terminates:
            return self.healthy_reward
        return jnp.where(unhealthy, 0.0, self.healthy_reward)


def hopper_unhealthy(obs: Array, action: Array, next_obs: Array) -> Array:
    """Return whether Hopper terminates.

    A state number of 100 or more terminates too, but observed velocities are clipped at 10 and never show it.
    """
    height, angle = next_obs[0], next_obs[1]
    return ~((height > 0.7) & (jnp.abs(angle) < 0.2) & jnp.all(jnp.abs(next_obs[1:]) < 100))


def walker_unhealthy(obs: Array, action: Array, next_obs: Array) -> Array:
    """Return whether Walker2d terminates."""
    height, angle = next_obs[0], next_obs[1]
    return ~((height > 0.8) & (height < 2.0) & (jnp.abs(angle) < 1.0))


@struct.dataclass
class Hopper(TerminatingRobot):
    """A planar robot with one leg and 3 motors hops along x.

    Observation [11]: 0, height (m); 1, angle of the torso (rad); 2 to 4, angles of the thigh, leg and foot joints
    (rad); 5 and 6, velocities along x and z (m/s); 7, angular velocity of the torso (rad/s); 8 to 10, angular
    velocities of the joints (rad/s); velocities are clipped to [-10, 10]. Action [3] in [-1, 1]: torques, in the order
    of the joints. A step lasts 0.008 s.
    Reward: see `reward`. The episode terminates if the height is at most 0.7 m, the torso's angle is 0.2 rad or more,
    or a number of the state reaches 100 (unless `terminates` is False); it is truncated after `horizon` steps.
    """

    id: str = static("mujoco/hopper")
    control_weight: float = static(1e-3, least=0)

    substeps: ClassVar[int] = 4
    noise: ClassVar[float] = 5e-3
    reach: ClassVar[tuple[float, float]] = (25.0, 2.0)
    file: ClassVar[str] = "hopper.xml"

    @property
    def reads(self) -> dict[str, Read]:
        """The reads; `place` is x and z."""
        return planar(6)

    @property
    def termination(self) -> Any:
        """The termination function."""
        return hopper_unhealthy if self.terminates else never

    def observe(self, read: Reads) -> Array:
        """Return the observation, with velocities clipped to [-10, 10]."""
        return jnp.concatenate([read["position"], jnp.clip(read["velocity"], -10, 10)])

    def unhealthy(self, read: Reads) -> Array:
        """Return whether the robot is unhealthy [], judged by its unclipped velocities."""
        whole = jnp.concatenate([read["position"], read["velocity"]])
        return hopper_unhealthy(whole, whole, whole)


@struct.dataclass
class Walker2d(TerminatingRobot):
    """A planar robot with two legs and 6 motors walks along x.

    Observation [17]: 0, height (m); 1, angle of the torso (rad); 2 to 7, angles of the joints (rad): right thigh, leg
    and foot, left thigh, leg and foot; 8 and 9, velocities along x and z (m/s); 10, angular velocity of the torso
    (rad/s); 11 to 16, angular velocities of the joints (rad/s); velocities are clipped to [-10, 10]. Action [6] in
    [-1, 1]: torques, in the order of the joints. A step lasts 0.008 s.
    Reward: see `reward`. The episode terminates if the height leaves (0.8, 2) m or the torso's angle is 1 rad or more
    (unless `terminates` is False); it is truncated after `horizon` steps.
    """

    id: str = static("mujoco/walker2d")
    control_weight: float = static(1e-3, least=0)

    substeps: ClassVar[int] = 4
    noise: ClassVar[float] = 5e-3
    reach: ClassVar[tuple[float, float]] = (25.0, 2.0)

    @property
    def file(self) -> str:
        """The file name of the MuJoCo model; the feet of v5 differ."""
        return "walker2d.xml" if self.version == "v4" else "walker2d_v5.xml"

    @property
    def reads(self) -> dict[str, Read]:
        """The reads; `place` is x and z."""
        return planar(9)

    @property
    def termination(self) -> Any:
        """The termination function."""
        return walker_unhealthy if self.terminates else never

    def observe(self, read: Reads) -> Array:
        """Return the observation, with velocities clipped to [-10, 10]."""
        return jnp.concatenate([read["position"], jnp.clip(read["velocity"], -10, 10)])

    def unhealthy(self, read: Reads) -> Array:
        """Return whether the robot is unhealthy []."""
        return walker_unhealthy(read["position"], action=read["position"], next_obs=read["position"])


def planar(size: int, skip: int = 1) -> dict[str, Read]:
    """Return the reads of a robot with `size` positions and velocities; the first `skip` positions are not observed."""
    return {
        "position": Read("qpos", skip, size - skip),
        "velocity": Read("qvel", 0, size),
        "speed": Read("qpos", 0, 1, "rate"),
        "place": Read("qpos", 0, 2),
    }
