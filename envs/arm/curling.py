"""Curling: a two-link arm must push a ball so that it lies in one of two goal discs when time is up.

Source: official code GPaolo/SERENE, environments/assets/gym_billiard (table, start, goals and rules; its physics is
Box2D's, of which `envs.arm.contact` keeps what matters here).
"""

from __future__ import annotations

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Drawing, Env, Key, Spec, Step, check_goals, static
from prospect_rl.envs.arm import contact
from prospect_rl.envs.arm.contact import BALL, DT, FADE, HALF, LIMITS, ROOM, SPIN_FADE, WALL, Arm
from prospect_rl.envs.arm.redundant import payment
from prospect_rl.envs.arm.vector import Vector
from prospect_rl.envs.drawing import BLUE, RED, Colour, disc, painted, plane, white

START = (-0.5, 0.2)
"""Where the ball starts, at rest."""
TABLE = (-HALF, HALF, -HALF, HALF)
"""Left, right, bottom and top of the table."""
FASTEST = 50.0
"""Bound of the observed speeds of the joints; one above 1 occurs in an impact only."""


@struct.dataclass
class CurlingState:
    """The state of an episode."""

    ball: Array
    """[2] float32 position (x, y) of the ball's centre in metres."""
    velocity: Array
    """[2] float32 velocity of the ball in metres per second."""
    spin: Array
    """[] float32 angular velocity of the ball in radians per second."""
    angles: Array
    """[2] float32 angles of the joints in radians, the second relative to the first link."""
    speeds: Array
    """[2] float32 angular velocities of the joints in the last step."""
    touching: Array
    """[] bool whether ball and arm touch."""
    time: Array
    """[] int32 steps taken so far."""


