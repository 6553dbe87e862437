"""One step of one episode: act, step, and prepare the next step. All code that steps an environment uses this.

    stream = begin(env, actor, behaviour, keys.reset(e), keys.memory(e))
    stream, row = advance(env, acting(actor, behaviour), stream, keys.act(e, t), keys.step(e, t))        t = 0, 1, ...

Written for ONE episode; callers `vmap`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Actor, Array, Dict, Discrete, Env, Inputs, Key, Spec, Step, Transitions, Tree

Act = Callable[["Stream", Key], tuple[Array, Tree, Tree]]
"""(stream, key) -> (action, memory, extras): an agent (see `acting`), or an oracle that reads the state."""


@struct.dataclass
class Stream:
    """A running episode: everything that the next step needs."""

    state: Tree
    """The state of the environment."""
    memory: Tree
    """The memory of the agent."""
    inputs: Inputs
    """The inputs of the agent at the next step."""


def select(mask: Array, new: Tree, old: Tree) -> Tree:
    """Select `new` where `mask` is True and `old` elsewhere; `mask` has the leading axes of every leaf."""

    def pick(a: Array, b: Array) -> Array:
        m = mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim))
        return jnp.where(m, a, b)

    return jax.tree.map(pick, new, old)


def first_inputs(spec: Spec, obs: Tree) -> Inputs:
    """Return the inputs of an agent at the first step of ONE episode; raise ValueError for a dict action space."""
    if isinstance(spec.action, Dict):
        raise ValueError(f"{spec.id}: an action must be a Box or Discrete, not a Dict")
    action = jnp.zeros((), jnp.int32) if isinstance(spec.action, Discrete) else jnp.zeros(spec.action.shape)
    return Inputs(obs=obs, action=action, reward=jnp.zeros(()), first=jnp.ones((), bool))


def next_inputs(obs: Tree, action: Array, reward: Array) -> Inputs:
    """Return the inputs of an agent at a later step of ONE episode."""
    return Inputs(obs=obs, action=action, reward=reward, first=jnp.zeros((), bool))


# --- defaults for objects without the optional methods of `Env` and `Actor` ----------------------------


def reset_if(env: Env, needed: Array, key: Key) -> tuple[Tree, Tree]:
    """Call `env.reset_if`, or `env.reset` if the object has no such method."""
    return env.reset_if(needed, key) if hasattr(env, "reset_if") else env.reset(key)


def step_if(env: Env, live: Array, state: Tree, action: Array, key: Key) -> tuple[Tree, Step]:
    """Call `env.step_if`, or `env.step` if the object has no such method."""
    return env.step_if(live, state, action, key) if hasattr(env, "step_if") else env.step(state, action, key)


def fresh_memory(actor: Actor, behaviour: Tree, memory: Tree, ended: Array, key: Key) -> Tree:
    """Call `actor.fresh_memory`, or use the default of `Actor` if the object has no such method."""
    if hasattr(actor, "fresh_memory"):
        return actor.fresh_memory(behaviour, memory, ended, key)
    return Actor.fresh_memory(actor, behaviour, memory, ended, key)


# --- steps -------------------------------------------------------------------------------------------


def acting(actor: Actor, behaviour: Tree) -> Act:
    """Return the `Act` of an agent, which uses only its inputs and memory."""
    return lambda stream, key: actor.act(behaviour, stream.memory, stream.inputs, key)


def begin(env: Env, actor: Actor, behaviour: Tree, k_reset: Key, k_memory: Key, needed: Array | None = None) -> Stream:
    """Start an episode; `needed` [] is as in `Env.reset_if`, by default True."""
    state, obs = env.reset(k_reset) if needed is None else reset_if(env, needed, k_reset)
    return Stream(state, actor.memory(behaviour, k_memory), first_inputs(env.spec, obs))


def advance(
    env: Env, act: Act, stream: Stream, k_act: Key, k_step: Key, live: Array | None = None
) -> tuple[Stream, Transitions]:
    """Make one step of an episode; an episode that ends is not reset.

    Args:
        env: The environment.
        act: Chooses the action.
        stream: The running episode.
        k_act: PRNG key of the action.
        k_step: PRNG key of the environment's step.
        live: Bool [], as in `Env.step_if`; by default True.

    Returns:
        The stream after the step, and the step.
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
    """Replace an episode that has `ended` [] by a new one; otherwise return it unchanged."""
    state, obs = reset_if(env, ended, k_reset)
    fresh, going = (state, first_inputs(env.spec, obs)), (stream.state, stream.inputs)
    state, inputs = select(ended, fresh, going)
    return Stream(state, fresh_memory(actor, behaviour, stream.memory, ended, k_memory), inputs)
