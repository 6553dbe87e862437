"""Contacts of curling: a ball among four walls and the two links of an arm, at one step of a simulation.

The arm is kinematic: its motors are so strong that it moves as it is told, except where a wall stops it, or a ball that
it presses against a wall. The ball is a disc whose contacts are solved by impulses with friction and restitution. The
constants and rules are those of Box2D 2.3, which simulates the original.

Frame: the table's centre is the origin, y is up. Metres, radians and seconds. Angles are counterclockwise; at zero the
arm points up. The mass of the ball is 1. A turn is what a joint's angle gains in a step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Array
from prospect_rl.envs.arm.redundant import sincos
from prospect_rl.envs.arm.vector import Vector

HALF = 1.5
"""Half the width and height of the table."""
WALL = 0.05
"""Half the thickness of a wall, which is centred on the table's border."""
BALL = 0.15
"""Radius of the ball."""
SKIN, SLOP = 0.01, 0.005
"""Box2D surrounds each polygon with a skin of this thickness, and tolerates an overlap of the second."""
REACH = BALL + SKIN
"""Distance of the ball's centre from a link at which they touch."""
SUDDEN = 3 * SLOP
"""An overlap that begins within a step and exceeds this is an impact in the middle of the step."""
ROOM = HALF - WALL - REACH + SLOP
"""Largest x and y of the ball's centre."""
CLEAR = HALF - WALL - 2 * SKIN + SLOP
"""Largest x and y of a corner of the arm."""
LENGTH, WIDTH, OVERLAP = 1.0, 0.05, 0.1
"""A link's length, half its width, and how far the second link reaches back beyond its joint."""
LIMITS = np.array((0.4 * math.pi, 0.9 * math.pi), np.float32)
"""Largest angles of the joints, either way."""
DT = 1 / 60
"""Duration of a step."""
FADE, SPIN_FADE = 1 / (1 + 1.1 * DT), 1 / (1 + 2.0 * DT)
"""What damping leaves of the ball's velocity and of its spin in a step."""
BOUNCE, SLOWEST = 0.9, 1.0
"""Share of the speed of an impact with which the ball bounces, if that speed is above the second; else it does not."""
GRIP_WALL, GRIP_LINK = math.sqrt(0.9 * 0.2), 0.9
"""Coefficients of friction, of ball or arm at a wall and of the ball at a link."""
WEDGE = math.cos(2 * math.atan(GRIP_WALL))
"""Cosine of the widest angle between link and wall in which friction holds the ball as in a wedge."""
LIGHTNESS = math.pi * BALL**2 / np.array((0.5, 0.1))
"""Mass of the ball over that of each link."""
INERTIA = ((LENGTH / 2) ** 2 + WIDTH**2) / 3
"""Moment of inertia of a link about its centre over its mass."""
ROUNDS = 4
"""Rounds over the contacts of a step, in which impulses and positions settle."""

Pair = tuple[Array, Array]
"""A number for each joint."""


@dataclass(frozen=True)
class Touch:
    """The ball and the link in which it is deeper."""

    normal: Vector
    """Unit vector from the link to the ball's centre."""
    depth: Array
    """How deep the ball is in the link; negative if they are apart."""
    point: Vector
    """The link's point nearest to the ball's centre."""
    second: Array
    """Whether it is the second link."""


