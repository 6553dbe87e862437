"""A tiny environment whose figures can be worked out by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Box, Env, Spec, Step, static


@struct.dataclass
class Point(Env):
    """A point pushed about in a square for ten steps; it pays at the end, near the corner (1, 1)."""

    drift: jax.Array = struct.field(default_factory=lambda: jnp.zeros(2))
    noise: float = static(0.05)
    broken: float = static(9.0)
    """A policy that ends beyond this, along the first axis, earns NaN."""

    @property
    def spec(self) -> Spec:
        return Spec(
            id="test/point", obs=Box((2,)), action=Box((2,), -1.0, 1.0), horizon=10,
            info=("success", "descriptor", "area"), descriptor=Box((2,), -1.0, 1.0), areas=1,
        )  # fmt: skip

    def reset(self, key):
        x = 0.1 * jax.random.normal(key, (2,))
        return (x, jnp.int32(0)), x

    def step(self, state, action, key):
        x, t = state
        x = jnp.clip(x + 0.2 * action + self.drift + self.noise * jax.random.normal(key, (2,)), -1, 1)
        end = (t + 1 >= 10) | (jnp.min(x) > 0.95)
        near = jnp.min(x) > 0.5
        reward = jnp.where(end & near, jnp.min(x), 0.0)
        reward = jnp.where(end & (x[0] > self.broken), jnp.nan, reward)
        info = {"success": end & near, "descriptor": x, "area": jnp.where(end & near, 0, -1)}
        truncated = (t + 1 >= 10) & ~(jnp.min(x) > 0.95)
        return (x, t + 1), Step(obs=x, reward=reward, terminated=jnp.min(x) > 0.95, truncated=truncated, info=info)
