"""A 20-joint arm between four walls; under most random policies it collides with itself before it reaches a goal.

Source: official code GPaolo/SERENE, environments/assets/gym_redarm/envs/arm_env.py (rules, start, walls,
goals). Frame: the unit square, y up.
Shapes: J = 20 joints, J + 1 nodes (base first, hand last). Speeds are in radians per second.
"""

from __future__ import annotations

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Drawing, Env, Key, Spec, Step, check_goals, static
from prospect_rl.envs.drawing import RED, Colour, disc, painted, plane, white
from prospect_rl.envs.product import product

JOINTS = 20
LINK = 0.05
"""Length of a segment; the whole arm has length 1."""
CLEARANCE = 0.0475
"""Two nodes collide if their L1 distance is smaller. (Neighbours are at least LINK apart, so they never do.)"""
DT = 0.01
"""Duration of one update (seconds)."""
UPDATES = 2
"""Updates per step; the first illegal one ends the episode."""
TIME_LIMIT = 250
"""Steps after which the original environment itself ends an episode, and pays."""
BASE = 0.5
"""Both coordinates of the arm's base."""
START = np.linspace(0.2 * np.pi, 0.05 * np.pi, JOINTS)
"""Initial joint angles (radians)."""
WALLS = ((0.49, 0.0, 0.02, 0.2), (0.49, 0.8, 0.02, 0.2), (0.0, 0.49, 0.2, 0.02), (0.8, 0.49, 0.2, 0.02))
"""Rectangles: x and y of the lower left corner, width, height."""
UNIT = (0.0, 1.0, 0.0, 1.0)
"""Left, right, bottom and top of the unit square."""
WINDOW, SIDE, CORNER, THICK = 400, 360.52, (20, 5), 3
"""Of the original's window (px): its side, the side of the unit square and where that begins, the arm's thickness."""

CUMULATE = np.triu(np.ones((JOINTS, JOINTS), np.float32))
"""x @ CUMULATE is the cumulative sum of x [J]; on a CPU this matrix product is several times faster than a scan."""
TO_NODES = np.pad(LINK * CUMULATE, ((0, 0), (1, 0)))
"""The same for the nodes [J + 1], of which the first is the base."""


@struct.dataclass
class ArmState:
    """The state of the arm after its last legal update."""

    angles: Array
    """[J] float32 joint angles in radians, each relative to the previous segment."""
    speeds: Array
    """[J] float32 angular velocities of the joints in radians per second."""
    hand: Array
    """[2] float32 position (x, y) of the hand in the unit square."""
    time: Array
    """[] int32 steps taken so far."""