@dataclass(frozen=True)
class Arm:
    """Where the links are, for two angles of the joints."""

    along: tuple[Vector, Vector]
    """Unit vectors along the links."""
    pivots: tuple[Vector, Vector]
    """Positions of the joints."""

    @classmethod
    def at(cls, angles: Pair) -> Arm:
        """The arm with these angles."""
        (s0, c0), (s1, c1) = sincos(angles[0]), sincos(angles[0] + angles[1])
        base = Vector(jnp.float32(0), jnp.float32(-HALF))
        along = Vector(-s0, c0), Vector(-s1, c1)
        return cls(along, (base, base + along[0] * LENGTH))

    def middle(self, link: int) -> Vector:
        """The centre of a link."""
        return self.pivots[link] + self.along[link] * (LENGTH / 2 - link * OVERLAP)

    def corners(self) -> tuple[Vector, Vector]:
        """The far corners of the second link, the only ones that come near a wall."""
        tip, side = self.pivots[1] + self.along[1] * (LENGTH - OVERLAP), self.along[1].turned() * WIDTH
        return tip + side, tip - side

    def levers(self, point: Vector, direction: Vector, second: Array) -> Pair:
        """How fast a point of a link moves in a direction, per radian of each joint."""
        return (
            (point - self.pivots[0]).turned().dot(direction),
            jnp.where(second, (point - self.pivots[1]).turned().dot(direction), 0.0),
        )

    def drift(self, touch: Touch, turn: Pair) -> Vector:
        """The velocity of the touched point of a link, for a turn of each joint within a step."""
        first = (touch.point - self.pivots[0]).turned() * (turn[0] / DT)
        return first + (touch.point - self.pivots[1]).turned() * jnp.where(touch.second, turn[1] / DT, 0.0)

    def touch(self, ball: Vector) -> Touch:
        """The contact of the ball with the link in which it is deeper."""
        first, second = self.near(ball, 0), self.near(ball, 1)
        deeper = second[1] > first[1]
        normal, point = first[0].unless(deeper, second[0]), first[2].unless(deeper, second[2])
        return Touch(normal, jnp.maximum(first[1], second[1]), point, deeper)

    def covers(self, place: Vector, link: int) -> Array:
        """Whether a place is within a link."""
        away = place - self.middle(link)
        along, across = away.dot(self.along[link]), away.dot(self.along[link].turned())
        return (jnp.abs(along) <= LENGTH / 2) & (jnp.abs(across) <= WIDTH)

    def near(self, ball: Vector, link: int) -> tuple[Vector, Array, Vector]:
        """(normal, depth, point) of the ball and one link, as in `Touch`."""
        along, across = self.along[link], self.along[link].turned()
        middle = self.middle(link)
        a, b = (ball - middle).dot(along), (ball - middle).dot(across)
        near_a, near_b = jnp.clip(a, -LENGTH / 2, LENGTH / 2), jnp.clip(b, -WIDTH, WIDTH)
        square = jnp.square(a - near_a) + jnp.square(b - near_b)
        outside = square > 1e-12  # else the centre is in the box: out by the nearer side
        scale = jnp.where(outside, jax.lax.rsqrt(jnp.maximum(square, 1e-12)), 1.0)
        normal = along * jnp.where(outside, (a - near_a) * scale, 0.0)
        normal = normal + across * jnp.where(outside, (b - near_b) * scale, jnp.sign(b))
        distance = jnp.where(outside, square * scale, jnp.abs(b) - WIDTH)
        return normal, REACH - distance, middle + along * near_a + across * near_b


def within(angles: Pair) -> Pair:
    """Angles within the limits of the joints."""
    first, second = (jnp.clip(a, -limit, limit) for a, limit in zip(angles, LIMITS, strict=True))
    return first, second


