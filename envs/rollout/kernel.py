"""One step of one episode: act, step, and what is carried on. Whatever steps an environment goes through this.

    stream = begin(env, actor, behaviour, keys.reset(e), keys.memory(e))
    stream, row = advance(env, acting(actor, behaviour), stream, keys.act(e, t), keys.step(e, t))        t = 0, 1, ...

Written for ONE episode; callers `vmap`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import (
    Actor,
    Array,
    Dict,
    Discrete,
    Env,
    Inputs,
    Key,
    Spec,
    Step,
    Transitions,
    Tree,
)

Act = Callable[["Stream", Key], tuple[Array, Tree, Tree]]
"""(stream, key) -> (action, memory, extras): an agent (see `acting`), or a player who looks at the state itself."""


@struct.dataclass
class Stream:
    """An episode under way: what one step hands to the next."""

    state: Tree
    """Of the environment."""
    memory: Tree
    """Of who acts."""
    inputs: Inputs


def select(mask: Array, new: Tree, old: Tree) -> Tree:
    """`new` where `mask` (leading axes of every leaf) holds, else `old`."""

    def pick(a: Array, b: Array) -> Array:
        m = mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim))
        return jnp.where(m, a, b)

    return jax.tree.map(pick, new, old)


def first_inputs(spec: Spec, obs: Tree) -> Inputs:
    """What an agent sees at the first step of ONE episode."""
    if isinstance(spec.action, Dict):
        raise ValueError(f"{spec.id}: an action must be a Box or Discrete, not a Dict")
    action = jnp.zeros((), jnp.int32) if isinstance(spec.action, Discrete) else jnp.zeros(spec.action.shape)
    return Inputs(obs=obs, action=action, reward=jnp.zeros(()), first=jnp.ones((), bool))


def next_inputs(obs: Tree, action: Array, reward: Array) -> Inputs:
    """What an agent sees at a later step of ONE episode."""
    return Inputs(obs=obs, action=action, reward=reward, first=jnp.zeros((), bool))


# --- objects that lack what `Env` and `Agent` bring ----------------------------------------------------


def reset_if(env: Env, needed: Array, key: Key) -> tuple[Tree, Tree]:
    """`env.reset_if`, or `env.reset` of an object that has no such method."""
    return env.reset_if(needed, key) if hasattr(env, "reset_if") else env.reset(key)


def step_if(env: Env, live: Array, state: Tree, action: Array, key: Key) -> tuple[Tree, Step]:
    """`env.step_if`, or `env.step` of an object that has no such method."""
    return env.step_if(live, state, action, key) if hasattr(env, "step_if") else env.step(state, action, key)


def fresh_memory(actor: Actor, behaviour: Tree, memory: Tree, ended: Array, key: Key) -> Tree:
    """`actor.fresh_memory`, or a selection for an object that has no such method."""
    if hasattr(actor, "fresh_memory"):
        return actor.fresh_memory(behaviour, memory, ended, key)
    return Actor.fresh_memory(actor, behaviour, memory, ended, key)


# --- the kernel --------------------------------------------------------------------------------------


def acting(actor: Actor, behaviour: Tree) -> Act:
    """An agent: it looks at its inputs alone."""
    return lambda stream, key: actor.act(behaviour, stream.memory, stream.inputs, key)


def begin(env: Env, actor: Actor, behaviour: Tree, k_reset: Key, k_memory: Key, needed: Array | None = None) -> Stream:
    """A fresh episode. needed []: see `Env.reset_if`; by default it is."""
    state, obs = env.reset(k_reset) if needed is None else reset_if(env, needed, k_reset)
    return Stream(state, actor.memory(behaviour, k_memory), first_inputs(env.spec, obs))


def advance(
    env: Env, act: Act, stream: Stream, k_act: Key, k_step: Key, live: Array | None = None
) -> tuple[Stream, Transitions]:
    """(the stream after a step, the step). live []: see `Env.step_if`; by default it is.

    An episode that has ended is not begun anew.
    """
    action, memory, extras = act(stream, k_act)
    if live is None:
        (state, step), live = env.step(stream.state, action, k_step), jnp.ones((), bool)
    else:
        state, step = step_if(env, live, stream.state, action, k_step)
    row = Transitions(
        inputs=stream.inputs, action=action, extras=extras, reward=step.reward, terminated=step.terminated,
        truncated=step.truncated, next_obs=step.obs, info=step.info, live=live,
    )  # fmt: skip
    return Stream(state, memory, next_inputs(step.obs, action, step.reward)), row


def begin_again(
    env: Env, actor: Actor, behaviour: Tree, stream: Stream, ended: Array, k_reset: Key, k_memory: Key
) -> Stream:
    """A fresh episode in the place of one that has `ended` []; the others go on."""
    state, obs = reset_if(env, ended, k_reset)
    fresh, going = (state, first_inputs(env.spec, obs)), (stream.state, stream.inputs)
    state, inputs = select(ended, fresh, going)
    return Stream(state, fresh_memory(actor, behaviour, stream.memory, ended, k_memory), inputs)
