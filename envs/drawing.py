"""How a program draws states of an environment, for agents that learn from pictures.

A drawing is a pure function of one state: a canvas, which never moves, and marks on it. The picture of another size is
the canvas with its marks, sampled bilinearly with two taps along each axis (skimage's `resize` of order 1 without
anti-aliasing, as in GPaolo/STAX), and computed at these taps alone. `Env.frame` draws for people.

    Spec(..., draw=Drawing(canvas, marks, reset))
    spec.draw.picture(state, 64)             float32 [64, 64, 3], from 0 to 1
    spec.draw.picture(state, 32, 1)          [32, 32, 1], grey

Shapes: n pixels along a side of the picture, H rows and W columns of the canvas, C channels (3, or 1 for grey).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.spaces import Array, Key, Tree

Colour = tuple[int, int, int]
"""Red, green and blue, each from 0 to 255."""
Marks = Callable[[Tree, Array, Array], Sequence[tuple[Array, Colour]]]
"""(state, x, y) -> (mask, colour) of everything that moves, the topmost last. x [1, n] and y [n, 1] are positions in
pixels of the canvas, y downwards; a mask is bool [n, n]."""
RED, BLUE = (255, 0, 0), (0, 0, 255)
GREY = np.array([0.2125, 0.7154, 0.0721], np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.709, as in skimage)."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """How the states of an environment are drawn."""

    canvas: np.ndarray
    """uint8 [H, W, 3], everything that never moves."""
    marks: Marks
    """What moves, as masks with colours."""
    reset: Callable[[Key], tuple[Tree, Tree]]
    """The environment's `reset`, from which the shapes of a state are known."""

    @cached_property
    def state(self) -> Tree:
        """Shapes and types of a state of ONE episode: what an agent must make room for."""
        return jax.eval_shape(self.reset, jax.random.key(0))[0]

    def blank(self, *lead: int) -> Tree:
        """States of zeros with leading axes."""
        return jax.tree.map(lambda x: jnp.zeros((*lead, *x.shape), x.dtype), self.state)

    def still(self, size: int, channels: int = 3) -> np.ndarray:
        """The picture without what moves, float32 [size, size, C]."""
        canvas = shades(self.canvas, channels)
        rows, columns = taps(self.canvas.shape[0], size), taps(self.canvas.shape[1], size)
        parts = [wy[:, None, None] * wx[:, None] * canvas[y][:, x] for y, wy in rows for x, wx in columns]
        return np.sum(parts, axis=0)

    def picture(self, state: Tree, size: int, channels: int = 3) -> Array:
        """Draw ONE state, float32 [size, size, C] from 0 to 1."""
        canvas, still = shades(self.canvas, channels), self.still(size, channels)
        layers = [jnp.asarray(still[..., c]) for c in range(channels)]
        for rows, wy in taps(self.canvas.shape[0], size):
            for columns, wx in taps(self.canvas.shape[1], size):
                under, seen = canvas[rows][:, columns], jnp.ones((size, size), bool)
                x, y = (jnp.asarray(at, jnp.float32) for at in (columns[None], rows[:, None]))
                for mask, colour in reversed(self.marks(state, x, y)):
                    change = (wy[:, None] * wx)[..., None] * (shades(np.array(colour), channels) - under)
                    shown = (mask & seen).astype(jnp.float32)
                    layers = [layer + shown * change[..., c] for c, layer in enumerate(layers)]
                    seen &= ~mask
        return jnp.stack(layers, -1)


def shades(colours: np.ndarray, channels: int) -> np.ndarray:
    """Colours [..., 3] from 0 to 255 as float32 [..., C] from 0 to 1; C is 3, or 1 for grey."""
    scaled = colours.astype(np.float32) / np.float32(255)
    return scaled if channels == 3 else (scaled @ GREY)[..., None]


def taps(pixels: int, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The two taps, (positions int [size], weights [size]), of bilinear sampling from `pixels` to `size` pixels."""
    centre = (np.arange(size) + 0.5) * pixels / size - 0.5
    low = np.floor(centre)
    share = (centre - low).astype(np.float32)
    first, second = (np.clip(at, 0, pixels - 1).astype(int) for at in (low, low + 1))
    return [(first, 1 - share), (second, share)]


def disc(x: Array | np.ndarray, y: Array | np.ndarray, at: Sequence[Array | float] | Array, radius: float) -> Array:
    """Mark the pixels nearer to `at` (x, y) than `radius`, bool [n, n]."""
    return jnp.square(x - at[0]) + jnp.square(y - at[1]) < radius**2


def plane(size: int, extent: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (x, y), each [size, size], of the pixels of a picture; extent: left, right, bottom, top."""
    left, right, bottom, top = extent
    centre = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(centre, centre[::-1])
    return (right - left) * x + left, (top - bottom) * y + bottom


def white(size: int) -> np.ndarray:
    """A white picture, uint8 [size, size, 3]."""
    return np.full((size, size, 3), 255, np.uint8)


def painted(
    canvas: np.ndarray, at: tuple[np.ndarray, np.ndarray], discs: Sequence[Sequence[float]], colour: Colour
) -> np.ndarray:
    """A copy of the canvas with filled discs (x, y, radius), where `at` are the coordinates (x, y) of the pixels."""
    canvas, (x, y) = canvas.copy(), at
    for cx, cy, radius in discs:
        canvas[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = colour
    return canvas
