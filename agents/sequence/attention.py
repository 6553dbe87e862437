"""Attention layers for one stream: plain and with relative positions; a norm and a feed-forward layer.

    Attention           softmax((W_q x) . (W_k y) / sqrt(d) + bias) W_v y, then W_o and a bias
    RelativeAttention   the score of rows i and j is ((q_i + u) . k_j + (q_i + v) . W_r s(i - j)) / sqrt(d)

Source: Dai et al. 2019 (Transformer-XL), arXiv 1901.02860, section 3.3. Dropout is active with a "dropout" key.
Shapes: Q query rows, K key rows, H heads, d = D / H.
"""

from __future__ import annotations

import functools
import math
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array

Dense = partial(nn.Dense, kernel_init=nn.initializers.xavier_uniform())
Norm = Literal["layer", "rms"]


def norm(kind: Norm) -> nn.Module:
    """A LayerNorm or RMSNorm with the small epsilon of the official code; it maps zeros to zeros."""
    if kind == "rms":
        return nn.RMSNorm(epsilon=1e-8)
    return nn.LayerNorm(epsilon=1e-8, use_fast_variance=False)


def apply_dropout(module: nn.Module, x: Array, rate: float) -> Array:
    """`x` with a random share `rate` of its numbers set to zero, if the module runs with a "dropout" key."""
    if not rate or not module.has_rng("dropout"):
        return x
    mask = jax.random.bernoulli(module.make_rng("dropout"), 1 - rate, x.shape)
    return jnp.where(mask, x / (1 - rate), 0)


class FeedForward(nn.Module):
    """A feed-forward layer with one hidden GELU layer: [..., D] -> [..., D]."""

    hidden: int
    """Number of neurons in the hidden layer."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The output [..., D]."""
        hidden = nn.gelu(Dense(self.hidden)(x), approximate=False)
        return Dense(x.shape[-1])(hidden)


class Attention(nn.Module):
    """Multi-head attention from query rows [Q, D] to key rows [K, D]."""

    width: int
    """Number of features of a row (D)."""
    heads: int
    """Number of attention heads (H)."""
    dropout: float = 0.0
    """Share of attention weights that are set to zero in training (0-1)."""

    def setup(self) -> None:
        """Make the projection layers."""
        self.query, self.key, self.value = (Dense(self.width, use_bias=False) for _ in range(3))
        self.out = Dense(self.width)

    def split(self, x: Array) -> Array:
        """[..., D] split into heads [..., H, d]."""
        return x.reshape(*x.shape[:-1], self.heads, self.width // self.heads)

    def project(self, x: Array) -> tuple[Array, Array]:
        """Keys and values [K, H, d] of rows [K, D]."""
        return self.split(self.key(x)), self.split(self.value(x))

    def mix(self, score: Array, values: Array) -> Array:
        """The output [Q, D] from scaled scores [H, Q, K] and values [K, H, d]."""
        weight = apply_dropout(self, jax.nn.softmax(score, axis=-1), self.dropout)
        return self.out(mixed(weight, values))

    def __call__(self, x: Array, rows: tuple[Array, Array], bias: Array | float = 0.0) -> Array:
        """The output [Q, D] for x [Q, D], projected rows and a bias [H, Q, K]."""
        keys, values = rows
        score = products(self.split(self.query(x)), keys) / math.sqrt(self.width // self.heads)
        return self.mix(score + bias, values)


class RelativeAttention(Attention):
    """Attention from rows [Q, D] to rows [K, D] with relative positions in steps."""

    def setup(self) -> None:
        """Make the projection layers."""
        super().setup()
        self.relative = Dense(self.width, use_bias=False)

    def __call__(  # type: ignore[override]
        self,
        x: Array,
        rows: tuple[Array, Array],
        steps: Array | None,
        seen: Array,
        pair: tuple[Array, Array],
        span: tuple[int, int],
        shift: Array | int = 0,
    ) -> Array:
        """The output [Q, D] for x [Q, D] and projected rows.

        steps [Q, K]: how many steps a key row lies before its query row, within `span` (both ends included) wherever
        seen [Q, K] holds, the attention mask; None: all steps of `span`, in its order. pair: u and v,
        [H, d]; shift: added to steps in s only.
        """
        keys, values = rows
        query, (low, high) = self.split(self.query(x)), span
        table = self.split(self.relative(sinusoid(jnp.arange(low, high + 1) + shift, self.width, x.dtype)))
        content = products(query + pair[0], keys)
        place = jnp.einsum("qhd,nhd->hqn", query + pair[1], table)
        if steps is not None:
            index = jnp.broadcast_to(jnp.clip(steps - low, 0, high - low), (self.heads, *steps.shape))
            place = jnp.take_along_axis(place, index, axis=-1)
        score = (content + place) / math.sqrt(self.width // self.heads)
        return self.mix(jnp.where(seen, score, -jnp.inf), values)


def products(query: Array, keys: Array) -> Array:
    """The dot products [H, Q, K] of queries [Q, H, d] and keys [K, H, d].

    A single query row, as in every step of acting, is multiplied elementwise: a batch of single rows would be as
    many small matrix products, which cost more than the rest of a step.
    """
    if len(query) > 1:
        return jnp.einsum("qhd,khd->hqk", query, keys)
    return (keys * query).reshape(len(keys), -1).dot(heads_of(query)).T[:, None]


def mixed(weight: Array, values: Array) -> Array:
    """The values [K, H, d] weighted by [H, Q, K]: [Q, D]; see `products`."""
    if weight.shape[1] > 1:
        return jnp.einsum("hqk,khd->qhd", weight, values).reshape(weight.shape[1], -1)
    parts = weight[:, 0].T[..., None] * values
    return functools.reduce(jnp.add, parts).reshape(1, -1)  # unrolled: XLA takes a sum over rows out of the loop


def heads_of(x: Array) -> Array:
    """An indicator matrix [D, H]: which numbers of [..., H, d] belong to which head."""
    return jnp.repeat(jnp.eye(x.shape[-2], dtype=x.dtype), x.shape[-1], axis=0)


def sinusoid(steps: Array, width: int, dtype: jax.typing.DTypeLike) -> Array:
    """Sinusoidal encodings s(steps) [n, D]: sines, then cosines, of steps [n], wavelengths 2 pi to 10^4 times that."""
    frequency = 1 / 10000 ** (jnp.arange(0, width, 2, dtype=dtype) / width)
    angle = steps[:, None].astype(dtype) * frequency
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
