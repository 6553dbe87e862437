"""The original of `arm/curling`: its table, ball and arm in Box2D, one episode at a time. Needs the extra `rivals`.

Made from the facts of GPaolo/SERENE, environments/assets/gym_billiard: bodies, joints and settings are the same.
Lengths in metres from the table's lower left corner; observations from its centre.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

SIDE, CENTRE = 3.0, 1.5
"""Width of the table, and both coordinates of its centre."""
STEPS, SIZES = 500, (6, 5, 5, 5, 2)
"""Length of an episode, and layer sizes of the policies."""


class Original:
    """One episode of the original."""

    def __init__(self) -> None:
        b2: Any = import_module("Box2D")
        self.world = b2.b2World(gravity=(0, 0), doSleep=True)
        upright, flat = b2.b2PolygonShape(box=(0.05, SIDE / 2)), b2.b2PolygonShape(box=(SIDE / 2, 0.05))
        for place, shape in (((0, CENTRE), upright), ((CENTRE, SIDE), flat), ((SIDE, CENTRE), upright)):
            self.world.CreateStaticBody(position=place, shapes=shape)
        bottom = self.world.CreateStaticBody(position=(CENTRE, 0), shapes=flat)
        disc = b2.b2FixtureDef(shape=b2.b2CircleShape(radius=0.15), density=1, friction=0.9, restitution=0.9)
        self.ball = self.world.CreateDynamicBody(
            position=(CENTRE - 0.5, CENTRE + 0.2), bullet=True, allowSleep=False, linearDamping=1.1, angularDamping=2,
            fixtures=disc,
        )  # fmt: skip
        links = [
            self.world.CreateDynamicBody(
                position=(CENTRE, y), bullet=True, allowSleep=False, fixtures=b2.b2FixtureDef(
                    shape=b2.b2PolygonShape(box=(0.05, 0.5)), density=density, friction=0.9, restitution=0,
                ),
            )
            for y, density in ((0.5, 5), (1.4, 1))
        ]  # fmt: skip
        self.joints = [
            self.world.CreateRevoluteJoint(
                bodyA=one, bodyB=other, anchor=anchor, lowerAngle=-limit * math.pi, upperAngle=limit * math.pi,
                enableLimit=True, maxMotorTorque=100.0, motorSpeed=0.0, enableMotor=True,
            )
            for one, other, anchor, limit in (
                (bottom, links[0], (CENTRE, 0), 0.4), (links[0], links[1], (CENTRE, 1.0), 0.9),
            )
        ]  # fmt: skip

    def observation(self) -> np.ndarray:
        """The observation [6], as that of `arm/curling`."""
        x, y = self.ball.position
        first, second = self.joints
        return np.array([x - CENTRE, y - CENTRE, first.angle, second.angle, first.speed, second.speed])

    def step(self, action: np.ndarray) -> None:
        """Move the arm for 1/60 of a second."""
        for joint, speed in zip(self.joints, np.clip(action, -1, 1), strict=True):
            joint.motorSpeed = float(speed)
        self.world.Step(1 / 60, 100, 100)
        self.world.ClearForces()


def layers(genome: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The layers (weight [in, out], bias []) of a genome, as `agents.nn.mlp.unpack` has them."""
    found, at = [], 0
    for a, b in zip(SIZES[:-1], SIZES[1:], strict=True):
        found.append((genome[at : at + a * b].reshape(a, b).astype(float), genome[at + a * b].astype(float)))
        at += a * b + 1
    return found


def end(genome: np.ndarray) -> np.ndarray:
    """The final position [2] of the ball after an episode of the policy with this genome [94]."""
    game, network = Original(), layers(genome)
    for _ in range(STEPS):
        x = game.observation()
        for weight, bias in network:
            x = np.tanh((x @ weight + bias) / 2)
        game.step(x)
    return game.observation()[:2]
