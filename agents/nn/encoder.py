"""Encodes an observation of any space as a vector; written for one example, callers `vmap`.

    real numbers       unchanged, flattened
    Discrete           one-hot
    small integers     category codes (MiniGrid's object, colour, state): one-hot each
    images of codes    one-hot each, an embedding for each cell, then a dense layer over all cells and its activation
    other integers     divided by the largest magnitude within their bounds, flattened; unchanged where the bounds are
                       those of a 32-bit type, which say nothing about the scale
    Dict               its parts, concatenated

An embedding is a matrix product with one-hot codes, the same for all cells: with it PPO's loop on MiniGrid's images
takes three quarters of the time that a dense layer over all one-hot codes takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Array, Box, Dict, Discrete, Space, Tree

MAX_CODES = 32
"""Integers below this are treated as category codes, in images and in vectors no longer than this."""


CELL_EMBEDDING = 8
"""Size of the embedding of one cell in an image of codes; the same for all cells."""


def codes_of(space: Box) -> tuple[int, ...] | None:
    """Number of codes of each component of the last axis [C]; None where the components are not category codes."""
    if not np.issubdtype(np.dtype(space.dtype), np.integer) or not (
        len(space.shape) == 3 or 0 < space.size <= MAX_CODES
    ):
        return None
    low, high = (np.broadcast_to(np.asarray(x), space.shape) for x in (space.low, space.high))
    if np.any(low < 0) or not np.all(high < MAX_CODES):
        return None
    return tuple(int(x) + 1 for x in high.reshape(-1, space.shape[-1]).max(axis=0))


def scale_of(space: Box) -> float:
    """The divisor of numbers that are not category codes; 1 for real numbers."""
    most = float(max(np.max(np.abs(x).astype(np.float64)) for x in (np.asarray(space.low), np.asarray(space.high))))
    bounded = np.issubdtype(np.dtype(space.dtype), np.integer) and 0 < most < 2**31 - 1
    return most if bounded else 1.0


def one_hot_codes(x: Array, codes: tuple[int, ...]) -> Array:
    """[..., sum of codes] for x [..., C] whose component c is below codes[c]."""
    return jnp.concatenate([jax.nn.one_hot(x[..., c], n) for c, n in enumerate(codes)], axis=-1)


def blank(space: Space) -> Tree:
    """ONE observation that is all zeros."""
    if isinstance(space, Dict):
        return {name: blank(part) for name, part in space.items}
    return jnp.zeros(space.shape, jnp.int32 if isinstance(space, Discrete) else space.dtype)


class Encoder(nn.Module):
    """An encoder network: an observation of any space -> [F]."""

    space: Space
    """Space of the observations."""
    width: int = 128
    """Width of the dense layer after an image of codes."""
    activation: Callable[[Array], Array] = nn.relu
    """Activation function of that dense layer."""
    embed: bool = True
    """Whether an image of codes is embedded; its codes are features as they are otherwise, and nothing is learned."""

    @nn.compact
    def __call__(self, obs: Tree) -> Array:
        """The features [F] of ONE observation."""
        if isinstance(self.space, Dict):
            how = self.width, self.activation, self.embed
            parts = [Encoder(s, *how, name=name)(obs[name]) for name, s in self.space.items]
            return jnp.concatenate(parts)
        if isinstance(self.space, Discrete):
            return jax.nn.one_hot(obs, self.space.n)
        codes = codes_of(self.space)
        if codes is not None:
            cells = one_hot_codes(obs, codes)
            image = self.embed and len(self.space.shape) == 3
            if image:
                cells = nn.Dense(CELL_EMBEDDING, use_bias=False, kernel_init=nn.initializers.orthogonal())(cells)
            flat = cells.ravel()
            if not image:
                return flat
            return self.activation(nn.Dense(self.width, kernel_init=nn.initializers.orthogonal(math.sqrt(2)))(flat))
        scale = scale_of(self.space)
        return jnp.ravel(obs).astype(jnp.float32) / scale if scale != 1 else jnp.ravel(obs).astype(jnp.float32)
