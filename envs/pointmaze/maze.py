"""A point mass in a maze in native MuJoCo: D4RL's maze2d and gymnasium-robotics' PointMaze, with equal results.

Sources: D4RL d4rl/pointmaze/maze_model.py and __init__.py; gymnasium-robotics 1.4.2 envs/maze.
Shapes: W words of a row, K free cells of the maze, o numbers of an observation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Env, Key, Spec, Step, static
from prospect_rl.envs.native import Physics, failure
from prospect_rl.envs.pointmaze import layout
from prospect_rl.envs.pointmaze.layout import GOALS, HORIZONS, MAPS, RADIUS, Layout
from prospect_rl.envs.terminations import never

SPEED = slice(6, 10)
"""The words of a row that contain the velocities: after the time and two positions, with the low word of each double
first."""
FIVE = 0x40140000
"""The high word of the double 5.0 (m/s), whose low word is 0."""
SIGN = np.uint32(1 << 31)
APART = 0.5
"""Minimum distance between the goal and the centre of the start cell in pointmaze (m)."""


@dataclass(frozen=True)
class Rules:
    """The differences between the families."""

    radius: float
    """A step pays if it ends within this distance of the goal (m)."""
    start: float
    """Largest offset of the start from its cell's position along each axis (m)."""
    speed: float
    """Standard deviation of the initial velocities (m/s)."""
    goal: float | None
    """Largest offset of the goal from its cell's position along each axis (m); None: a fixed goal, not observed."""


RULES = {"maze2d": Rules(0.5, 0.1, 0.1, None), "pointmaze": Rules(0.45, 0.25, 0.0, 0.25)}


@struct.dataclass
class MazeState:
    """The state of an episode: the simulation and the task's own part."""

    row: Array
    """[W] uint32 state of the simulation, see `envs.native.physics`."""
    read: Array
    """[4] float32 position x, y (m) and velocities along x, y (m/s)."""
    goal: Array
    """[2] float32 position of the goal (m)."""
    time: Array
    """[] int32 steps taken so far."""
    reached: Array
    """[] bool, whether a step of this episode has paid."""


