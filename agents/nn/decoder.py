"""A decoder: the transformer of today's small language models, over the tokens of one text.

    x = E[token]
    each layer:  x += attention(rms(x));  x += (silu(rms(x) W_gate) * rms(x) W_up) W_down
    logits = rms(x) E^T                                     (the embedding is also the last layer)
    attention: queries of H heads, keys and values of K heads that H / K query heads share, rotary positions

Sources: RMSNorm, Zhang & Sennrich 2019 (arXiv 1910.07467); rotary positions, Su et al. 2021 (arXiv 2104.09864); SwiGLU,
Shazeer 2020 (arXiv 2002.05202); shared keys and values, Ainslie et al. 2023 (arXiv 2305.13245); without biases, as
LLaMA (Touvron et al. 2023, arXiv 2302.13971).

Written for ONE text, callers `vmap`. Two faces give the same numbers: `__call__` takes a whole text, for learning;
`step` takes one token and a cache of keys and values, for acting. All layers are one scan, so that thirty compile as
one. Shapes: L layers, T tokens, C context, W width, H heads of D numbers, K of them with keys, V vocabulary.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.nn.trunk import Cached
from prospect_rl.envs.api import Array, Tree


class Decoder(nn.Module):
    """A decoder with a tied last layer and, if `value`, the value of each prefix."""

    vocabulary: int
    """Number of tokens (V)."""
    context: int
    """The most tokens in a text (C)."""
    layers: int
    """Number of layers (L)."""
    width: int
    """Numbers in a token's vector (W)."""
    heads: int
    """Number of heads with queries (H)."""
    kv_heads: int
    """Number of heads with keys and values (K)."""
    ffn: int
    """Number of hidden units between the layers' attentions."""
    value: bool = False
    """Whether to have a value head."""
    dtype: str = "float32"
    """Type of the products: float32, or bfloat16 on an accelerator."""
    theta: float = 10_000.0
    """Base of the rotary positions' wave lengths."""

    def setup(self) -> None:
        """Make the weights, those of all layers stacked."""
        size, normal = self.width // self.heads, nn.initializers.normal
        inward = normal(1 / math.sqrt(self.width))
        outward = normal(1 / math.sqrt(2 * self.layers * self.width))  # a sum of 2 L terms keeps its scale
        shapes = {
            "query": (self.width, self.heads * size), "key": (self.width, self.kv_heads * size),
            "value": (self.width, self.kv_heads * size), "out": (self.heads * size, self.width),
            "gate": (self.width, self.ffn), "up": (self.width, self.ffn), "down": (self.ffn, self.width),
        }  # fmt: skip
        self.blocks = {
            name: self.param(name, outward if name in ("out", "down") else inward, (self.layers, *shape))
            for name, shape in shapes.items()
        } | {name: self.param(name, nn.initializers.ones, (self.layers, self.width)) for name in ("norm1", "norm2")}
        self.embedding = self.param("embedding", normal(0.02), (self.vocabulary, self.width))
        self.norm = self.param("norm", nn.initializers.ones, (self.width,))
        self.critic = self.param("critic", nn.initializers.zeros, (self.width,)) if self.value else None

    def __call__(self, tokens: Array) -> tuple[Array, Array]:
        """(logits [T, V], values [T]) after each token of a text [T]; values are 0 without a value head."""
        places = jnp.arange(tokens.shape[0])
        seen = places[:, None] >= places

        def layer(x: Array, block: Tree) -> tuple[Array, None]:
            queries, keys, values = self._heads(block, rms(x, block["norm1"]), places)
            x = x + self._product(attend(queries, keys, values, seen), block["out"])
            return x + self._hidden(block, rms(x, block["norm2"])), None

        x, _ = jax.lax.scan(layer, self.embedding[tokens], self.blocks)
        return self._outputs(x)

    def open(self) -> Cached:
        """The cache before a text: keys, already rotated, and values, each [L, C, K, D]."""
        shape = (self.layers, self.context, self.kv_heads, self.width // self.heads)
        return Cached((), (jnp.zeros(shape), jnp.zeros(shape)), jnp.int32(0))

    def step(self, cache: Cached, token: Array) -> tuple[Cached, Array, Array]:
        """(cache, logits [V], value []) after a token [] that continues the cached text."""
        at = cache.count
        seen = (jnp.arange(self.context) <= at)[None]

        def layer(x: Array, now: tuple[Tree, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
            block, keys, values = now
            query, key, value = self._heads(block, rms(x, block["norm1"]), at[None])
            keys = jax.lax.dynamic_update_index_in_dim(keys, key[0], at, 0)
            values = jax.lax.dynamic_update_index_in_dim(values, value[0], at, 0)
            x = x + self._product(attend(query, keys, values, seen), block["out"])
            return x + self._hidden(block, rms(x, block["norm2"])), (keys, values)

        x, window = jax.lax.scan(layer, self.embedding[token][None], (self.blocks, *cache.window))
        logits, value = self._outputs(x)
        return Cached((), window, at + 1), logits[0], value[0]

    def _product(self, x: Array, weights: Array) -> Array:
        """The product x @ weights in the type of the products, as float32."""
        return jnp.matmul(x.astype(self.dtype), weights.astype(self.dtype), preferred_element_type=jnp.float32)

    def _heads(self, block: Tree, x: Array, places: Array) -> tuple[Array, Array, Array]:
        """Queries [T, H, D], keys and values [T, K, D] of tokens [T, W] at these places [T]."""
        query, key, value = (
            self._product(x, block[name]).reshape(x.shape[0], -1, self.width // self.heads)
            for name in ("query", "key", "value")
        )
        return rotated(query, places, self.theta), rotated(key, places, self.theta), value

    def _hidden(self, block: Tree, x: Array) -> Array:
        gate, up = self._product(x, block["gate"]), self._product(x, block["up"])
        return self._product(nn.silu(gate) * up, block["down"])

    def _outputs(self, x: Array) -> tuple[Array, Array]:
        """(logits [T, V], values [T]) of vectors [T, W] behind the last layer."""
        x = rms(x, self.norm)
        values = jnp.zeros(x.shape[0]) if self.critic is None else x @ self.critic
        return self._product(x, self.embedding.T), values


def rms(x: Array, scale: Array) -> Array:
    """Vectors [..., W] divided by the root of their mean square, times `scale` [W]."""
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-5) * scale


def rotated(x: Array, places: Array, theta: float) -> Array:
    """Heads [T, H, D] turned by their places [T]: numbers i and i + D / 2 by places * theta ** (-2 i / D)."""
    half = x.shape[-1] // 2
    angle = places[:, None, None] * theta ** (-jnp.arange(half) / half)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def attend(queries: Array, keys: Array, values: Array, seen: Array) -> Array:
    """Attention [T, H * D] of queries [T, H, D] to keys and values [S, K, D], where `seen` [T, S]."""
    length, heads, size = queries.shape
    shared = queries.reshape(length, keys.shape[1], -1, size)
    scores = jnp.einsum("tkgd,skd->tkgs", shared, keys) / math.sqrt(size)
    weights = jax.nn.softmax(jnp.where(seen[:, None, None], scores, -jnp.inf), axis=-1)
    return jnp.einsum("tkgs,skd->tkgd", weights, values).reshape(length, heads * size)
