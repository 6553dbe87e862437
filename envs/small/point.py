"""A point in a square with four small reward areas: a minimal sparse-reward task for archives and emitters.

Source: official code GPaolo/SERENE, environments/assets/gym_dummy/envs/walker_2d_env.py.
"""

from __future__ import annotations

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Drawing, Env, Key, Spec, Step
from prospect_rl.envs.drawing import Colour, disc, plane, white
from prospect_rl.envs.terminations import never

SQUARES = ((0.75, 0.75), (-0.98, 0.90), (0.0, -0.75), (-0.75, -0.05))
"""Lower left corners (x, y) of the reward areas."""
SQUARE = (-1.0, 1.0, -1.0, 1.0)
"""Left, right, bottom and top of the square."""
SIDE = 0.05
"""Side length of a reward area."""


@struct.dataclass
class PointState:
    """The state of an episode."""

    position: Array
    """[2] float32 position (x, y), each from -1 to 1."""
    area: Array
    """[] int32 index of the reward area that was entered first; -1 if none was."""
    time: Array
    """[] int32 steps taken so far."""


@struct.dataclass
class SparsePoint(Env):
    """Move a point in [-1, 1]^2 into one of four small squares, which pay 1 for every step spent inside.

    Observation [2]: the position (x, y). Action [2] in [-1, 1]: the position changes by 0.05 times the action. Only the
    square that was entered first pays; its border counts as inside. The point starts at (0, 0). An episode lasts 50
    steps and never terminates. Success: a square has been entered.
    Optimal return: 37 (36 if rounding costs a step), by going straight to the square at (-0.75, -0.05), whose edge is
    14 steps away, and staying there.
    """

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit; the behaviour descriptor is the final position."""
        return Spec(
            id="point/sparse",
            obs=Box((2,), -1.0, 1.0),
            action=Box((2,), -1.0, 1.0),
            horizon=50,
            info=("success", "descriptor", "area"),
            descriptor=Box((2,), -1.0, 1.0),
            areas=len(SQUARES),
            fixed_length=True,
            termination=never,
            draw=self.drawing,
        )

    @property
    def drawing(self) -> Drawing:
        """The squares in red and the point in blue on white; row 0 is the top."""
        side = 200

        def marks(state: PointState, x: Array, y: Array) -> list[tuple[Array, Colour]]:
            column, row = (1 + state.position[0]) * side / 2, (1 - state.position[1]) * side / 2
            return [(disc(x + 0.5, y + 0.5, (column, row), 0.04 * side), (40, 80, 200))]

        return Drawing(squares(side), marks, self.reset)

    def reset(self, key: Key) -> tuple[PointState, Array]:
        """Start at the origin."""
        state = PointState(jnp.zeros(2), jnp.int32(-1), jnp.int32(0))
        return state, state.position

    def step(self, state: PointState, action: Array, key: Key) -> tuple[PointState, Step]:
        """Move the point, then pay for its new position."""
        position = jnp.clip(state.position + 0.05 * action, -1.0, 1.0)
        corner = np.array(SQUARES, np.float32)
        within = jnp.all((position >= corner) & (position <= corner + np.float32(SIDE)), axis=1)
        here = jnp.where(jnp.any(within), jnp.argmax(within), -1).astype(jnp.int32)
        area = jnp.where(state.area < 0, here, state.area)
        reward = ((here >= 0) & (here == area)).astype(jnp.float32)
        time = state.time + 1
        info = {"success": area >= 0, "descriptor": position, "area": area}
        return PointState(position, area, time), Step(position, reward, jnp.zeros((), bool), time >= 50, info)

    def frame(self, state: PointState) -> Array:
        """Draw the squares in red and the point in blue on white, uint8 [32, 32, 3]; row 0 is the top."""
        image, (x, y) = squares(32), plane(32, SQUARE)
        near = jnp.square(x - state.position[0]) + jnp.square(y - state.position[1]) < 0.08**2
        return jnp.where(near[..., None], np.array([40, 80, 200], np.uint8), image)

    def backdrop(self) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """Draw the squares, uint8 [400, 400, 3], row 0 at the top, and give the extent (left, right, bottom, top)."""
        return squares(400), SQUARE


@lru_cache
def squares(size: int) -> np.ndarray:
    """Draw the reward areas in red on white, each at least a pixel wide, uint8 [size, size, 3]; row 0 is the top."""
    image, (x, y) = white(size), plane(size, SQUARE)
    reach = SIDE / 2 + 1 / size
    for left, low in SQUARES:
        image[(abs(x - left - SIDE / 2) < reach) & (abs(y - low - SIDE / 2) < reach)] = (220, 50, 40)
    return image
