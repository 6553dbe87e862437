"""The robotic ant maze of SERENE: a robot with four legs in a large arena, paid only where its last step ends.

Source: official code GPaolo/SERENE, environments/assets/ant_maze. The model is ant_maze.xml, in this folder.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Drawing, Key, Spec, Step, check_goals, static
from prospect_rl.envs.arm.redundant import payment
from prospect_rl.envs.drawing import BLUE, RED, Colour, disc, painted, plane, white
from prospect_rl.envs.mujoco import models
from prospect_rl.envs.mujoco.base import Reads, Simulation, State
from prospect_rl.envs.native import Physics, Read

CENTRE, HALF, WIDTH = 5.0, 35.0, 70.0
"""Both coordinates of the arena's centre, half its width, and its width (m)."""
WALLS = ((5, 40, 35, 0.3), (5, -30, 35, 0.3), (40, 5, 0.3, 35), (-30, 5, 0.3, 35),
         (-15, 20, 0.3, 17), (-3, -15, 13, 0.3), (10, -15, 0.3, 15))  # fmt: skip
"""Centre (x, y) and half sizes of each wall, as in the model; four are the border."""
ARENA = (CENTRE - HALF, CENTRE + HALF, CENTRE - HALF, CENTRE + HALF)
"""Left, right, bottom and top of the arena (m)."""
TORSO = 1.5
"""Radius of the torso in pictures (m): with its legs the robot is as wide as that."""
NOISE = 0.1
"""Largest deviation of the initial positions, and standard deviation of the initial velocities."""


@struct.dataclass
class AntMaze(Simulation):
    """A robot with four legs and 8 motors must walk into one of two goal discs in the corners of a walled arena.

    Observation [29]: 0 and 1, position of the torso from the arena's centre, divided by 70 m; 2, height (m); 3 to 6,
    orientation of the torso (quaternion w, x, y, z); 7 to 14, angles of the joints (rad), hip and ankle of each leg;
    15 to 20, velocity (m/s) and angular velocity (rad/s) of the torso; 21 to 28, angular velocities of the joints
    (rad/s). Action [8] in [-1, 1]: torques on hip and ankle of each leg, the fourth leg first. A step lasts 0.025 s.
    Reward at the last step: (radius - distance) / radius of the first goal disc that contains the torso; 0 at all other
    steps. Success: that reward is above 0. The episode never terminates; it is truncated after `horizon` steps.
    """

    id: str = static("mujoco/ant_maze")
    horizon: int = static(1000, least=1)
    """Length of an episode in steps; the reward is paid at the last one. SERENE's are 3000 steps, STAX's 1000."""
    integrator: Literal["RK4", "implicitfast"] = static("RK4")
    """MuJoCo's integrator: that of the original (`RK4`), or one that is more than twice as fast."""
    goals: tuple[tuple[float, float, float], ...] = static(((35.0, -25.0, 3.0), (-25.0, 35.0, 3.0)), least=-30, most=40)
    """Position and size (x, y, radius) of each reward area in metres."""

    substeps: ClassVar[int] = 5
    file: ClassVar[str] = "ant_maze.xml"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_goals(self.goals)

    @property
    def reads(self) -> dict[str, Read]:
        """The whole state."""
        return {"place": Read("qpos", 0, 2), "pose": Read("qpos", 2, 13), "velocity": Read("qvel", 0, 14)}

    @property
    def physics(self) -> Physics:
        """The simulator, shared by all equal tasks of the process."""
        reads = tuple(self.reads.values())
        return models.physics(self.file, self.substeps, reads, self.contact, self.integrator)

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit; the behaviour descriptor is the torso's place as it is observed."""
        return Spec(
            id=self.id,
            obs=Box((29,)),
            action=Box((8,), -1.0, 1.0),
            horizon=self.horizon,
            info=("success", "descriptor", "failed", "area"),
            descriptor=Box((2,), -0.5, 0.5),
            areas=len(self.goals),
            termination=self.termination,
            draw=self.drawing,
        )

    @property
    def drawing(self) -> Drawing:
        """Goals in red, walls in grey and the torso in blue on white, from above; row 0 is the top."""
        side = 200

        def marks(state: State, x: Array, y: Array) -> list[tuple[Array, Colour]]:
            left, _, _, top = ARENA
            at = (state.memory[0] - left) * side / WIDTH, (top - state.memory[1]) * side / WIDTH
            return [(disc(x + 0.5, y + 0.5, at, TORSO * side / WIDTH), BLUE)]

        return Drawing(scene(side, self.goals, RED), marks, self.reset)

    def start(self, key: Key) -> tuple[Array, Array]:
        """Draw what is added to the initial positions (uniform) and velocities (normal)."""
        k_position, k_velocity = jax.random.split(key)
        qpos = jax.random.uniform(k_position, (15,), jnp.float32, -NOISE, NOISE)
        return qpos, NOISE * jax.random.normal(k_velocity, (14,), jnp.float32)

    def observe(self, read: Reads) -> Array:
        """Return the observation [29]."""
        return jnp.concatenate([(read["place"] - CENTRE) / WIDTH, read["pose"], read["velocity"]])

    def remember(self, read: Reads) -> Array:
        """Return the torso's place [2], which is drawn."""
        return read["place"]

    def place(self, read: Reads) -> Array:
        """Return the torso's place [2] as it is observed, at most half a width from the centre."""
        return jnp.clip((read["place"] - CENTRE) / WIDTH, -0.5, 0.5)

    def evaluate(self, read: Reads, action: Array, memory: Array) -> tuple[Array, Array, Array]:
        """Return nothing for a step: only the last one is paid, see `step_if`."""
        return jnp.zeros(()), jnp.zeros((), bool), jnp.zeros((), bool)

    def step_if(self, live: Array, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """Do as `step` where `live` [] is True; elsewhere keep the simulation unchanged without simulating."""
        state, step = super().step_if(live, state, action, key)
        last = (state.time >= self.horizon) & ~step.info["failed"]
        reward, area = payment(state.memory, last, self.goals)
        return state, replace(step, reward=reward, info=step.info | {"success": reward > 0, "area": area})

    def frame(self, state: State) -> Array:
        """Draw goals (red), walls (grey) and the torso (blue) from above, uint8 [64, 64, 3]; row 0 is the top."""
        torso = disc(*plane(64, ARENA), state.memory, TORSO)
        return jnp.where(torso[..., None], np.array([40, 80, 200], np.uint8), scene(64, self.goals))

    def backdrop(self) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """Draw the walls, uint8 [400, 400, 3] with row 0 at the top, and give the extent (left, right, bottom, top)."""
        return scene(400), (-0.5, 0.5, -0.5, 0.5)


@lru_cache
def scene(size: int, goals: tuple[tuple[float, float, float], ...] = (), red: Colour = (220, 50, 40)) -> np.ndarray:
    """Draw walls, at least a pixel wide, and goals on white, uint8 [size, size, 3]."""
    x, y = plane(size, ARENA)
    image = painted(white(size), (x, y), goals, red)
    least = 0.5 * WIDTH / size
    for cx, cy, half_x, half_y in WALLS:
        image[(abs(x - cx) <= max(half_x, least)) & (abs(y - cy) <= max(half_y, least))] = 150
    return image
