"""HardMaze: a two-wheeled robot with three lasers and two bumpers, and two far-off goals that pay at the very end.

The maze of SERENE and STAX (gym_fastsim over libfastsim), rebuilt from its facts
(GPaolo/SERENE, environments/assets/gym_fastsim/simple_nav/nav_env.py). Exact on its map:
motion by circular arcs, collisions and bumpers by pixels, lasers by supercover lines. Deviations: the walls are
seven fitted segments (78 of 40,000 pixels differ from the original bitmap), and arithmetic is float32 with the
heading kept as a unit vector, so that no step needs a sine.

World: 600 x 600 units, x to the right, y down. Reward, once, at step 2000: (rho - dist) / rho within a goal's
disc, measured BEFORE the last move, as the original does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Env, Key, Spec, Step, Tree, check_goals, static
from prospect_rl.envs.maze import geometry

WORLD = geometry.SIZE * geometry.UNIT
"""Width and height of the world; the unit of the descriptor."""
AXLE = 20.0
"""Distance between the wheels (world units)."""
ROOT_HALF = float(np.sqrt(0.5))
PATH = geometry.REACH + 3
SPAN = 2 * geometry.REACH + 1


@struct.dataclass
class State:
    """Pose of the robot, and the clock."""

    x: Array
    y: Array
    cos: Array
    sin: Array
    """Unit vector of the heading."""
    t: Array
    """Steps taken, int32."""


@struct.dataclass
class Bank:
    """The maze as look-up tables (24 MB): arguments of a compiled program, never constants in it."""

    contact: Array
    line: Array
    hit: Array
    path: Array


@lru_cache(1)
def bank() -> Bank:
    """The tables of the one map (about a second, once a process)."""
    lasers = geometry.laser_tables(geometry.bitmap())
    return Bank(*(jnp.asarray(table) for table in (obstacles().reshape(-1), *lasers)))


@lru_cache(1)
def obstacles() -> np.ndarray:
    """What a robot on a pixel touches, int32 [SIZE, SIZE]; 0 where it is free (see `geometry.contacts`)."""
    return geometry.contacts(geometry.bitmap())


@struct.dataclass
class HardMaze(Env):
    """See the module. Action: wheel speeds (left, right) in [-1, 1] units a step."""

    horizon: int = static(2000, least=1)
    """Steps in an episode; the reward comes with the last one."""
    start: tuple[float, float] = static((60 / WORLD, 450 / WORLD), least=0, most=1)
    """Where the robot starts (x, y), in units of the descriptor; its heading is 45 degrees."""
    goals: tuple[tuple[float, float, float], ...] = static(
        ((60 / WORLD, 60 / WORLD, 50 / WORLD), (100 / WORLD, 200 / WORLD, 50 / WORLD)), least=0, most=1
    )
    """(x, y, radius) of each reward area, in units of the descriptor; the first that holds the robot pays."""
    tables: Bank = struct.field(default_factory=bank)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_goals(self.goals)
        x, y = (math.floor(WORLD * number / geometry.UNIT + 0.5) for number in self.start)
        if not (x < geometry.SIZE and y < geometry.SIZE and obstacles()[y, x] == 0):
            raise ValueError(f"start must be where the robot touches no wall, not {self.start}")

    @property
    def spec(self) -> Spec:
        """Observation: lasers at +45, 0, -45 degrees (units, 100 where nothing is hit), left and right bumper."""
        return Spec(
            id="maze/hard",
            obs=Box((5,), 0.0, (geometry.RANGE + 3 * geometry.UNIT,) * 3 + (1.0, 1.0)),
            action=Box((2,), -1.0, 1.0),
            horizon=self.horizon,
            info=("success", "descriptor", "area"),
            descriptor=Box((2,), 0.0, 1.0),
            areas=len(self.goals),
            fixed_length=True,
        )

    @property
    def discs(self) -> list[tuple[float, ...]]:
        """(x, y, radius) of each reward area, in world units."""
        return [tuple(WORLD * number for number in goal) for goal in self.goals]

    def reset(self, key: Key) -> tuple[State, Array]:
        """The one start, heading 45 degrees (down and to the right)."""
        x, y, half = (jnp.float32(number) for number in (WORLD * self.start[0], WORLD * self.start[1], ROOT_HALF))
        state = State(x, y, half, half, jnp.int32(0))
        return state, self._observe(state, (jnp.zeros(()), jnp.zeros(())))

    def step(self, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """Move along an arc; a move into a wall is undone but its turn is kept."""
        left, right = jnp.clip(action[0], -4, 4), jnp.clip(action[1], -4, 4)
        half = (right - left) * (0.5 / AXLE)  # half the turn; at most 0.2 rad, where these series are exact
        square = half * half
        sine = half * (1 - square / 6 * (1 - square / 20))
        cosine = 1 - square / 2 * (1 - square / 12 * (1 - square / 30))
        chord = 0.5 * (left + right) * (1 - square / 6 * (1 - square / 20))
        mid_cos, mid_sin = state.cos * cosine - state.sin * sine, state.sin * cosine + state.cos * sine
        cos, sin = mid_cos * cosine - mid_sin * sine, mid_sin * cosine + mid_cos * sine
        unit = 1.5 - 0.5 * (cos * cos + sin * sin)  # one Newton step keeps the heading's length 1
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
        """The observation [5] at a pose."""
        c, s = state.cos * ROOT_HALF, state.sin * ROOT_HALF
        cos, sin = jnp.stack([c - s, state.cos, c + s]), jnp.stack([s + c, state.sin, s - c])
        return jnp.concatenate([self._lasers(state.x, state.y, cos, sin), jnp.stack(bumpers)])

    def _lasers(self, x: Array, y: Array, cos: Array, sin: Array) -> Array:
        """Distances [n] from the robot's centre to the centre of the first obstacle pixel that each ray meets."""
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
        """The map as a picture, uint8 [200, 200, 3], and its extent (left, right, bottom, top) in descriptor units."""
        grey = np.where(geometry.bitmap(), 60, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2), (0.0, 1.0, 1.0, 0.0)

    def frame(self, state: Tree) -> Array:
        """The map with the goals (red) and the robot (blue), uint8 [200, 200, 3]."""
        y, x = jnp.mgrid[0 : geometry.SIZE, 0 : geometry.SIZE] * geometry.UNIT
        picture = jnp.where((self.tables.contact.reshape(geometry.SIZE, geometry.SIZE) >> 16)[..., None] > 0, 60, 255)
        picture = jnp.broadcast_to(picture, (geometry.SIZE, geometry.SIZE, 3))
        discs = [(gx, gy, rho, (213, 94, 0)) for gx, gy, rho in self.discs]
        for cx, cy, radius, colour in (*discs, (state.x, state.y, 10.0, (0, 90, 200))):
            inside = (x - cx) ** 2 + (y - cy) ** 2 <= radius**2
            picture = jnp.where(inside[..., None], jnp.asarray(colour), picture)
        return picture.astype(jnp.uint8)


