"""Reset only the streams whose episode has ended, in small batches.

Under `vmap`, `env.reset` is computed for every stream and most results are discarded. On a CPU, a custom batching rule
gathers the streams that need a reset, `RESET_BATCH` at a time, and resets only those. The result is identical bit for
bit. On an accelerator all streams are reset: a loop that waits for its condition takes longer there.

Shapes: [*batch] is () for one stream, [N] for N streams, [S, N] for N streams of each of S seeds.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from prospect_rl.envs import device
from prospect_rl.envs.api import Array, Env, Key, Tree

RESET_BATCH = 32
"""Streams reset together. If 1,000 streams have episodes of about 100 steps, about 10 end at each step."""


def reset_if(env: Env, needed: Array, key: Key) -> tuple[Tree, Tree]:
    """Reset an environment where needed; under `vmap`, the cost depends on the number of resets needed.

    Args:
        env: The environment; it must not be vmapped over.
        needed: Bool [], whether this stream needs a reset.
        key: PRNG key of the reset.

    Returns:
        (state, obs) of `env.reset(key)`, which mean nothing where `needed` is False.

    Raises:
        ValueError: If the environment itself is vmapped over.
    """
    return _reset_some(env, needed, jax.random.key_data(key))


def _reset_all(env: Env, needed: Array, key: Array) -> tuple[Tree, Tree]:
    """Reset where `needed`, bool [*batch]; `key` is the key data, uint32 [*batch, 2]."""
    if needed.ndim == 0:
        return env.reset(jax.random.wrap_key_data(key))
    keys = jax.random.wrap_key_data(key.reshape(needed.size, -1))
    everywhere = lambda env, needed, keys: jax.vmap(env.reset)(keys)  # noqa: E731
    out = device.choose(env, needed.reshape(-1), keys, cpu=_in_batches, accelerator=everywhere)
    return jax.tree.map(lambda leaf: leaf.reshape(needed.shape + leaf.shape[1:]), out)


def _in_batches(env: Env, needed: Array, keys: Key) -> tuple[Tree, Tree]:
    """Reset where `needed`, bool [N], with `keys` [N]; zeros elsewhere."""
    count = needed.size
    batch = min(RESET_BATCH, count)
    shapes = jax.eval_shape(jax.vmap(env.reset), keys)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def reset_batch(carry: tuple[Array, Tree]) -> tuple[Array, Tree]:
        waiting, out = carry
        rows = jnp.nonzero(waiting, size=batch, fill_value=count)[0]
        new = jax.vmap(env.reset)(keys[jnp.minimum(rows, count - 1)])
        write = lambda old, fresh: old.at[rows].set(fresh, mode="drop", unique_indices=True)  # noqa: E731
        return waiting.at[rows].set(False, mode="drop"), jax.tree.map(write, out, new)

    _, out = jax.lax.while_loop(lambda carry: jnp.any(carry[0]), reset_batch, (needed, zeros))
    return out


_reset_some = jax.custom_batching.custom_vmap(_reset_all)


@_reset_some.def_vmap
def _rule(size: int, batched: tuple[Tree, bool, bool], env: Env, needed: Array, key: Array) -> tuple[Tree, Tree]:
    if any(jax.tree.leaves(batched[0])):
        raise ValueError("all streams share one bank of levels: the environment cannot be vmapped over")
    broadcast = lambda x, has: x if has else jnp.broadcast_to(x, (size, *x.shape))  # noqa: E731
    out = _reset_some(env, broadcast(needed, batched[1]), broadcast(key, batched[2]))
    return out, jax.tree.map(lambda _: True, out)
