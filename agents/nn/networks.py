"""Linen networks that several methods share, written for one example; callers `vmap`.

Shapes: D input components, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from prospect_rl.envs.api import Array, Key


class MLP(nn.Module):
    """A feed-forward network: [D] -> [O]."""

    features: Sequence[int]
    """Widths of the layers, the output last."""
    activation: Callable[[Array], Array] = nn.relu
    """Between layers, not after the last."""
    torch_init: bool = False
    """Weights and biases start as `torch_uniform` rather than as linen's own (LeCun normal, biases 0)."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The output [O] for an input [D]."""
        for i, width in enumerate(self.features):
            start = {}
            if self.torch_init:
                start = dict.fromkeys(("kernel_init", "bias_init"), torch_uniform(x.shape[-1]))
            x = nn.Dense(width, **start)(x)
            if i < len(self.features) - 1:
                x = self.activation(x)
        return x


def torch_uniform(fan_in: int) -> Callable[..., Array]:
    """An initialiser: uniform within 1 / sqrt(fan_in) of 0, for weights and biases alike, as torch's Linear has it."""
    bound = 1 / math.sqrt(fan_in)

    def start(key: Key, shape: Sequence[int], dtype: jax.typing.DTypeLike = float) -> Array:
        return jax.random.uniform(key, tuple(shape), dtype, -bound, bound)

    return start