@struct.dataclass
class Curling(Env):
    """Push a ball with an arm of two links so that it lies in a goal disc at the end of the episode.

    Observation [6]: position (x, y) of the ball in metres, from the centre of the table; angles of the two joints in
    radians, 0 when the arm is straight and points up; their angular velocities in radians per second. Action [2] in
    [-1, 1]: the angular velocity of each joint in radians per second. A step is 1/60 of a second.
    Reward at the last step: (radius - distance) / radius of the first goal disc that contains the ball's centre; 0 at
    all other steps. Success: that reward is above 0. An episode always lasts `horizon` steps and never terminates.
    """

    horizon: int = static(500, least=1)
    """Length of an episode in steps; the reward is paid at the last one."""
    goals: tuple[tuple[float, float, float], ...] = static(((0.8, 0.8, 0.4), (0.8, -0.8, 0.2)), least=-HALF, most=HALF)
    """Position and size (x, y, radius) of each reward area in metres, from the centre of the table."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_goals(self.goals)

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit; the behaviour descriptor is the final position of the ball."""
        high = (ROOM, ROOM, *(float(limit) for limit in LIMITS), FASTEST, FASTEST)
        return Spec(
            id="arm/curling",
            obs=Box((6,), tuple(-x for x in high), high),
            action=Box((2,), -1.0, 1.0),
            horizon=self.horizon,
            info=("success", "descriptor", "area"),
            descriptor=Box((2,), -1.35, 1.35),
            areas=len(self.goals),
            fixed_length=True,
            draw=self.drawing,
        )

    @property
    def drawing(self) -> Drawing:
        """Goals in red, walls and links in grey, the ball in blue on white, a centimetre a pixel; row 0 is the top."""

        def marks(state: CurlingState, x: Array, y: Array) -> list[tuple[Array, Colour]]:
            place = Vector((x + 0.5) / 100 - HALF, HALF - (y + 0.5) / 100)
            arm = Arm.at((state.angles[0], state.angles[1]))
            links = [(arm.covers(place, link), (100, 100, 100)) for link in (0, 1)]
            return [*links, (disc(place.x, place.y, state.ball, BALL), BLUE)]

        return Drawing(scene(300, self.goals, RED), marks, self.reset)

    def reset(self, key: Key) -> tuple[CurlingState, Array]:
        """Start with the arm straight up and the ball at rest on its left."""
        none = jnp.zeros(2)
        state = CurlingState(
            jnp.asarray(START, jnp.float32), none, jnp.zeros(()), none, none, jnp.zeros((), bool), jnp.int32(0)
        )
        return state, self._observe(state)

    def step(self, state: CurlingState, action: Array, key: Key) -> tuple[CurlingState, Step]:
        """Turn the joints as far as the walls allow, move the ball, and solve its contacts.

        They are an impact that begins in this step, the impulses of what touches, and a ball that is pressed against
        a wall, before which the arm stops.
        """
        old = state.angles[0], state.angles[1]
        told = jnp.clip(action, -1.0, 1.0)
        wanted = contact.within((old[0] + DT * told[0], old[1] + DT * told[1]))
        turn = contact.off_walls(Arm.at(wanted), (wanted[0] - old[0], wanted[1] - old[1]))
        arm = Arm.at((old[0] + turn[0], old[1] + turn[1]))

        start, velocity, spin = Vector(*state.ball), Vector(*state.velocity) * FADE, state.spin * SPIN_FADE
        ball = start + velocity * DT
        touch = arm.touch(ball)
        velocity, ball, kick, rest = contact.impact(arm, touch, state.touching, turn, velocity, ball)
        touched = contact.contacts(ball, touch, state.touching, arm.drift(touch, turn))
        velocity, spin = contact.collide(touched, velocity, spin)
        ball = ball.unless(state.touching, start + velocity * DT)
        held, turn, rolled, rolling = contact.wedged(ball, arm, touch, state.touching, turn)
        velocity, spin = velocity.unless(held, rolled), jnp.where(held, rolling, spin)
        ball = contact.apart(ball.unless(held, start + velocity * DT), arm, held)

        angles = contact.within((old[0] + turn[0] + DT * rest * kick[0], old[1] + turn[1] + DT * rest * kick[1]))
        speeds = jnp.clip(jnp.stack([turn[i] / DT + kick[i] for i in (0, 1)]), -FASTEST, FASTEST)
        touching = Arm.at(angles).touch(ball).depth > 0
        state = CurlingState(ball.array(), velocity.array(), spin, jnp.stack(angles), speeds, touching, state.time + 1)
        last = state.time >= self.horizon
        reward, area = payment(state.ball, last, self.goals)
        info = {"success": reward > 0, "descriptor": state.ball, "area": area}
        return state, Step(self._observe(state), reward, jnp.zeros((), bool), last, info)

    def _observe(self, state: CurlingState) -> Array:
        """The observation [6] of a state."""
        return jnp.concatenate([state.ball, state.angles, state.speeds])

    def frame(self, state: CurlingState) -> Array:
        """Draw goals (red), walls and links (grey) and the ball (blue), uint8 [64, 64, 3]; row 0 is the top."""
        image, (x, y) = jnp.asarray(scene(64, self.goals)), plane(64, TABLE)
        place = Vector(jnp.asarray(x), jnp.asarray(y))
        arm = Arm.at((state.angles[0], state.angles[1]))
        for link in (0, 1):
            image = jnp.where(arm.covers(place, link)[..., None], np.uint8(100), image)
        ball = disc(place.x, place.y, state.ball, BALL)
        return jnp.where(ball[..., None], np.array([40, 80, 200], np.uint8), image)

    def backdrop(self) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """Draw the walls, uint8 [400, 400, 3] with row 0 at the top, and give the extent (left, right, bottom, top)."""
        return scene(400), TABLE


@lru_cache
def scene(size: int, goals: tuple[tuple[float, float, float], ...] = (), red: Colour = (220, 50, 40)) -> np.ndarray:
    """Draw walls and goals on white, uint8 [size, size, 3]."""
    x, y = plane(size, TABLE)
    image = painted(white(size), (x, y), goals, red)
    image[np.maximum(abs(x), abs(y)) > HALF - WALL] = 150
    return image
