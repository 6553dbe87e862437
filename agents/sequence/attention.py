"""Attention, for one stream: from one set of rows to another, and over relative times; a norm and a feed-forward layer.

    Attention           softmax((W_q x) . (W_k y) / sqrt(d) + bias) W_v y, then W_o and a bias
    RelativeAttention   the score of rows i and j is ((q_i + u) . k_j + (q_i + v) . W_r s(i - j)) / sqrt(d)

Source: Dai et al. 2019 (Transformer-XL), arXiv 1901.02860, section 3.3. Dropout is on where a "dropout" key is given.
Shapes: Q rows that ask, K rows that are asked, H heads, d = D / H.
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
    """A LayerNorm or RMSNorm with the small epsilon of the official code; a vector of zeros stays one."""
    if kind == "rms":
        return nn.RMSNorm(epsilon=1e-8)
    return nn.LayerNorm(epsilon=1e-8, use_fast_variance=False)


def dropped(module: nn.Module, x: Array, rate: float) -> Array:
    """`x` with a share of its numbers dropped, where the module runs with a "dropout" key."""
    if not rate or not module.has_rng("dropout"):
        return x
    kept = jax.random.bernoulli(module.make_rng("dropout"), 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0)


class FeedForward(nn.Module):
    """[..., D] -> [..., D] by one hidden layer with GELU."""

    hidden: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The output [..., D]."""
        hidden = nn.gelu(Dense(self.hidden)(x), approximate=False)
        return Dense(x.shape[-1])(hidden)


class Attention(nn.Module):
    """From rows [Q, D] to rows [K, D]."""

    width: int
    heads: int
    dropout: float = 0.0
    """Of the weights."""

    def setup(self) -> None:
        """The parts."""
        self.query, self.key, self.value = (Dense(self.width, use_bias=False) for _ in range(3))
        self.out = Dense(self.width)

    def split(self, x: Array) -> Array:
        """[..., D] as [..., H, d]."""
        return x.reshape(*x.shape[:-1], self.heads, self.width // self.heads)

    def project(self, x: Array) -> tuple[Array, Array]:
        """Keys and values [K, H, d] of rows [K, D]."""
        return self.split(self.key(x)), self.split(self.value(x))

    def mix(self, score: Array, values: Array) -> Array:
        """[Q, D] from scores [H, Q, K], before they are divided by sqrt(d), and values [K, H, d]."""
        weight = dropped(self, jax.nn.softmax(score, axis=-1), self.dropout)
        return self.out(mixed(weight, values))

    def __call__(self, x: Array, rows: tuple[Array, Array], bias: Array | float = 0.0) -> Array:
        """[Q, D] for x [Q, D], projected rows and a bias [H, Q, K]."""
        keys, values = rows
        score = products(self.split(self.query(x)), keys) / math.sqrt(self.width // self.heads)
        return self.mix(score + bias, values)


class RelativeAttention(Attention):
    """From rows [Q, D] to rows [K, D] that lie some steps before or behind them."""

    def setup(self) -> None:
        """The parts."""
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
        """[Q, D] for x [Q, D] and projected rows.

        steps [Q, K]: how far a row lies before the one that asks, within `span` (both ends included) wherever
        seen [Q, K] holds, which says what may be looked at; None: as far as `span` says, in its order. pair: u and v,
        [H, d]; shift: added to steps in s alone.
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
    """[H, Q, K] the products of queries [Q, H, d] and keys [K, H, d].

    One row that asks, as in every step of acting, is multiplied number by number: batches of such rows would be as many
    small matrix products, which cost more than all the rest of a step.
    """
    if len(query) > 1:
        return jnp.einsum("qhd,khd->hqk", query, keys)
    return (keys * query).reshape(len(keys), -1).dot(heads_of(query)).T[:, None]


def mixed(weight: Array, values: Array) -> Array:
    """[Q, D] the values [K, H, d] weighed by [H, Q, K]; see `products`."""
    if weight.shape[1] > 1:
        return jnp.einsum("hqk,khd->qhd", weight, values).reshape(weight.shape[1], -1)
    parts = weight[:, 0].T[..., None] * values
    return functools.reduce(jnp.add, parts).reshape(1, -1)  # one by one: XLA takes a sum over rows out of the loop


def heads_of(x: Array) -> Array:
    """[D, H] which numbers of [..., H, d] belong to which head."""
    return jnp.repeat(jnp.eye(x.shape[-2], dtype=x.dtype), x.shape[-1], axis=0)


def sinusoid(steps: Array, width: int, dtype: jax.typing.DTypeLike) -> Array:
    """s(steps) [n, D]: sines, then cosines, of steps [n] at wavelengths from 2 pi to 10^4 times that."""
    frequency = 1 / 10000 ** (jnp.arange(0, width, 2, dtype=dtype) / width)
    angle = steps[:, None].astype(dtype) * frequency
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