def _pixel(x: Array) -> Array:
    """The pixel of a world coordinate, int32."""
    return jnp.floor(x * (1 / geometry.UNIT) + 0.5).astype(jnp.int32)


def _bumpers(contact: Array, cos: Array, sin: Array) -> tuple[Array, Array]:
    """(left, right): 1 if something touches within a quarter turn to that side of the heading, else 0."""
    dx, dy = (jnp.asarray([b[i] for b in geometry.BEARINGS], jnp.float32) for i in (0, 1))
    ahead = ((contact >> jnp.arange(16)) & 1 != 0) & (dx * cos + dy * sin > 0)
    side = dy * cos - dx * sin
    return jnp.any(ahead & (side < 0)).astype(jnp.float32), jnp.any(ahead & (side > 0)).astype(jnp.float32)


def _pay(x: Array, y: Array, last: Array, discs: Sequence[tuple[float, ...]]) -> tuple[Array, Array]:
    """(reward [], area []): what the first goal that holds (x, y) pays at the last step; 0 and -1 else."""
    reward, area = jnp.zeros(()), jnp.int32(-1)
    for index in reversed(range(len(discs))):
        gx, gy, rho = discs[index]
        near = 1 - jnp.sqrt((x - gx) ** 2 + (y - gy) ** 2) / rho
        reward, area = jnp.where(near > 0, near, reward), jnp.where(near > 0, index, area)
    return jnp.where(last, reward, 0.0), jnp.where(last, area, -1)