def off_walls(arm: Arm, turn: Pair) -> Pair:
    """The turn [2 joints] of a step that keeps the deepest corner out of the walls, given the arm after `turn`.

    The motors are equally strong: the one on which the wall's force has the longer lever is overcome, and it alone. The
    force includes friction, against the sliding that follows. If neither can be overcome so, the arm is jammed.
    """
    one, other = arm.corners()
    corner = one.unless(jnp.abs(other.x) > jnp.abs(one.x), other)
    low = one.unless(other.y < one.y, other)
    side, end = jnp.abs(corner.x) - CLEAR, -low.y - CLEAR
    depth, below = jnp.maximum(jnp.maximum(side, end), 0.0), end > side
    corner = corner.unless(below, low)
    towards = Vector(jnp.where(below, 0.0, jnp.sign(corner.x)), jnp.where(below, -1.0, 0.0))
    ever = jnp.ones((), bool)
    into, along = arm.levers(corner, towards, ever), arm.levers(corner, towards.turned(), ever)
    longer = jnp.abs(into[1]) > jnp.abs(into[0])
    found = jnp.zeros_like(turn[0]), jnp.zeros_like(turn[1])
    for second in (~longer, longer):  # the second overrides the first
        lever = jnp.where(second, into[1], into[0])
        back = depth * lever / jnp.maximum(jnp.square(lever), 1e-4)
        tried = turn[0] - jnp.where(second, 0.0, back), turn[1] - jnp.where(second, back, 0.0)
        grip = GRIP_WALL * jnp.sign(tried[0] * along[0] + tried[1] * along[1])
        force = [jnp.abs(press + grip * slide) for press, slide in zip(into, along, strict=True)]
        yields = jnp.where(second, force[1] >= force[0], force[0] >= force[1]) & (jnp.abs(back) < 2 * DT)
        found = jnp.where(yields, tried[0], found[0]), jnp.where(yields, tried[1], found[1])
    free = depth <= 0
    return jnp.where(free, turn[0], found[0]), jnp.where(free, turn[1], found[1])


def impact(
    arm: Arm, touch: Touch, touching: Array, turn: Pair, velocity: Vector, ball: Vector
) -> tuple[Vector, Vector, Pair, Array]:
    """(velocity, ball, gain of each joint's speed, share of the step for which it lasts) after a sudden impact.

    Box2D solves an impact in the middle of a step without the joints: the link recoils as if it were free.
    """
    approach = -(velocity - arm.drift(touch, turn)).dot(touch.normal)
    hit = ~touching & (touch.depth > SUDDEN) & (approach > 0)
    middle = arm.middle(0).unless(touch.second, arm.middle(1))
    lever = (touch.point - middle).turned().dot(touch.normal)
    light = jnp.where(touch.second, LIGHTNESS[1], LIGHTNESS[0])
    strength = 1 + light * (1 + jnp.square(lever) / INERTIA)
    impulse = jnp.where(hit, approach * jnp.where(approach > SLOWEST, 1 + BOUNCE, 1.0) / strength, 0.0)
    rest = jnp.clip((touch.depth - SUDDEN) / jnp.maximum(approach * DT, 1e-6), 0.0, 1.0)
    kick = -impulse * light * lever / INERTIA
    kicks = jnp.where(touch.second, 0.0, kick), jnp.where(touch.second, kick, -kick)
    return velocity + touch.normal * impulse, ball + touch.normal * (impulse * rest * DT), kicks, rest


def wedged(ball: Vector, arm: Arm, touch: Touch, touching: Array, turn: Pair) -> tuple[Array, Pair, Vector, Array]:
    """(held, turn of each joint, velocity of the ball, its spin), where the arm presses the ball against a wall.

    Friction holds the ball if the angle between link and wall is small: both forces act along the chord between the
    two points of contact. The arm does not shorten the chord; the ball rolls on the wall. In a corner it cannot roll.
    """
    pressed = touching & (touch.depth > 0)
    right, up = jnp.sign(ball.x), jnp.sign(ball.y)
    beyond = ball + touch.normal * (touch.depth - SLOP)
    at_side = pressed & (jnp.abs(beyond.x) > ROOM - SLOP) & (touch.normal.x * right > 0)
    at_end = pressed & (jnp.abs(beyond.y) > ROOM - SLOP) & (touch.normal.y * up > 0)
    corner = at_side & at_end
    side, end = at_side & (touch.normal.x * right > WEDGE), at_end & (touch.normal.y * up > WEDGE)
    wall = Vector(jnp.where(side, right, 0.0), jnp.where(side, 0.0, up))
    chord = touch.point - (ball + wall * BALL)
    length = jnp.sqrt(jnp.maximum(chord.dot(chord), 1e-6))
    chord = (chord * (1 / length)).unless(corner, touch.normal * -1.0)
    closing = -arm.drift(touch, turn).dot(chord)
    held = (side | end | corner) & (closing > 0)
    levers = arm.levers(touch.point, chord, touch.second)
    first = jnp.abs(levers[0]) > jnp.abs(levers[1])
    lever = jnp.where(first, levers[0], levers[1])
    back = jnp.where(held, closing * DT * lever / jnp.maximum(jnp.square(lever), 1e-4), 0.0)
    turn = turn[0] + jnp.where(first, back, 0.0), turn[1] + jnp.where(first, 0.0, back)
    spin = jnp.where(corner, 0.0, arm.drift(touch, turn).dot(chord.turned()) / length)
    return held, turn, wall.turned() * (-BALL * spin), spin


