"""Segments: N streams of episodes, continued for T steps at a time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Actor, Array, Env, Inputs, Key, Segment, Transitions, Tree
from prospect_rl.envs.rollout.kernel import Stream, acting, advance, begin, begin_again
from prospect_rl.envs.rollout.keys import SEGMENTS, Keys


@struct.dataclass
class Streams:
    """N running episodes, with leading axis [N]; part of the run state, so that a resumed run continues mid-episode."""

    state: Tree
    """[N, ...] states of the environments."""
    memory: Tree
    """[N, ...] memories of the agent."""
    inputs: Inputs
    """[N, ...] inputs of the agent at the next step."""
    returns: Array
    """[N] float32 returns of the running episodes so far."""
    length: Array
    """[N] int32 steps of the running episodes so far."""
    ended: dict[str, Array]
    """Sums over episodes that ended since the driver last read them: count, return, length, success (and failed)."""


def counted(env: Env) -> tuple[str, ...]:
    """Return the entries of `info` to sum up at the ends of episodes: success, and failed if there is one."""
    return tuple(name for name in ("success", "failed") if name in env.spec.info)


def open_streams(env: Env, actor: Actor, behaviour: Tree, key: Key, *, num_envs: int) -> Streams:
    """Start N = `num_envs` episodes, to be continued by `segments`."""
    keys = Keys(key)
    opened = jax.vmap(lambda n: begin(env, actor, behaviour, keys.reset(n), keys.memory(n)))(jnp.arange(num_envs))
    zeros = jnp.zeros(num_envs)
    ended = {name: jnp.zeros(()) for name in ("count", "return", "length", *counted(env))}
    return Streams(opened.state, opened.memory, opened.inputs, zeros, jnp.zeros(num_envs, jnp.int32), ended)


def segments(
    env: Env, actor: Actor, behaviour: Tree, streams: Streams, key: Key, *, length: int
) -> tuple[Streams, Segment]:
    """Continue every stream for T steps; an episode that ends is followed by a new one.

    Args:
        env: The environment.
        actor: The agent.
        behaviour: The policy, shared by all streams.
        streams: N running episodes, from `open_streams` or the previous call.
        key: PRNG key of this call.
        length: T, the number of steps.

    Returns:
        (streams, segment): the streams after the last step, and the steps with leading axes [T, N]. Resets happen after
        `next_obs` is recorded, so that it always belongs to the same episode as its step.
    """
    members, keys, act = jnp.arange(streams.length.shape[0]), Keys(key, SEGMENTS), acting(actor, behaviour)

    def one(stream: Stream, n: Array, t: Array) -> tuple[Stream, Transitions]:
        stream, row = advance(env, act, stream, keys.act(n, t), keys.step(n, t))
        ended = row.terminated | row.truncated
        return begin_again(env, actor, behaviour, stream, ended, keys.reset(n, t), keys.memory(n, t)), row

    def body(streams: Streams, t: Array) -> tuple[Streams, Transitions]:
        stream = Stream(streams.state, streams.memory, streams.inputs)
        stream, rows = jax.vmap(one, (0, 0, None))(stream, members, t)
        return summed(env, streams, stream, rows), rows

    memory = streams.memory
    streams, steps = jax.lax.scan(body, streams, jnp.arange(length))
    return streams, Segment(memory=memory, steps=steps)


def summed(env: Env, before: Streams, after: Stream, rows: Transitions) -> Streams:
    """Return the streams after a step, with updated sums over the episodes that ended."""
    end = rows.terminated | rows.truncated
    returns, lengths = before.returns + rows.reward, before.length + 1
    figures = {
        "count": jnp.ones_like(returns),
        "return": returns,
        "length": lengths.astype(jnp.float32),
        **{name: rows.info[name].astype(jnp.float32) for name in counted(env)},
    }
    sums = {name: before.ended[name] + jnp.sum(jnp.where(end, x, 0)) for name, x in figures.items()}
    return Streams(
        after.state, after.memory, after.inputs, jnp.where(end, 0, returns), jnp.where(end, 0, lengths), sums
    )