@struct.dataclass
class RedundantArm(Env):
    """Move an arm of 20 joints so that its hand is in a goal disc when the episode ends.

    Observation [20]: joint angles / pi, each relative to the previous segment. Action [20] in [-1, 1]: accelerations of
    the joints. The episode terminates at the first illegal update: a node outside the unit square or in a wall, two
    nodes that collide, or a hand that is too fast. It is truncated after `horizon` steps.
    Reward, paid only when the episode ends: (radius - distance) / radius of the first goal disc that contains the hand,
    else 0. Success: that reward is above 0.
    """

    horizon: int = static(100, least=1, most=TIME_LIMIT)
    """Maximum length of an episode in steps, at most 250; then it is truncated."""
    pay_at_cut: bool = static(False)
    """Whether to pay at truncation too. The official rule pays only after an illegal update or at step 250."""

    goals: tuple[tuple[float, float, float], ...] = static(
        ((0.25, 0.25, 0.05), (0.85, 0.85, 0.05), (0.25, 0.90, 0.05)), least=0, most=1
    )
    """Position and size (x, y, radius) of each reward area in the unit square; the first that holds the hand pays."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_goals(self.goals)

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit; the behaviour descriptor is the last legal position of the hand."""
        return Spec(
            id="arm/redundant",
            obs=Box((JOINTS,)),
            action=Box((JOINTS,), -1.0, 1.0),
            horizon=self.horizon,
            info=("success", "descriptor", "area"),
            descriptor=Box((2,), 0.0, 1.0),
            areas=len(self.goals),
            draw=self.drawing,
        )

    @property
    def drawing(self) -> Drawing:
        """Walls and arm in black, goals in red above them, on white, as in the original's window (y downwards)."""

        def marks(state: ArmState, x: Array, y: Array) -> list[tuple[Array, Colour]]:
            xy = nodes(state.angles)
            place = lambda p: (CORNER[0] + SIDE * p[0], CORNER[1] + SIDE * p[1])  # noqa: E731
            goals = [(disc(x, y, place(goal), int(SIDE * goal[2])), RED) for goal in self.goals]
            return [(strokes(x, y, *place(xy)), (0, 0, 0)), *goals]

        return Drawing(window(), marks, self.reset)

    def reset(self, key: Key) -> tuple[ArmState, Array]:
        """Start from a fixed spiral, at rest."""
        angles = jnp.asarray(START, jnp.float32)
        state = ArmState(angles, jnp.zeros(JOINTS), nodes(angles)[:, -1], jnp.int32(0))
        return state, angles / np.float32(np.pi)

    def step(self, state: ArmState, action: Array, key: Key) -> tuple[ArmState, Step]:
        """Make two updates with the same acceleration; an illegal update is not made and ends the episode."""
        gain = DT / 2 * action
        speeds = jnp.stack([state.speeds + i * gain for i in range(UPDATES + 1)])
        angles = [state.angles]
        for speed in speeds[:-1]:
            angles.append(angles[-1] + DT * (speed + gain))
        angles = jnp.stack(angles)
        xy = nodes(angles[1:])  # [updates, 2, J + 1]; the second update is not used if the first is illegal
        hands = jnp.concatenate([state.hand[None], xy[:, :, -1]])
        pace = jnp.sqrt(jnp.sum(jnp.square(hands[1:] - hands[:-1]), -1)) / 2 + speeds[:-1, -1]
        # one update at a time, because XLA turns a batch of both into a loop that is three times slower
        legal = jnp.stack([apart(x, y) for x, y in xy]) & inside(xy) & (pace <= 1)

        made = jnp.where(legal[0], jnp.where(legal[1], 2, 1), 0)
        angles, speeds, hand = (
            jnp.where(made == 2, x[2], jnp.where(made == 1, x[1], x[0])) for x in (angles, speeds, hands)
        )
        time = state.time + 1
        terminated, truncated = made < UPDATES, time >= self.horizon
        pays = terminated | (truncated if self.pay_at_cut else time >= TIME_LIMIT)
        reward, area = payment(hand, pays, self.goals)
        info = {"success": reward > 0, "descriptor": hand, "area": area}
        obs = angles / np.float32(np.pi)
        return ArmState(angles, speeds, hand, time), Step(obs, reward, terminated, truncated & ~terminated, info)

    def frame(self, state: ArmState) -> Array:
        """Draw goals (red), walls (grey), the arm (blue) and its hand (black), uint8 [64, 64, 3]; row 0 is the top."""
        image = jnp.asarray(scene(64, self.goals))
        pixel = jnp.stack(plane(64, UNIT), -1)[..., None]  # [64, 64, 2, 1]
        xy = nodes(state.angles)
        a, b = xy[:, :-1], xy[:, 1:]
        along = jnp.clip(jnp.sum((pixel - a) * (b - a), 2) / LINK**2, 0, 1)
        nearest = jnp.min(jnp.sum(jnp.square(pixel - a - along[:, :, None] * (b - a)), 2), -1)
        hand = jnp.sum(jnp.square(pixel[..., 0] - state.hand), -1)
        image = jnp.where((nearest < 0.008**2)[..., None], np.array([40, 80, 200], np.uint8), image)
        return jnp.where((hand < 0.02**2)[..., None], np.uint8(0), image)

    def backdrop(self) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """Draw the walls, uint8 [400, 400, 3] with row 0 at the top, and give the extent (left, right, bottom, top)."""
        return scene(400), UNIT


def nodes(angles: Array) -> Array:
    """Return the positions (x, y) of all nodes [..., 2, J + 1] for joint angles [..., J] in radians."""
    sin, cos = sincos(np.float32(np.pi / 2) + product(angles, CUMULATE))
    return BASE + product(jnp.stack([cos, sin], -2), TO_NODES)


