"""A point mass that native MuJoCo pushes through a maze: D4RL's maze2d and gymnasium-robotics' PointMaze, exactly.

Sources: D4RL d4rl/pointmaze/maze_model.py and __init__.py; gymnasium-robotics 1.4.2 envs/maze.
Shapes: W words of a row, K free cells of the maze, o of an observation.
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
"""Words of a row that hold the velocities: after time and two positions, the low word of each double first."""
FIVE = 0x40140000
"""The high word of 5.0 (m/s), whose low word is 0."""
SIGN = np.uint32(1 << 31)
APART = 0.5
"""In pointmaze no start cell's middle is within this of the goal (m)."""


@dataclass(frozen=True)
class Rules:
    """What differs between the families (m, m/s)."""

    radius: float
    """A step pays that ends within this of the goal."""
    start: float
    """The start lies within this of its place, along each axis."""
    speed: float
    """Standard deviation of the first velocities."""
    goal: float | None
    """The goal lies within this of the place of a drawn cell, along each axis; None: a fixed goal, not observed."""


RULES = {"maze2d": Rules(0.5, 0.1, 0.1, None), "pointmaze": Rules(0.45, 0.25, 0.0, 0.25)}


@struct.dataclass
class MazeState:
    """A simulation, and what its task adds."""

    row: Array
    """[W] uint32: see `envs.native.physics`."""
    read: Array
    """[4] float32: x, y (m) and their velocities (m/s)."""
    goal: Array
    """[2] float32 (m)."""
    time: Array
    """[] int32 steps so far."""
    reached: Array
    """[] bool: a step of this episode has paid."""


