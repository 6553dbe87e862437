"""Resets for the few of many streams whose episode has ended, at the price of a few.

Under `vmap` a reset is computed for every stream and thrown away by all but those that need one. Here the batching rule
gathers those that do, a handful at a time, and resets them alone. The result is the same, bit for bit.
Shapes: [*batch] is () for one stream, [N] for N, [S, N] for N of each of S seeds.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from prospect_rl.envs.api import Array, Env, Key, Tree

HANDFUL = 32
"""Streams that are reset together; of a thousand that end at random, about a hundred steps after they begin, ten do."""


def reset_if(env: Env, needed: Array, key: Key) -> tuple[Tree, Tree]:
    """`env.reset(key)` where `needed` []; zeros elsewhere, once it is vmapped."""
    return _reset_some(env, needed, jax.random.key_data(key))


def _reset_all(env: Env, needed: Array, key: Array) -> tuple[Tree, Tree]:
    """needed: bool [*batch]; key: the key's data, uint32 [*batch, 2]."""
    if needed.ndim == 0:
        return env.reset(jax.random.wrap_key_data(key))
    count, keys = needed.size, jax.random.wrap_key_data(key.reshape(needed.size, -1))
    handful = min(HANDFUL, count)
    like = jax.eval_shape(jax.vmap(env.reset), keys)
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)

    def some(carry: tuple[Array, Tree]) -> tuple[Array, Tree]:
        waiting, made = carry
        rows = jnp.nonzero(waiting, size=handful, fill_value=count)[0]
        new = jax.vmap(env.reset)(keys[jnp.minimum(rows, count - 1)])
        put = lambda old, fresh: old.at[rows].set(fresh, mode="drop", unique_indices=True)  # noqa: E731
        return waiting.at[rows].set(False, mode="drop"), jax.tree.map(put, made, new)

    _, made = jax.lax.while_loop(lambda carry: jnp.any(carry[0]), some, (needed.reshape(count), blank))
    return jax.tree.map(lambda leaf: leaf.reshape(needed.shape + leaf.shape[1:]), made)


_reset_some = jax.custom_batching.custom_vmap(_reset_all)


@_reset_some.def_vmap
def _rule(size: int, batched: tuple[Tree, bool, bool], env: Env, needed: Array, key: Array) -> tuple[Tree, Tree]:
    if any(jax.tree.leaves(batched[0])):
        raise ValueError("one bank of levels serves all streams: it cannot be vmapped over")
    widen = lambda x, has: x if has else jnp.broadcast_to(x, (size, *x.shape))  # noqa: E731
    out = _reset_some(env, widen(needed, batched[1]), widen(key, batched[2]))
    return out, jax.tree.map(lambda _: True, out)
