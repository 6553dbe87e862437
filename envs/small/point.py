"""A point in a square with four small patches of reward: the smallest sparse task for archives and emitters.

Source: official code GPaolo/SERENE, environments/assets/gym_dummy/envs/walker_2d_env.py.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Env, Key, Spec, Step
from prospect_rl.envs.terminations import never

SQUARES = ((0.75, 0.75), (-0.98, 0.90), (0.0, -0.75), (-0.75, -0.05))
"""Lower corners."""
SIDE = 0.05


@struct.dataclass
class PointState:
    """A point and the area that it entered first."""

    position: Array
    """[2]"""
    area: Array
    """[] int32, -1 before."""
    time: Array
    """[] int32 steps so far."""


@struct.dataclass
class SparsePoint(Env):
    """A point in [-1, 1]^2 moves by 0.05 times its action for 50 steps; four small squares pay 1 a step spent inside.

    Only the square that was entered first pays. The point starts at (0, 0), and a square's border is inside.
    Optimum: straight to the square (-0.75, -0.05), 14 steps to its edge, and stay: 37 (36 where rounding costs a step).
    """

    @property
    def spec(self) -> Spec:
        """Static facts; the observation is the position, the descriptor the last one."""
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
        )

    def reset(self, key: Key) -> tuple[PointState, Array]:
        """Always at the origin."""
        state = PointState(jnp.zeros(2), jnp.int32(-1), jnp.int32(0))
        return state, state.position

    def step(self, state: PointState, action: Array, key: Key) -> tuple[PointState, Step]:
        """Moves, then pays."""
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
        """The squares red and the point blue on white, uint8 [32, 32, 3]; row 0 is the top."""
        image, _ = self.backdrop(32)
        x, y = plane(32)
        near = jnp.square(x - state.position[0]) + jnp.square(y - state.position[1]) < 0.08**2
        return jnp.where(near[..., None], np.array([40, 80, 200], np.uint8), image)

    def backdrop(self, size: int = 400) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """The squares as a picture, uint8 [size, size, 3], row 0 at the top; its extent (left, right, bottom, top)."""
        x, y = plane(size)
        reach = SIDE / 2 + 1 / size  # at least a pixel wide
        image = np.full((size, size, 3), 255, np.uint8)
        for left, low in SQUARES:
            image[(abs(x - left - SIDE / 2) < reach) & (abs(y - low - SIDE / 2) < reach)] = (220, 50, 40)
        return image, (-1.0, 1.0, -1.0, 1.0)


def plane(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x, y of the pixels [size, size] of a picture of [-1, 1]^2, row 0 at the top."""
    centre = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    x, y = np.meshgrid(centre, centre[::-1])
    return x, y