@struct.dataclass
class PointMaze(Env):
    """Reach the goal and stay: every step that ends near it pays 1, and nothing terminates.

    Actions float32 [2]: force along x and y, 1 for 100 N; a step lasts 0.01 s, and begins by clipping both velocities
    to 5 m/s. Observation float32: x, y, their velocities, and in `pointmaze` the goal (x, y). Success: a step of this
    episode has paid. An action that is no number counts as none; that step pays nothing, and info["failed"] says so.
    """

    family: Literal["maze2d", "pointmaze"] = static("maze2d")
    """Whose rules and frame: maze2d (D4RL) or pointmaze (gymnasium-robotics v3)."""
    maze: Literal["umaze", "medium", "large"] = static("umaze")
    """umaze, medium or large."""

    @property
    def layout(self) -> Layout:
        """The map."""
        return layout.layout(self.family, self.maze)

    @property
    def rules(self) -> Rules:
        """Those of the family."""
        return RULES[self.family]

    @property
    def physics(self) -> Physics:
        """The simulator, shared by all equal tasks of a process."""
        return layout.physics(self.family, self.maze)

    @property
    def goal(self) -> np.ndarray:
        """Where the fixed goal lies [2] (m); in pointmaze, where D4RL's would."""
        return self.layout.places(GOALS[self.maze])

    @property
    def spec(self) -> Spec:
        """Static facts; the descriptor is the position, clipped to the map."""
        low, high = (tuple(corner.tolist()) for corner in self.layout.bounds)
        return Spec(
            id=f"{self.family}/{self.maze}", obs=Box((4 if self.rules.goal is None else 6,)),
            action=Box((2,), -1.0, 1.0), horizon=HORIZONS[self.maze], info=("success", "descriptor", "failed"),
            descriptor=Box((2,), low, high), fixed_length=True, termination=never,
        )  # fmt: skip

    def reset(self, key: Key) -> tuple[MazeState, Array]:
        """A uniformly drawn start cell; in pointmaze a drawn goal too."""
        return self.reset_if(jnp.ones((), bool), key)

    def step(self, state: MazeState, action: Array, key: Key) -> tuple[MazeState, Step]:
        """One step of MuJoCo. Nothing random."""
        return self.step_if(jnp.ones((), bool), state, action, key)

    def reset_if(self, needed: Array, key: Key) -> tuple[MazeState, Array]:
        """`reset` where `needed` [], else without a simulation."""
        k_luck, k_speed = jax.random.split(key)
        luck = jax.random.uniform(k_luck, (6,))  # one draw for all: each more costs half a second of compilation
        places = jnp.asarray(self.layout.places(self.layout.cells))
        goal, allowed = jnp.asarray(self.goal), jnp.ones(len(places), bool)
        if self.rules.goal is not None:
            goal = self.near(places[pick(allowed, luck[0])], luck[1:3])
            allowed = jnp.linalg.norm(places - goal, axis=1) > APART
        start = places[pick(allowed, luck[3])] + self.rules.start * (2 * luck[4:] - 1)
        speed = self.rules.speed * jax.random.normal(k_speed, (2,)) if self.rules.speed else jnp.zeros(2)
        return self.at(start, speed, goal, needed)

    def near(self, place: Array, luck: Array) -> Array:
        """A goal [2] at or near the place of a cell [2] (m); luck: two numbers of U(0, 1)."""
        return place + (self.rules.goal or 0.0) * (2 * luck - 1)

    def at(self, position: Array, velocity: Array, goal: Array, needed: Array | bool = True) -> tuple[MazeState, Array]:
        """The (state, obs) of an episode that begins there: position, goal [2] (m), velocity [2] (m/s)."""
        row, read = self.physics.reset(position, velocity, jnp.asarray(needed))
        state = MazeState(row, read, goal, jnp.int32(0), jnp.zeros((), bool))
        return state, self.observe(state)

    def step_if(self, live: Array, state: MazeState, action: Array, key: Key) -> tuple[MazeState, Step]:
        """`step` where `live` []; elsewhere no simulation goes on, at no cost. Raises ValueError."""
        action = jnp.asarray(action, jnp.float32)
        if action.shape != (2,):
            raise ValueError(f"{self.spec.id}: an action has shape (2,), not {action.shape}")
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
        """Whether a step pays that ends at `position` [2] (m)."""
        return jnp.linalg.norm(position - goal) <= self.rules.radius

    def observe(self, state: MazeState) -> Array:
        """The observation [o]."""
        return state.read if self.rules.goal is None else jnp.concatenate([state.read, state.goal])

    def failure(self) -> str:
        """MuJoCo's words on the last step that failed."""
        return failure()

    def frame(self, state: MazeState) -> Array:
        """Walls grey, the goal red, the point blue; uint8 [20 per m], x to the right and y upwards."""
        image, _ = self.backdrop()
        x, y = self._plane()
        for centre, radius, colour in ((state.goal, 0.2, (220, 50, 40)), (state.read, RADIUS, (40, 80, 200))):
            near = jnp.square(x - centre[0]) + jnp.square(y - centre[1]) <= radius**2
            image = jnp.where(near[..., None], np.array(colour, np.uint8), image)
        return image

    def backdrop(self) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """The map as a picture, uint8 [height, width, 3], row 0 at the top; its extent (left, right, bottom, top)."""
        (left, bottom), (right, top) = (corner.tolist() for corner in self.layout.bounds)
        pixels, middles = np.stack(self._plane(), -1), self.layout.middle(self.layout.cells)
        free = (abs(pixels[..., None, :] - middles).max(-1) <= 0.5).any(-1)
        image = np.where(free[..., None], 255, 120).astype(np.uint8).repeat(3, axis=-1)
        return image, (left, right, bottom, top)

    def _plane(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates x, y (m) of the pixels [height, width] of a picture, row 0 at the top."""
        low, high = self.layout.bounds
        sides = [a + (np.arange(round(20 * float(b - a))) + 0.5) / 20 for a, b in zip(low, high, strict=True)]
        x, y = np.meshgrid(sides[0], sides[1][::-1])
        return x, y


def pick(allowed: Array, luck: Array) -> Array:
    """The number [] of one of the entries that `allowed` [K] holds for; luck [] of U(0, 1)."""
    rank = jnp.cumsum(allowed)
    return jnp.argmax(rank > jnp.floor(luck * rank[-1]))


def clip_speed(row: Array) -> Array:
    """A row [W] with its velocities clipped to 5 m/s, exactly: a double's high word tells whether it is beyond 5."""
    low, high = row[SPEED].reshape(2, 2).T
    fast = (high & 0x7FFFFFFF) >= FIVE
    low, high = jnp.where(fast, 0, low), jnp.where(fast, high & SIGN | FIVE, high)
    return row.at[SPEED].set(jnp.stack([low, high], 1).ravel())


maze2d_umaze, maze2d_medium, maze2d_large = (partial(PointMaze, "maze2d", m) for m in MAPS)  # type: ignore[arg-type]
pointmaze_umaze, pointmaze_medium, pointmaze_large = (partial(PointMaze, "pointmaze", m) for m in MAPS)  # type: ignore[arg-type]