@struct.dataclass
class PointMaze(Env):
    """Move a point mass through a maze to a goal and stay there.

    Observation [4], or [6] in `pointmaze`: 0 and 1, position x, y (m); 2 and 3, velocities along x and y (m/s); in
    `pointmaze` also 4 and 5, x and y of the goal (m). Action [2] in [-1, 1]: force along x and y, 1 for 100 N. A step
    lasts 0.01 s and begins by clipping both velocities to 5 m/s.
    Reward: 1 for every step that ends near the goal (within 0.5 m in maze2d, 0.45 m in pointmaze), else 0. Success: a
    step of this episode has paid. The episode never terminates; it is truncated after 300, 600 or 800 steps, depending
    on the maze. An action that is NaN or infinite counts as 0; that step pays 0 and info["failed"] is True.
    """

    family: Literal["maze2d", "pointmaze"] = static("maze2d")
    """Rules and coordinate frame: of maze2d (D4RL) or pointmaze (gymnasium-robotics v3)."""
    maze: Literal["umaze", "medium", "large"] = static("umaze")
    """The maze: umaze, medium or large."""

    @property
    def layout(self) -> Layout:
        """The map."""
        return layout.layout(self.family, self.maze)

    @property
    def rules(self) -> Rules:
        """The rules of the family."""
        return RULES[self.family]

    @property
    def physics(self) -> Physics:
        """The simulator, shared by all equal tasks of the process."""
        return layout.physics(self.family, self.maze)

    @property
    def goal(self) -> np.ndarray:
        """The position of the fixed goal [2] (m); in pointmaze, the position that D4RL's goal would have."""
        return self.layout.positions(GOALS[self.maze])

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit; the behaviour descriptor is the position, clipped to the map."""
        low, high = (tuple(corner.tolist()) for corner in self.layout.bounds)
        return Spec(
            id=f"{self.family}/{self.maze}", obs=Box((4 if self.rules.goal is None else 6,)),
            action=Box((2,), -1.0, 1.0), horizon=HORIZONS[self.maze], info=("success", "descriptor", "failed"),
            descriptor=Box((2,), low, high), fixed_length=True, termination=never,
        )  # fmt: skip

    def reset(self, key: Key) -> tuple[MazeState, Array]:
        """Draw a start cell uniformly; in pointmaze, also draw a goal."""
        return self.reset_if(jnp.ones((), bool), key)

    def step(self, state: MazeState, action: Array, key: Key) -> tuple[MazeState, Step]:
        """Advance the simulation by one MuJoCo step; nothing is random."""
        return self.step_if(jnp.ones((), bool), state, action, key)

    def reset_if(self, needed: Array, key: Key) -> tuple[MazeState, Array]:
        """Do as `reset` where `needed` [] is True; elsewhere do not simulate."""
        k_uniform, k_speed = jax.random.split(key)
        uniform = jax.random.uniform(k_uniform, (6,))  # one draw, as each further one adds half a second of compilation
        positions = jnp.asarray(self.layout.positions(self.layout.cells))
        goal, allowed = jnp.asarray(self.goal), jnp.ones(len(positions), bool)
        if self.rules.goal is not None:
            goal = self.near(positions[pick(allowed, uniform[0])], uniform[1:3])
            allowed = jnp.linalg.norm(positions - goal, axis=1) > APART
        start = positions[pick(allowed, uniform[3])] + self.rules.start * (2 * uniform[4:] - 1)
        speed = self.rules.speed * jax.random.normal(k_speed, (2,)) if self.rules.speed else jnp.zeros(2)
        return self.at(start, speed, goal, needed)

    def near(self, place: Array, uniform: Array) -> Array:
        """Return a goal [2] (m) at or near the position of a cell [2] (m); `uniform` is two numbers of U(0, 1)."""
        return place + (self.rules.goal or 0.0) * (2 * uniform - 1)

    def at(self, position: Array, velocity: Array, goal: Array, needed: Array | bool = True) -> tuple[MazeState, Array]:
        """Return (state, obs) of an episode with this initial position [2] (m), velocity [2] (m/s) and goal [2] (m)."""
        row, read = self.physics.reset(position, velocity, jnp.asarray(needed))
        state = MazeState(row, read, goal, jnp.int32(0), jnp.zeros((), bool))
        return state, self.observe(state)

    def step_if(self, live: Array, state: MazeState, action: Array, key: Key) -> tuple[MazeState, Step]:
        """Do as `step` where `live` [] is True; elsewhere keep the simulation unchanged without simulating.

        Raises:
            ValueError: If the action has the wrong shape.
        """
        action = jnp.asarray(action, jnp.float32)
        if action.shape != (2,):
            raise ValueError(f"{self.spec.id}: an action must have shape (2,), not {action.shape}")
        row, read, failed = self.physics.step(clip_speed(state.row), action, live)
        paid, time = self.pays(read[:2], state.goal) & ~failed, state.time + 1
        state = MazeState(row, read, state.goal, time, state.reached | paid)
        low, high = self.layout.bounds
        return state, Step(
            obs=self.observe(state), reward=paid.astype(jnp.float32), terminated=jnp.zeros((), bool),
            truncated=time >= HORIZONS[self.maze],
            info={"success": state.reached, "descriptor": jnp.clip(read[:2], low, high), "failed": failed},
        )  # fmt: skip

    def pays(self, position: Array, goal: Array) -> Array:
        """Return whether a step that ends at `position` [2] (m) pays."""
        return jnp.linalg.norm(position - goal) <= self.rules.radius

    def observe(self, state: MazeState) -> Array:
        """Return the observation [o]."""
        return state.read if self.rules.goal is None else jnp.concatenate([state.read, state.goal])

    def failure(self) -> str:
        """Return MuJoCo's message about the last failed step."""
        return failure()

    def frame(self, state: MazeState) -> Array:
        """Draw walls (grey), goal (red) and point (blue), uint8 [height, width, 3]: 20 pixels per metre, y upwards."""
        image, _ = self.backdrop()
        x, y = self._plane()
        for centre, radius, colour in ((state.goal, 0.2, (220, 50, 40)), (state.read, RADIUS, (40, 80, 200))):
            near = jnp.square(x - centre[0]) + jnp.square(y - centre[1]) <= radius**2
            image = jnp.where(near[..., None], np.array(colour, np.uint8), image)
        return image

    def backdrop(self) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """Draw the map, uint8 [height, width, 3], row 0 at the top, and give its extent (left, right, bottom, top)."""
        (left, bottom), (right, top) = (corner.tolist() for corner in self.layout.bounds)
        pixels, centres = np.stack(self._plane(), -1), self.layout.centres(self.layout.cells)
        free = (abs(pixels[..., None, :] - centres).max(-1) <= 0.5).any(-1)
        image = np.where(free[..., None], 255, 120).astype(np.uint8).repeat(3, axis=-1)
        return image, (left, right, bottom, top)

    def _plane(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the coordinates x and y (m) of the pixels, each [height, width]; row 0 is the top."""
        low, high = self.layout.bounds
        sides = [a + (np.arange(round(20 * float(b - a))) + 0.5) / 20 for a, b in zip(low, high, strict=True)]
        x, y = np.meshgrid(sides[0], sides[1][::-1])
        return x, y


def pick(allowed: Array, uniform: Array) -> Array:
    """Return the index [] of a uniformly drawn True entry of `allowed` [K]; `uniform` [] is a number of U(0, 1)."""
    rank = jnp.cumsum(allowed)
    return jnp.argmax(rank > jnp.floor(uniform * rank[-1]))


def clip_speed(row: Array) -> Array:
    """Clip the velocities in a row [W] to 5 m/s exactly: the high word of a double tells whether it exceeds 5."""
    low, high = row[SPEED].reshape(2, 2).T
    fast = (high & 0x7FFFFFFF) >= FIVE
    low, high = jnp.where(fast, 0, low), jnp.where(fast, high & SIGN | FIVE, high)
    return row.at[SPEED].set(jnp.stack([low, high], 1).ravel())


maze2d_umaze, maze2d_medium, maze2d_large = (partial(PointMaze, "maze2d", m) for m in MAPS)  # type: ignore[arg-type]
pointmaze_umaze, pointmaze_medium, pointmaze_large = (partial(PointMaze, "pointmaze", m) for m in MAPS)  # type: ignore[arg-type]
