"""Spaces of observations and actions: boxes of numbers, discrete choices, and dicts of these.

`[...]` in a docstring is a shape; `[*shape]` is that of a space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Key = jax.Array
Tree = Any
"""A pytree of arrays."""


@dataclass(frozen=True)
class Box:
    """Arrays of numbers. `low` and `high` are one number for all components, or one for each."""

    shape: tuple[int, ...]
    low: float | tuple[float, ...] = -math.inf
    high: float | tuple[float, ...] = math.inf
    dtype: str = "float32"
    outside: str = ""
    """The dtype in gymnasium if it differs (`float64`, `int64`): trained players take and return this dtype."""

    @property
    def size(self) -> int:
        """Total number of components."""
        return math.prod(self.shape)

    def bounds(self, dtype: str = "") -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high), each [*shape], in `dtype` (default: the space's own).

        Bounds that an integer dtype cannot represent become that dtype's limits.
        """
        kind = np.dtype(dtype or self.dtype)
        low, high = (np.broadcast_to(np.asarray(x, np.float64), self.shape) for x in (self.low, self.high))
        if not np.issubdtype(kind, np.integer):
            with np.errstate(over="ignore"):  # a bound that the dtype cannot represent becomes infinite
                return low.astype(kind), high.astype(kind)
        least, most = np.iinfo(kind).min, np.iinfo(kind).max
        top = float(most) if kind.itemsize < 8 else np.nextafter(float(most), 0)  # largest double within the dtype
        low, high = (np.where(x > top, kind.type(most), np.clip(x, least, top).astype(kind)) for x in (low, high))
        return low, high

    @property
    def bounded(self) -> bool:
        """Whether all components have two finite bounds."""
        return bool(np.all(np.isfinite(self.low)) and np.all(np.isfinite(self.high)))

    def middle(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (centre, half width) of the bounds, each float32 [*shape]; 0 and 1 if the box is not `bounded`."""
        if not self.bounded:
            return np.zeros(self.shape, np.float32), np.ones(self.shape, np.float32)
        low, high = self.bounds("float32")
        return (low + high) / 2, (high - low) / 2

    def scale(self, x: Array) -> Array:
        """Map numbers [..., *shape] linearly from [-1, 1] to the bounds and clip them.

        If the box is not `bounded`, the numbers are returned unchanged.
        """
        if not self.bounded:
            return x
        centre, half = self.middle()
        return jnp.clip(centre + half * x, *self.bounds("float32"))  # rounding may exceed a bound too

    def unscale(self, x: Any) -> Any:
        """Invert `scale`, for NumPy or JAX arrays: numbers within the bounds are mapped to [-1, 1]."""
        if not self.bounded:
            return x
        centre, half = self.middle()
        return (x - centre) / half

    def clipped(self, x: Any, dtype: str = "") -> np.ndarray:
        """Return `x` [..., *shape] in `dtype` (default: the space's own), clipped to the bounds in that dtype."""
        low, high = self.bounds(dtype)
        # clipped twice, because rounding to the dtype may exceed a bound
        return np.asarray(np.clip(np.clip(x, low, high).astype(low.dtype), low, high))

    def sample(self, key: Key) -> Array:
        """Draw a sample [*shape].

        A component with two bounds is uniform between them; with one bound, half-normal from it; without bounds,
        standard normal. Bounds beyond half the range of float32 count as none.
        """
        low, high = self.bounds()
        if np.issubdtype(low.dtype, np.integer):
            return integers(key, low, high)
        wide = np.finfo(np.float32).max / 2
        below, above = low > -wide, high < wide
        if np.all(below & above):
            return jax.random.uniform(key, self.shape, self.dtype, low, high)
        free = jax.random.normal(key, self.shape, self.dtype)
        least, most = (np.where(ends, bound, 0).astype(self.dtype) for ends, bound in ((below, low), (above, high)))
        half = jnp.where(below, least + jnp.abs(free), jnp.where(above, most - jnp.abs(free), free))
        return jnp.where(below & above, jax.random.uniform(key, self.shape, self.dtype, least, most), half)

    def contains(self, x: Any) -> bool:
        """Return whether `x` has this shape and dtype, contains no NaN and lies within the bounds in that dtype."""
        x, (low, high) = np.asarray(x), self.bounds()
        return x.shape == self.shape and x.dtype == self.dtype and bool(np.all((x >= low) & (x <= high)))


def integers(key: Key, low: np.ndarray, high: np.ndarray) -> Array:
    """Draw uniform integers from `low` to `high`, both included, in their dtype.

    If the range is all of int32, the smallest integer is never drawn.
    """
    dtype, (least, most) = low.dtype, (-(2**31), 2**31 - 1)
    shift = least if dtype == np.uint32 else 0
    first, last = (np.clip(x.astype(np.int64) + shift, least, most) for x in (low, high))
    full = last == most  # the exclusive end of the range is not an int32: draw one less and add 1
    first = np.where(full, np.maximum(first, least + 1) - 1, first)
    drawn = jax.random.randint(key, low.shape, first.astype(np.int32), np.where(full, last, last + 1).astype(np.int32))
    return (drawn + full).astype(dtype) - np.asarray(shift).astype(dtype)


@dataclass(frozen=True)
class Discrete:
    """One of n choices: an int32 from 0 to n - 1 within programs."""

    n: int
    start: int = 0
    """Number of the first choice in gymnasium: trained players take and return numbers from `start` on."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a choice, which is always ()."""
        return ()

    def sample(self, key: Key) -> Array:
        """Draw a uniform sample []."""
        return jax.random.randint(key, (), 0, self.n, jnp.int32)

    def contains(self, x: Any) -> bool:
        """Return whether `x` is an integer scalar from 0 to n - 1."""
        x = np.asarray(x)
        return x.shape == () and np.issubdtype(x.dtype, np.integer) and 0 <= int(x) < self.n


@dataclass(frozen=True)
class Dict:
    """Named spaces; a sample is a dict. Stored as pairs so that a spec is hashable."""

    items: tuple[tuple[str, Space], ...]

    def sample(self, key: Key) -> dict[str, Tree]:
        """Draw one sample of each named space."""
        keys = jax.random.split(key, len(self.items))
        return {name: space.sample(k) for k, (name, space) in zip(keys, self.items, strict=True)}

    def contains(self, x: Any) -> bool:
        """Return whether `x` is a dict with exactly these names and each value is in its space."""
        return (
            isinstance(x, dict)
            and set(x) == {name for name, _ in self.items}
            and all(space.contains(x[name]) for name, space in self.items)
        )


Space = Box | Discrete | Dict
