"""A convolutional autoencoder of square pictures, the one of STAX, whose convolutions are matrix products.

    encoder   four convolutions (kernel 4, stride 2, padding 1), each halves the picture; a dense layer to the features
    decoder   the same in reverse, with transposed convolutions

SELU follows every layer, the features too, but the last one: there it is ReLU (official), or nothing. Source:
GPaolo/STAX, core/auto_encoders/ae.py, `ConvAE`; weights start as in PyTorch, uniform within 1 / sqrt(fan in).

On a CPU XLA's convolutions are slow, and slower by far inside a loop. With kernel 4 and stride 2 they are products:
after 2 x 2 space-to-depth the kernel is 2 x 2 with stride 1, which is four shifted slices side by side times a matrix;
the transposed one is a product whose four parts are shifted and added.

Shapes: n pixels along a side, C channels, F features; `...` any leading axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Array, Key

KERNEL = 4
"""Width of the kernels; their stride is half of it."""
SHRINK = 16
"""How many times the four convolutions shrink a picture along a side."""
OFFSETS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of the parts of a 2 x 2 square."""

Params = dict[str, tuple[Array, Array]]
"""Layer -> (weight, bias); the weight of a convolution is [4, 4, in, out]."""


@dataclass(frozen=True)
class Autoencoder:
    """The network; its parameters are a pytree of their own."""

    size: int
    """Pixels along a side of the pictures (n), a multiple of 16."""
    channels: int = 3
    """Channels of the pictures (C)."""
    features: int = 10
    """Number of features (F)."""
    width: int = 32
    """Channels after the first convolution; the others have 2, 1 and 1/2 times as many."""
    positive: bool = True
    """Whether a ReLU follows the last layer."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the picture and after each of the four convolutions."""
        return self.channels, self.width, 2 * self.width, self.width, self.width // 2

    @property
    def corner(self) -> tuple[int, int, int]:
        """Shape of what the last convolution gives."""
        return self.size // SHRINK, self.size // SHRINK, self.widths[-1]

    def init(self, key: Key) -> Params:
        """New parameters."""
        flat, widths, area = math.prod(self.corner), self.widths, KERNEL * KERNEL
        shapes: dict[str, tuple[int, ...]] = {"to_features": (flat, self.features), "to_corner": (self.features, flat)}
        for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
            shapes |= {f"down_{i}": (KERNEL, KERNEL, before, after), f"up_{i}": (KERNEL, KERNEL, after, before)}
        # one draw for all, which compiles twenty times as fast as a draw for each weight and bias
        drawn = jax.random.uniform(key, (sum(math.prod(x) + x[-1] for x in shapes.values()),), minval=-1.0)
        params, start = {}, 0
        for name, shape in shapes.items():
            # PyTorch takes the channels that come out for the fan in of a transposed convolution
            bound = (shape[0] if len(shape) == 2 else area * shape[3 if name.startswith("up") else 2]) ** -0.5
            end = start + math.prod(shape)
            params[name] = bound * drawn[start:end].reshape(shape), bound * drawn[end : end + shape[-1]]
            start = end + shape[-1]
        return params

    def encode(self, params: Params, pictures: Array) -> Array:
        """Features [..., F] of pictures [..., n, n, C]."""
        x = pictures
        for i in range(len(self.widths) - 1):
            x = jax.nn.selu(down(x, *params[f"down_{i}"]))
        return jax.nn.selu(dense(x.reshape(*x.shape[:-3], -1), *params["to_features"]))

    def decode(self, params: Params, features: Array) -> Array:
        """Pictures [..., n, n, C] of features [..., F]."""
        x = jax.nn.selu(dense(features, *params["to_corner"]))
        x = x.reshape(*x.shape[:-1], *self.corner)
        for i in reversed(range(1, len(self.widths) - 1)):
            x = jax.nn.selu(up(x, *params[f"up_{i}"]))
        x = up(x, *params["up_0"])
        return jax.nn.relu(x) if self.positive else x

    def errors(self, params: Params, pictures: Array) -> tuple[Array, Array]:
        """(features [..., F], mean squared error of the reconstruction [...]) of pictures [..., n, n, C]."""
        features = self.encode(params, pictures)
        return features, jnp.mean(jnp.square(self.decode(params, features) - pictures), axis=(-3, -2, -1))


def dense(x: Array, weight: Array, bias: Array) -> Array:
    """A dense layer, [..., in] -> [..., out]."""
    return x @ weight + bias


def down(x: Array, weight: Array, bias: Array) -> Array:
    """A convolution of kernel 4, stride 2 and padding 1, [..., n, n, in] -> [..., n / 2, n / 2, out]."""
    *lead, n, _, c = x.shape
    half = n // 2
    x = jnp.pad(x, [(0, 0)] * len(lead) + [(1, 1), (1, 1), (0, 0)])
    x = x.reshape(*lead, half + 1, 2, half + 1, 2, c)
    x = jnp.moveaxis(x, -4, -3).reshape(*lead, half + 1, half + 1, 4 * c)
    parts = [x[..., a : a + half, b : b + half, :] for a, b in OFFSETS]
    return jnp.concatenate(parts, -1) @ in_squares(weight).reshape(16 * c, -1) + bias


def up(x: Array, weight: Array, bias: Array) -> Array:
    """A transposed convolution of kernel 4, stride 2 and padding 1, [..., n, n, in] -> [..., 2 n, 2 n, out]."""
    *lead, n, _, c = x.shape
    out = weight.shape[-1]
    # [in, 4 x 4 out]: for each square of the kernel, the 2 x 2 pixels in it
    parts = x @ jnp.moveaxis(in_squares(weight), 2, 0).reshape(c, 16 * out)
    total = jnp.zeros(())
    for part, (a, b) in zip(jnp.split(parts, 4, axis=-1), OFFSETS, strict=True):
        total += jnp.pad(part, [(0, 0)] * len(lead) + [(a, 1 - a), (b, 1 - b), (0, 0)])
    total = jnp.moveaxis(total.reshape(*lead, n + 1, n + 1, 2, 2, out), -3, -4)
    return total.reshape(*lead, 2 * n + 2, 2 * n + 2, out)[..., 1:-1, 1:-1, :] + bias


def in_squares(weight: Array) -> Array:
    """A kernel [4, 4, in, out] by its 2 x 2 squares and their pixels, both in `OFFSETS`'s order: [4, 4, in, out]."""
    c, out = weight.shape[2:]
    return weight.reshape(2, 2, 2, 2, c, out).swapaxes(1, 2).reshape(4, 4, c, out)