def sincos(x: Array) -> tuple[Array, Array]:
    """Return the sine and cosine of float32 `x` with |x| < 1000, accurate to 1e-7.

    On a CPU, where XLA does not vectorise jnp's functions, this is ten times faster. The argument is reduced by
    multiples of pi / 2 in two parts; then the minimax polynomials of the Cephes library are evaluated.
    """
    turns = jnp.round(x * np.float32(2 / np.pi))
    r = (x - turns * np.float32(1.5707855)) - turns * np.float32(1.0804334e-5)
    z = r * r
    s = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4))
    c = 1 - 0.5 * z + z * z * (4.1666645683e-2 + z * (-1.3887316255e-3 + z * 2.4433157118e-5))
    quarter = turns.astype(jnp.int32)
    odd = (quarter & 1) == 1
    sin, cos = jnp.where(odd, c, s), jnp.where(odd, s, c)
    return jnp.where((quarter & 2) == 2, -sin, sin), jnp.where(((quarter + 1) & 2) == 2, -cos, cos)


def apart(x: Array, y: Array) -> Array:
    """Return whether no two of the nodes x, y [J + 1] collide; all pairs, grouped by their distance along the arm."""
    gaps = [jnp.abs(x[lag:] - x[:-lag]) + jnp.abs(y[lag:] - y[:-lag]) for lag in range(2, JOINTS + 1)]
    return jnp.stack([jnp.min(gap) for gap in gaps]).min() >= CLEARANCE


def inside(xy: Array) -> Array:
    """Return whether every node [..., 2, J + 1] is in the unit square and none is in a wall."""
    x, y = xy[..., 0, :], xy[..., 1, :]
    ok = (x >= 0) & (x < 1) & (y >= 0) & (y < 1)
    for left, low, width, height in WALLS:
        ok &= ~((x > left) & (x < left + width) & (y > low) & (y < low + height))
    return jnp.all(ok, -1)


def payment(hand: Array, pays: Array, goals: tuple[tuple[float, float, float], ...]) -> tuple[Array, Array]:
    """Return (reward [], area []) for a hand [2]; (0, -1) if `pays` [] is False or the hand is in no goal disc."""
    reward, area = jnp.zeros(()), jnp.int32(-1)
    for i, (x, y, radius) in reversed(list(enumerate(goals))):
        distance = jnp.sqrt(jnp.square(hand[0] - x) + jnp.square(hand[1] - y))
        here = pays & (distance < radius)
        reward, area = jnp.where(here, (radius - distance) / radius, reward), jnp.where(here, i, area)
    return reward, area


@lru_cache(1)
def window() -> np.ndarray:
    """Return the original's window with the walls alone, uint8 [WINDOW, WINDOW, 3]."""
    canvas = white(WINDOW)
    for wall in WALLS:
        left, top, width, height = (int(SIDE * number) for number in wall)
        canvas[CORNER[1] + top :, CORNER[0] + left :][:height, :width] = 0
    return canvas


def strokes(x: Array, y: Array, to_x: Array, to_y: Array) -> Array:
    """Return the pixels of the line through the nodes [J + 1], bool [n, n]; x [1, n], y [n, 1].

    A loop over the segments: in one piece, XLA would compute the line anew for every use of it.
    """

    def one(i: Array, found: Array) -> Array:
        dx, dy = to_x[i + 1] - to_x[i], to_y[i + 1] - to_y[i]
        along = jnp.clip(((x - to_x[i]) * dx + (y - to_y[i]) * dy) / (LINK * SIDE) ** 2, 0, 1)
        return found | disc(x - along * dx, y - along * dy, (to_x[i], to_y[i]), THICK / 2)

    return jax.lax.fori_loop(0, JOINTS, one, jnp.zeros((y.shape[0], x.shape[1]), bool))


def scene(size: int, goals: tuple[tuple[float, float, float], ...] = ()) -> np.ndarray:
    """Draw walls and goals on white, uint8 [size, size, 3]."""
    x, y = plane(size, UNIT)
    image = painted(white(size), (x, y), goals, (220, 50, 40))
    for left, low, width, height in WALLS:
        image[(x > left) & (x < left + width) & (y > low) & (y < low + height)] = 150
    return image
