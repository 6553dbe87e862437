"""HardMaze: a two-wheeled robot with three lasers and two bumpers, and two distant goals that pay only at the end.

This is the maze of SERENE and STAX (gym_fastsim, which uses libfastsim), reimplemented from its source
(GPaolo/SERENE, environments/assets/gym_fastsim/simple_nav/nav_env.py). The physics is exact on its map: motion along
circular arcs, collisions and bumpers by pixels, lasers by supercover lines. Deviations: the walls are seven fitted
segments (78 of 40,000 pixels differ from the original bitmap), and arithmetic is float32, with the heading stored as a
unit vector so that no step computes a sine.

World: 600 x 600 units, x to the right, y down. The reward is paid once, at the last step: (radius - distance) / radius
within a goal's disc, measured BEFORE the last move, as in the original.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Drawing, Env, Key, Spec, Step, Tree, check_goals, static
from prospect_rl.envs.drawing import BLUE, RED, Colour, disc, painted, white
from prospect_rl.envs.maze import geometry

WORLD = geometry.SIZE * geometry.UNIT
"""Width and height of the world (world units); the behaviour descriptor is the position divided by it."""
AXLE = 20.0
"""Distance between the wheels (world units)."""
ROOT_HALF = float(np.sqrt(0.5))
PATH = geometry.REACH + 3
"""Entries per line in the table `path`."""
SPAN = 2 * geometry.REACH + 1
"""Entries per row in the table `line`."""


@struct.dataclass
class State:
    """The state of an episode: the robot's pose and the time."""

    x: Array
    """[] float32 x position in world units."""
    y: Array
    """[] float32 y position in world units, downwards."""
    cos: Array
    """[] float32 cosine of the heading."""
    sin: Array
    """[] float32 sine of the heading."""
    t: Array
    """[] int32 steps taken so far."""


@struct.dataclass
class Bank:
    """The maze as look-up tables (24 MB), which are arguments of a compiled program, never constants in it."""

    contact: Array
    """[SIZE * SIZE] int32 contacts on each pixel, see `geometry.contacts`."""
    line: Array
    """Numbers of the laser lines, see `geometry.laser_tables`."""
    hit: Array
    """Steps at which laser lines hit, see `geometry.laser_tables`."""
    path: Array
    """Pixels of the laser lines, see `geometry.laser_tables`."""


@lru_cache(1)
def bank() -> Bank:
    """Return the tables of the map; computing them takes about a second, once per process."""
    lasers = geometry.laser_tables(geometry.bitmap())
    return Bank(*(jnp.asarray(table) for table in (obstacles().reshape(-1), *lasers)))


@lru_cache(1)
def obstacles() -> np.ndarray:
    """Return the contacts of a robot on each pixel, int32 [SIZE, SIZE]; 0 means none (see `geometry.contacts`)."""
    return geometry.contacts(geometry.bitmap())


