"""The evolved policy of SERENE: a small tanh network with one scalar bias per layer, stored as a flat genome.

Source: official code GPaolo/SERENE, core/controllers/neural_controller.py (activation 2 sigmoid(z) - 1 = tanh(z / 2) on
every layer, including the output).
Shapes: G genes.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp

from prospect_rl.envs.api import Array

NARROW = 32
"""Widest input that is multiplied row by row: XLA fuses these sums into a rollout's step, where a matrix product is a
separate call (5-5-5-2 policies step up to twice as fast)."""


def genes(sizes: Sequence[int]) -> int:
    """Number of genes (G) of a network with these layer sizes, input and output included."""
    return sum(a * b + 1 for a, b in zip(sizes[:-1], sizes[1:], strict=True))


def unpack(genome: Array, sizes: Sequence[int]) -> list[tuple[Array, Array]]:
    """The layers (weight [in, out], bias []) of a genome [G] = W1 row by row, b1, W2, b2, ..."""
    layers, at = [], 0
    for a, b in zip(sizes[:-1], sizes[1:], strict=True):
        layers.append((genome[at : at + a * b].reshape(a, b), genome[at + a * b]))
        at += a * b + 1
    return layers


def forward(layers: list[tuple[Array, Array]], x: Array) -> Array:
    """The output, in (-1, 1), for one input [in]."""
    for weight, bias in layers:
        x = jnp.tanh((_times(x, weight) + bias) * 0.5)
    return x


def _times(x: Array, weight: Array) -> Array:
    """The product [out] of x [in] and weight [in, out]."""
    if len(x) > NARROW:
        return x @ weight
    total = x[0] * weight[0]
    for i in range(1, len(x)):
        total = total + x[i] * weight[i]
    return total
