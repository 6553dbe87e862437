"""Vectors in the plane."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from prospect_rl.envs.api import Array


@dataclass(frozen=True)
class Vector:
    """A vector in the plane; XLA fuses its scalars into one loop over a batch, unlike arrays of length two."""

    x: Array
    y: Array

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.x + other.x, self.y + other.y)

    def __sub__(self, other: Vector) -> Vector:
        return Vector(self.x - other.x, self.y - other.y)

    def __mul__(self, factor: Array | float) -> Vector:
        return Vector(self.x * factor, self.y * factor)

    def dot(self, other: Vector) -> Array:
        """The inner product."""
        return self.x * other.x + self.y * other.y

    def turned(self) -> Vector:
        """This vector turned to the left by a right angle."""
        return Vector(-self.y, self.x)

    def unless(self, condition: Array, other: Vector) -> Vector:
        """This vector; the other one where the condition holds."""
        return Vector(jnp.where(condition, other.x, self.x), jnp.where(condition, other.y, self.y))

    def array(self) -> Array:
        """The coordinates as an array [2]."""
        return jnp.stack([self.x, self.y])
