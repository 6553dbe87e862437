"""Linen networks shared by several methods, written for one example; callers `vmap`.

Shapes: D input components, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import flax.linen as nn
import jax

from prospect_rl.envs.api import Array, Key, Tree

ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu}
"""By the names that an agent's fields have for them."""
Layer = tuple[Array, Array]
"""The weight [in, out] and the bias [out] of a dense layer."""


@runtime_checkable
class Layered(Protocol):
    """A network that is dense layers one after the other, and says which: it can be written in NumPy."""

    def dense_layers(self, params: Tree) -> list[Layer]:
        """The layers, of the variables that `init` gave."""
        ...


def stacked(params: Tree) -> list[Layer]:
    """The layers of an MLP or a head, of its own part of the parameters."""
    return [(params[f"Dense_{i}"]["kernel"], params[f"Dense_{i}"]["bias"]) for i in range(len(params))]


class MLP(nn.Module):
    """A feed-forward network: [D] -> [O]."""

    features: Sequence[int]
    """Widths of the layers, the output last."""
    activation: Callable[[Array], Array] = nn.relu
    """Activation function between layers, not after the last."""
    torch_init: bool = False
    """Whether to initialise weights and biases by `torch_uniform` rather than linen's default (LeCun normal, biases
    0)."""

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

    def dense_layers(self, params: Tree) -> list[Layer]:
        """See `Layered`."""
        return stacked(params["params"])


def torch_uniform(fan_in: int) -> Callable[..., Array]:
    """An initialiser: uniform within 1 / sqrt(fan_in) of 0, for weights and biases alike, as in torch's Linear."""
    bound = 1 / math.sqrt(fan_in)

    def start(key: Key, shape: Sequence[int], dtype: jax.typing.DTypeLike = float) -> Array:
        return jax.random.uniform(key, tuple(shape), dtype, -bound, bound)

    return start