@lru_cache
def canvas(goals: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    """The map with goals (x, y, radius in shares of the world), uint8 [SIZE, SIZE, 3]."""
    image, (y, x) = white(geometry.SIZE), np.ogrid[: geometry.SIZE, : geometry.SIZE]
    image[geometry.bitmap()] = 0
    return painted(image, (x, y), [[geometry.SIZE * number for number in goal] for goal in goals], RED)


@struct.dataclass
class HardMaze(Env):
    """Drive a two-wheeled robot through a maze; a reward is paid only at the last step, near one of two goals.

    Observation [5]: 0 to 2, distances seen by the lasers at +45, 0 and -45 degrees (world units, 100 if nothing is
    hit); 3, left bumper; 4, right bumper (1 if pressed, else 0). Action [2]: speeds of the left and the right wheel,
    each in [-1, 1] world units per step. The world is 600 x 600 units. Reward at the last step: (radius - distance) /
    radius of the first goal disc that contains the robot, measured before the last move; 0 at all other steps.
    Success: that reward is above 0. An episode always lasts `horizon` steps and never terminates.
    """

    horizon: int = static(2000, least=1)
    """Length of an episode in steps; the reward is paid at the last one."""
    start: tuple[float, float] = static((60 / WORLD, 450 / WORLD), least=0, most=1)
    """Start position (x, y) as a share (0 to 1) of the world's 600 units; the initial heading is 45 degrees."""
    goals: tuple[tuple[float, float, float], ...] = static(
        ((60 / WORLD, 60 / WORLD, 50 / WORLD), (100 / WORLD, 200 / WORLD, 50 / WORLD)), least=0, most=1
    )
    """Position and size (x, y, radius) of each reward area, as shares (0 to 1) of the world's 600 units."""
    robot_drawn: float = static(0.01, above=0, most=1, later=True)
    """Radius of the robot in pictures that agents learn from, as a share (0 to 1) of the world's 600 units."""
    goals_drawn: bool = static(True, later=True)
    """Whether the reward areas are in pictures that agents learn from."""
    tables: Bank = struct.field(default_factory=bank)
    """Look-up tables of the map."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_goals(self.goals)
        x, y = (math.floor(WORLD * number / geometry.UNIT + 0.5) for number in self.start)
        if not (x < geometry.SIZE and y < geometry.SIZE and obstacles()[y, x] == 0):
            raise ValueError(f"start must be a position at which the robot touches no wall, not {self.start}")

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit; the behaviour descriptor is the final position as a share of the world."""
        return Spec(
            id="maze/hard",
            obs=Box((5,), 0.0, (geometry.RANGE + 3 * geometry.UNIT,) * 3 + (1.0, 1.0)),
            action=Box((2,), -1.0, 1.0),
            horizon=self.horizon,
            info=("success", "descriptor", "area"),
            descriptor=Box((2,), 0.0, 1.0),
            areas=len(self.goals),
            fixed_length=True,
            draw=self.drawing,
        )

    @property
    def drawing(self) -> Drawing:
        """Walls in black and goals in red on white, the robot in blue, as in the original's pictures."""
        radius = self.robot_drawn * geometry.SIZE

        def marks(state: State, x: Array, y: Array) -> list[tuple[Array, Colour]]:
            return [(disc(x, y, (state.x / geometry.UNIT, state.y / geometry.UNIT), radius), BLUE)]

        return Drawing(canvas(self.goals if self.goals_drawn else ()), marks, self.reset)

    @property
    def discs(self) -> list[tuple[float, ...]]:
        """The (x, y, radius) of each reward area, in world units."""
        return [tuple(WORLD * number for number in goal) for goal in self.goals]

    def reset(self, key: Key) -> tuple[State, Array]:
        """Start at the fixed position, heading 45 degrees (down and to the right)."""
        x, y, half = (jnp.float32(number) for number in (WORLD * self.start[0], WORLD * self.start[1], ROOT_HALF))
        state = State(x, y, half, half, jnp.int32(0))
        return state, self._observe(state, (jnp.zeros(()), jnp.zeros(())))

    def step(self, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """Move along an arc; a move into a wall is undone, but its rotation is kept."""
        left, right = jnp.clip(action[0], -4, 4), jnp.clip(action[1], -4, 4)
        half = (right - left) * (0.5 / AXLE)  # half the rotation, at most 0.2 rad, where these series are exact
        square = half * half
        sine = half * (1 - square / 6 * (1 - square / 20))
        cosine = 1 - square / 2 * (1 - square / 12 * (1 - square / 30))
        chord = 0.5 * (left + right) * (1 - square / 6 * (1 - square / 20))
        mid_cos, mid_sin = state.cos * cosine - state.sin * sine, state.sin * cosine + state.cos * sine
        cos, sin = mid_cos * cosine - mid_sin * sine, mid_sin * cosine + mid_cos * sine
        unit = 1.5 - 0.5 * (cos * cos + sin * sin)  # one Newton step keeps the heading a unit vector
        cos, sin = cos * unit, sin * unit
        x, y = state.x + chord * mid_cos, state.y + chord * mid_sin
        contact = self.tables.contact[_pixel(y) * geometry.SIZE + _pixel(x)]
        free = contact == 0
        moved = State(jnp.where(free, x, state.x), jnp.where(free, y, state.y), cos, sin, state.t + 1)
        last = moved.t >= self.horizon
        reward, area = _pay(state.x, state.y, last, self.discs)
        info = {"success": reward > 0, "descriptor": jnp.stack([moved.x, moved.y]) / WORLD, "area": area}
        obs = self._observe(moved, _bumpers(contact, cos, sin))
        return moved, Step(obs, reward, jnp.zeros((), bool), last, info)

    def _observe(self, state: State, bumpers: tuple[Array, Array]) -> Array:
        """Return the observation [5] at a pose."""
        c, s = state.cos * ROOT_HALF, state.sin * ROOT_HALF
        cos, sin = jnp.stack([c - s, state.cos, c + s]), jnp.stack([s + c, state.sin, s - c])
        return jnp.concatenate([self._lasers(state.x, state.y, cos, sin), jnp.stack(bumpers)])

    def _lasers(self, x: Array, y: Array, cos: Array, sin: Array) -> Array:
        """Return the distances [n] from the robot's centre to the first obstacle pixel's centre on each ray."""
        px, py = _pixel(x), _pixel(y)
        ex = _pixel(x + geometry.RANGE * cos) - px + geometry.REACH
        ey = _pixel(y + geometry.RANGE * sin) - py + geometry.REACH
        line = self.tables.line[ey * SPAN + ex]
        lines = self.tables.hit.shape[0] // geometry.SIZE**2
        step = self.tables.hit[(py * geometry.SIZE + px) * lines + line].astype(jnp.int32)
        offset = self.tables.path[line * PATH + step].astype(jnp.float32)
        dx = (px.astype(jnp.float32) + offset[:, 0]) * geometry.UNIT - x
        dy = (py.astype(jnp.float32) + offset[:, 1]) * geometry.UNIT - y
        return jnp.where(offset[:, 0] == 127, geometry.RANGE, jnp.sqrt(dx * dx + dy * dy))

    def backdrop(self) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """Draw the map, uint8 [200, 200, 3], and give its extent (left, right, bottom, top) in descriptor units."""
        grey = np.where(geometry.bitmap(), 60, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2), (0.0, 1.0, 1.0, 0.0)

    def frame(self, state: Tree) -> Array:
        """Draw the map with the goals (red) and the robot (blue), uint8 [200, 200, 3]."""
        y, x = jnp.mgrid[0 : geometry.SIZE, 0 : geometry.SIZE] * geometry.UNIT
        picture = jnp.where((self.tables.contact.reshape(geometry.SIZE, geometry.SIZE) >> 16)[..., None] > 0, 60, 255)
        picture = jnp.broadcast_to(picture, (geometry.SIZE, geometry.SIZE, 3))
        discs = [(gx, gy, rho, (213, 94, 0)) for gx, gy, rho in self.discs]
        for cx, cy, radius, colour in (*discs, (state.x, state.y, 10.0, (0, 90, 200))):
            inside = (x - cx) ** 2 + (y - cy) ** 2 <= radius**2
            picture = jnp.where(inside[..., None], jnp.asarray(colour), picture)
        return picture.astype(jnp.uint8)


def _pixel(x: Array) -> Array:
    """Return the pixel of a world coordinate, int32."""
    return jnp.floor(x * (1 / geometry.UNIT) + 0.5).astype(jnp.int32)


def _bumpers(contact: Array, cos: Array, sin: Array) -> tuple[Array, Array]:
    """Return (left, right): 1 if an obstacle touches the front quarter on that side of the heading, else 0."""
    dx, dy = (jnp.asarray([b[i] for b in geometry.BEARINGS], jnp.float32) for i in (0, 1))
    ahead = ((contact >> jnp.arange(16)) & 1 != 0) & (dx * cos + dy * sin > 0)
    side = dy * cos - dx * sin
    return jnp.any(ahead & (side < 0)).astype(jnp.float32), jnp.any(ahead & (side > 0)).astype(jnp.float32)


def _pay(x: Array, y: Array, last: Array, discs: Sequence[tuple[float, ...]]) -> tuple[Array, Array]:
    """Return (reward [], area []): of the first goal that contains (x, y) if this is the last step, else 0 and -1."""
    reward, area = jnp.zeros(()), jnp.int32(-1)
    for index in reversed(range(len(discs))):
        gx, gy, rho = discs[index]
        near = 1 - jnp.sqrt((x - gx) ** 2 + (y - gy) ** 2) / rho
        reward, area = jnp.where(near > 0, near, reward), jnp.where(near > 0, index, area)
    return jnp.where(last, reward, 0.0), jnp.where(last, area, -1)
