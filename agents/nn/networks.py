"""Linen networks that several methods share, written for one example; callers `vmap`.

Shapes: D input components, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import flax.linen as nn

from envs.api import Array


class MLP(nn.Module):
    """A feed-forward network: [D] -> [O]."""

    features: Sequence[int]
    """Widths of the layers, the output last."""
    activation: Callable[[Array], Array] = nn.relu
    """Between layers, not after the last."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The output [O] for an input [D]."""
        for width in self.features[:-1]:
            x = self.activation(nn.Dense(width)(x))
        return nn.Dense(self.features[-1])(x)
