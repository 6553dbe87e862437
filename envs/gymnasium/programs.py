"""The compiled programs of `envs.gymnasium.outward`: episodes of an environment, one or N at a time.

`static` and `arrays` together are an environment (see `split`). They are arguments, so that all adapters of the same
environment share one compiled program. Random numbers: each episode has a seed; the reset uses key 0 of that seed, step
t uses key t (from 1).

Shapes: N environments.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax

from prospect_rl.envs.api import Array, Env, Step, Tree
from prospect_rl.envs.rollout import reset_if, select, step_if


def split(env: Env) -> tuple[Any, list[Any]]:
    """Split an environment into (static, arrays): its tree structure and leaves, or itself if it is not a pytree."""
    leaves, treedef = jax.tree.flatten(env)
    return (env, []) if jax.tree_util.treedef_is_leaf(treedef) else (treedef, leaves)


def join(static: Any, arrays: list[Any]) -> Env:
    """Invert `split`."""
    return jax.tree.unflatten(static, arrays) if isinstance(static, jax.tree_util.PyTreeDef) else static


def part(seed: Array, time: Array | int) -> Array:
    """Return the key of one step of an episode."""
    return jax.random.fold_in(jax.random.key(seed), time)


@partial(jax.jit, static_argnums=0)
def begin(static: Any, arrays: Any, seed: Array) -> tuple[Tree, Tree]:
    """Reset ONE episode and return (state, obs)."""
    return join(static, arrays).reset(part(seed, 0))


@partial(jax.jit, static_argnums=0)
def advance(static: Any, arrays: Any, state: Tree, action: Array, seed: Array, time: Array) -> tuple[Tree, Step]:
    """Make step `time` of ONE episode and return (state, Step)."""
    return join(static, arrays).step(state, action, part(seed, time))


@partial(jax.jit, static_argnums=0)
def draw(static: Any, arrays: Any, state: Tree) -> Array:
    """Draw ONE state."""
    return join(static, arrays).frame(state)


@partial(jax.jit, static_argnums=0)
def begin_all(static: Any, arrays: Any, seeds: Array) -> tuple[Tree, Tree]:
    """Reset N episodes and return (state, obs)."""
    return jax.vmap(lambda seed: join(static, arrays).reset(part(seed, 0)))(seeds)


@partial(jax.jit, static_argnums=0)
def begin_some(static: Any, arrays: Any, needed: Array, state: Tree, obs: Tree, seeds: Array) -> tuple[Tree, Tree]:
    """Reset the episodes where `needed` [N] is True and return (state, obs); the others are unchanged."""
    env = join(static, arrays)
    return select(needed, jax.vmap(lambda n, seed: reset_if(env, n, part(seed, 0)))(needed, seeds), (state, obs))


@partial(jax.jit, static_argnums=0)
def advance_all(
    static: Any, arrays: Any, live: Array, state: Tree, action: Array, seeds: Array, time: Array
) -> tuple[Tree, Step]:
    """Step N episodes and return (state, Step); results are undefined where `live` [N] is False."""
    env = join(static, arrays)
    return jax.vmap(lambda n, s, a, seed, t: step_if(env, n, s, a, part(seed, t)))(live, state, action, seeds, time)