def contacts(ball: Vector, touch: Touch, touching: Array, drift: Vector) -> Array:
    """The contacts [6, 3] of the ball: with a link, and with the nearer wall on each axis.

    Rows: x and y of the normal, depth, x and y of the velocity of the obstacle's surface, and the friction.
    """
    zero = jnp.zeros_like(ball.x)
    rows = (
        (touch.normal.x, -jnp.sign(ball.x), zero),
        (touch.normal.y, zero, -jnp.sign(ball.y)),
        (jnp.where(touching, touch.depth, -1.0), jnp.abs(ball.x) - ROOM, jnp.abs(ball.y) - ROOM),
        (drift.x, zero, zero),
        (drift.y, zero, zero),
        (zero + GRIP_LINK, zero + GRIP_WALL, zero + GRIP_WALL),
    )
    return jnp.stack([jnp.stack(row) for row in rows])


def collide(contacts: Array, velocity: Vector, spin: Array) -> tuple[Vector, Array]:
    """(velocity, spin) of the ball after the impulses of its contacts.

    Rounds over the contacts, friction before pressure, with their sums kept within bounds (sequential impulses). The
    disc has a third of its mass against an impulse along its rim, and such an impulse j adds 2 j / radius to its spin.
    """
    nx, ny, depth, ux, uy, grip = contacts
    impact = (velocity.x - ux) * nx + (velocity.y - uy) * ny
    bounce = jnp.where(impact < -SLOWEST, -BOUNCE * impact, 0.0)
    rows = jnp.stack([nx, ny, ux, uy, grip, bounce, (depth > 0).astype(jnp.float32)], -1)

    def solve(i: Array, carry: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
        vx, vy, spin, pressures, frictions = carry
        at = i % len(rows)
        nx, ny, ux, uy, grip, bounce, touching = rows[at]
        pressure, friction = pressures[at], frictions[at]
        bound = grip * pressure
        rub = jnp.clip(friction - ((vx - ux) * ny - (vy - uy) * nx + BALL * spin) / 3, -bound, bound)
        vx, vy = vx + (rub - friction) * ny, vy - (rub - friction) * nx
        press = touching * jnp.maximum(pressure + bounce - (vx - ux) * nx - (vy - uy) * ny, 0.0)
        vx, vy = vx + (press - pressure) * nx, vy + (press - pressure) * ny
        return vx, vy, spin + (rub - friction) * (2 / BALL), pressures.at[at].set(press), frictions.at[at].set(rub)

    none = jnp.zeros(len(rows))
    vx, vy, spin, *_ = jax.lax.fori_loop(0, ROUNDS * len(rows), solve, (velocity.x, velocity.y, spin, none, none))
    return Vector(vx, vy), spin


def apart(ball: Vector, arm: Arm, held: Array) -> Vector:
    """The ball moved out of the links, unless it is held, as far as the walls let it."""

    def out(_: Array, ball: Pair) -> Pair:
        touch = arm.touch(Vector(*ball))
        away = touch.normal * jnp.where(held, 0.0, jnp.maximum(touch.depth - SUDDEN, 0.0))
        return jnp.clip(ball[0] + away.x, -ROOM, ROOM), jnp.clip(ball[1] + away.y, -ROOM, ROOM)

    return Vector(*jax.lax.fori_loop(0, ROUNDS, out, (ball.x, ball.y)))
