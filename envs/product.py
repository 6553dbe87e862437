"""Matrix products outside of networks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def product(left: jax.Array | np.ndarray, right: jax.Array | np.ndarray) -> jax.Array:
    """Return `left @ right` in full float32 on every device.

    A GPU would round the factors to ten bits (TF32), as is meant for networks: an environment would then take other
    steps there than on a CPU, and a covariance would lose what it has learned.

    Args:
        left: Left factor, with the shapes of `jnp.matmul`.
        right: Right factor.

    Returns:
        The product.
    """
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
