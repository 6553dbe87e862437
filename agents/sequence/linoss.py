"""D-LinOSS, a baseline with linear recurrence: layers of damped oscillators.

    x'' = - a x - g x' + B u,  in steps of h, with the damping taken at the new velocity:
    z_k = (z_{k-1} - h a x_{k-1} + h B u_k) / S,   x_k = x_{k-1} + h z_k,   S = 1 + h g
    y_k = C x_k + d u_k;  a block: u + GLU(GELU(y of norm(u)))

Every oscillator is a 2 x 2 matrix with determinant 1 / S; `a` is clipped to the range where its eigenvalues are a
complex
pair, whose modulus is then 1 / sqrt(S) <= 1. A segment is an associative scan, a step the recurrence itself.

Source: Boyer, Rusch and Rus 2025, arXiv 2505.12171. Here the oscillators start with moduli drawn from [0.9, 1] and
angles from [0, pi], and inputs and outputs are real.
Shapes: L steps, P oscillators, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key, hyper
from prospect_rl.agents.nn.trunk import Trunk
from prospect_rl.agents.sequence.attention import Dense, norm
from prospect_rl.agents.sequence.imitation import SequenceBC

Affine = tuple[Array, Array]
"""An affine step x -> A x + f: matrices [..., 2, 2, P], forces [..., 2, P]."""


class Oscillators(nn.Module):
    """P damped oscillators with input u [D] and output y [D]."""

    size: int
    """Number of oscillators (P)."""
    width: int
    """Number of input and output features (D)."""

    def setup(self) -> None:
        """Make the parameters and layers."""
        self.step_raw = self.param("step", nn.initializers.zeros, (self.size,))
        self.damping_raw = self.param("damping", init_damping, (self.size,))
        self.stiffness_raw = self.param("stiffness", init_stiffness, (self.size,))
        self.drive, self.read = Dense(self.size, use_bias=False), Dense(self.width, use_bias=False)
        self.skip = self.param("skip", nn.initializers.normal(1.0), (self.width,))

    def matrix(self) -> tuple[Array, Array, Array]:
        """(h, the transition matrix [2, 2, P] of (z, x), S)."""
        h, damping = jax.nn.sigmoid(self.step_raw), jax.nn.relu(self.damping_raw)
        scale = 1 + h * damping
        middle, half = (1 + scale) / h**2, 2 * jnp.sqrt(scale) / h**2
        stiffness = jnp.clip(self.stiffness_raw, middle - half, middle + half)
        top = jnp.stack([1 / scale, -h * stiffness / scale])
        return h, jnp.stack([top, jnp.stack([h / scale, 1 - h**2 * stiffness / scale])]), scale

    def forced(self, u: Array) -> tuple[Array, Array]:
        """(transition matrix [2, 2, P], force [..., 2, P]) for inputs [..., D]."""
        h, matrix, scale = self.matrix()
        push = h / scale * self.drive(u)
        return matrix, jnp.stack([push, h * push], axis=-2)

    def scan(self, state: Array, u: Array) -> tuple[Array, Array]:
        """(outputs [L, D], the state [2, P] after them) from a state and inputs [L, D]."""
        matrix, force = self.forced(u)
        force = force.at[0].add(matvec(matrix, state))
        matrices = jnp.broadcast_to(matrix, (len(u), *matrix.shape))
        _, states = jax.lax.associative_scan(combine, (matrices, force))
        return self.out(states[:, 1], u), states[-1]

    def step(self, state: Array, u: Array) -> tuple[Array, Array]:
        """(output [D], state [2, P]) for one input [D]."""
        matrix, force = self.forced(u)
        state = matvec(matrix, state) + force
        return self.out(state[1], u), state

    def out(self, place: Array, u: Array) -> Array:
        """The output y [..., D] for positions [..., P] and inputs [..., D]."""
        return self.read(place) + self.skip * u


def matvec(matrix: Array, state: Array) -> Array:
    """The product [..., 2, P] of matrices [..., 2, 2, P] and states [..., 2, P]."""
    return jnp.sum(matrix * state[..., None, :, :], axis=-2)


def combine(early: Affine, late: Affine) -> Affine:
    """The composition of two affine steps x -> A x + f."""
    (a, f), (b, g) = early, late
    product = jnp.sum(b[..., :, :, None, :] * a[..., None, :, :, :], axis=-3)
    return product, matvec(b, f) + g


def init_damping(key: Key, shape: tuple[int, ...]) -> Array:
    """Initial dampings, for h = 1/2: 1 / sqrt(1 + h g) is uniform in [0.9, 1]."""
    return 2 * (1 / jax.random.uniform(key, shape, minval=0.9, maxval=1.0) ** 2 - 1)


def init_stiffness(key: Key, shape: tuple[int, ...]) -> Array:
    """Initial stiffnesses, for h = 1/2 and little damping: angles are uniform in [0, pi]."""
    return 8 * (1 - jnp.cos(jax.random.uniform(key, shape, maxval=jnp.pi)))


class LinOSS(Trunk):
    """A trunk of oscillator blocks."""

    layers: int = 2
    """Number of blocks of oscillators (N)."""
    size: int = 64
    """Number of oscillators in each block (P)."""

    def setup(self) -> None:
        """Make the layers of all blocks."""
        self.cores = [Oscillators(self.size, self.width) for _ in range(self.layers)]
        self.norms = [norm("layer") for _ in range(self.layers)]
        self.gates = [Dense(2 * self.width) for _ in range(self.layers)]

    def start(self, key: Key) -> Array:
        """All oscillators at rest [N, 2, P]."""
        return jnp.zeros((self.layers, 2, self.size))

    def open(self, key: Key) -> Array:
        """All oscillators at rest [N, 2, P]."""
        return self.start(key)

    def run_blocks(self, carry: Array, x: Array, method: str) -> tuple[Array, Array]:
        """All blocks in order, by `scan` or `step`."""
        after = []
        for core, before, gate, state in zip(self.cores, self.norms, self.gates, carry, strict=True):
            y, state = getattr(core, method)(state, before(x))
            x = x + nn.glu(gate(nn.gelu(y)))
            after.append(state)
        return x, jnp.stack(after)

    def segment(self, carry: Array, tokens: Array, length: Array | int | None = None) -> tuple[Array, Array]:
        """All steps of a segment by a parallel scan."""
        return self.run_blocks(carry, tokens[:, 0], "scan")

    def step(self, memory: Array, token: Array) -> tuple[Array, Array]:
        """One step of all blocks."""
        return self.run_blocks(memory, token[0], "step")


@dataclass(frozen=True, kw_only=True)
class BCLinOSS(SequenceBC):
    """Behaviour cloning with damped linear oscillators (D-LinOSS)."""

    layers: int = hyper(2, least=1)
    """Number of blocks of oscillators (N)."""
    size: int = hyper(64, least=1)
    """Number of oscillators in each block (P)."""

    @property
    def trunk(self) -> LinOSS:
        """The blocks of oscillators."""
        return LinOSS(self.width, self.context, layers=self.layers, size=self.size)
