"""The three kernels that bring experience to every agent, from every environment alike.

    segments   continue N streams for T steps                         (agents that want `Segments`)
    episodes   whole fresh episodes of P policies, E of each           (agents that want `Rollouts`)
    batches    rows or windows of a dataset                            (agents that want `Batches`)

All are pure and meant to be called under `jit`. Every random number comes from the key that is handed
in, by `fold_in` of a step's and a member's number: no result depends on how much else runs beside it,
and keys that an environment or agent ignores cost nothing (XLA removes them).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import (
    Actor,
    Array,
    Batch,
    Dataset,
    Dict,
    Discrete,
    Env,
    Episodes,
    Inputs,
    Key,
    Segment,
    Spec,
    Step,
    Transitions,
    Tree,
)

fold_in = jax.random.fold_in


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


def reset_if(env: Env, needed: Array, key: Key) -> tuple[Tree, Tree]:
    """`env.reset_if`, or `env.reset` of an object that has no such method."""
    return env.reset_if(needed, key) if hasattr(env, "reset_if") else env.reset(key)


def step_if(env: Env, live: Array, state: Tree, action: Array, key: Key) -> tuple[Tree, Step]:
    """`env.step_if`, or `env.step` of an object that has no such method."""
    return env.step_if(live, state, action, key) if hasattr(env, "step_if") else env.step(state, action, key)


# --- segments ----------------------------------------------------------------------------------------


@struct.dataclass
class Streams:
    """N interrupted episodes, leading [N]; part of the run state, so that a resumed run goes on mid-episode."""

    state: Tree
    memory: Tree
    inputs: Inputs
    returns: Array
    """[N] return so far of the running episodes."""
    length: Array
    """[N] steps so far of the running episodes."""
    ended: dict[str, Array]
    """Sums over the episodes that ended since the driver last looked: count, return, length, success (and failed)."""


def _counted(env: Env) -> tuple[str, ...]:
    """What of the info at an episode's end is summed up: its success and, where it can fail, its failure."""
    return tuple(name for name in ("success", "failed") if name in env.spec.info)


def open_streams(env: Env, actor: Actor, behaviour: Tree, key: Key, *, num_envs: int) -> Streams:
    """N fresh episodes."""
    k_reset, k_memory = jax.random.split(key)
    state, obs = jax.vmap(env.reset)(jax.random.split(k_reset, num_envs))
    memory = jax.vmap(lambda k: actor.memory(behaviour, k))(jax.random.split(k_memory, num_envs))
    inputs = jax.vmap(lambda o: first_inputs(env.spec, o))(obs)
    zeros = jnp.zeros(num_envs)
    ended = {name: jnp.zeros(()) for name in ("count", "return", "length", *_counted(env))}
    return Streams(state, memory, inputs, zeros, jnp.zeros(num_envs, jnp.int32), ended)


def segments(
    env: Env, actor: Actor, behaviour: Tree, streams: Streams, key: Key, *, length: int
) -> tuple[Streams, Segment]:
    """Continue every stream for `length` steps; an episode that ends is followed by a fresh one.

    The reset comes after the true successor observation has been recorded: `next_obs` never belongs to
    another episode.
    """
    num_envs = streams.length.shape[0]
    members = jnp.arange(num_envs)

    def one(state: Tree, memory: Tree, inputs: Inputs, key: Key) -> tuple[Any, ...]:
        k_act, k_step, k_reset, k_memory = (fold_in(key, i) for i in range(4))
        action, memory, extras = actor.act(behaviour, memory, inputs, k_act)
        state, step = env.step(state, action, k_step)
        ended = step.terminated | step.truncated
        fresh_state, fresh_obs = reset_if(env, ended, k_reset)
        fresh = (fresh_state, actor.memory(behaviour, k_memory), first_inputs(env.spec, fresh_obs))
        going = (state, memory, next_inputs(step.obs, action, step.reward))
        return select(ended, fresh, going), action, extras, step

    def body(streams: Streams, t: Array) -> tuple[Streams, Transitions]:
        keys = jax.vmap(fold_in, (None, 0))(fold_in(key, t), members)
        (state, memory, inputs), action, extras, step = jax.vmap(one)(
            streams.state, streams.memory, streams.inputs, keys
        )
        end = step.terminated | step.truncated
        returns, lengths = streams.returns + step.reward, streams.length + 1
        figures = {
            "count": jnp.ones_like(returns),
            "return": returns,
            "length": lengths.astype(jnp.float32),
            **{name: step.info[name].astype(jnp.float32) for name in _counted(env)},
        }
        sums = {name: streams.ended[name] + jnp.sum(jnp.where(end, x, 0)) for name, x in figures.items()}
        transitions = Transitions(
            inputs=streams.inputs, action=action, extras=extras, reward=step.reward, terminated=step.terminated,
            truncated=step.truncated, next_obs=step.obs, info=step.info, live=jnp.ones(num_envs, bool),
        )  # fmt: skip
        streams = Streams(state, memory, inputs, jnp.where(end, 0, returns), jnp.where(end, 0, lengths), sums)
        return streams, transitions

    memory = streams.memory
    streams, steps = jax.lax.scan(body, streams, jnp.arange(length))
    return streams, Segment(memory=memory, steps=steps)


# --- episodes ----------------------------------------------------------------------------------------


def info_shapes(env: Env) -> Tree:
    """The shapes and dtypes of `Step.info` of ONE episode."""

    def first_step(key: Key) -> Tree:
        state, obs = env.reset(key)
        return env.step(state, first_inputs(env.spec, obs).action, key)[1].info

    return jax.eval_shape(first_step, jax.random.key(0))


def frame_steps(horizon: int, frames: int) -> np.ndarray:
    """The steps [frames] after which a picture is kept: evenly spaced, the last one at the horizon (1-based)."""
    if frames >= horizon:
        raise ValueError(f"frames must be fewer than the {horizon} steps of an episode, not {frames}")
    return np.ceil(np.linspace(0, horizon - 1, frames + 1))[1:].astype(np.int32) + 1


def episodes(
    env: Env,
    actor: Actor,
    behaviour: Tree,
    active: Array,
    key: Key,
    start: Key,
    *,
    population: int,
    episodes: int = 1,
    group: int = 1,
    starts: str = "fixed",
    shared: bool = False,
    keep_steps: bool = False,
    frames: int = 0,
) -> Episodes:
    """E whole episodes of each of P policies, side by side; it ends when the last live one has ended.

    behaviour: leading [P], or none where `shared`. active: [P]; an inactive member takes no part.
    starts: "fixed" resets with `start` alone (episode e of every policy begins alike, in every call);
    "fresh" draws from `key`, the same for the members of one `group`.
    """
    if starts not in ("fixed", "fresh"):
        raise ValueError(f'starts must be "fixed" or "fresh", not {starts!r}')
    shape, horizon = (population, episodes), env.spec.horizon
    member = jnp.arange(population * episodes).reshape(shape)
    origin = start if starts == "fixed" else fold_in(key, 0)
    number = jnp.arange(episodes)[None] + (
        0 if starts == "fixed" else (jnp.arange(population) // group * episodes)[:, None]
    )
    number = jnp.broadcast_to(number, shape)

    def grid(f: Any, shared_axes: tuple[int | None, ...]) -> Any:
        """`f` over [P, E]; the behaviour (first argument) has no axis E, and none at all where shared."""
        inner = jax.vmap(f, in_axes=(None, *shared_axes))
        return jax.vmap(inner, in_axes=(None if shared else 0, *shared_axes))

    def begin(behaviour: Tree, number: Array, member: Array, live: Array) -> tuple[Tree, Tree, Inputs]:
        state, obs = reset_if(env, live, fold_in(origin, number))
        memory = actor.memory(behaviour, fold_in(fold_in(key, 1), member))
        return state, memory, first_inputs(env.spec, obs)

    def advance(behaviour: Tree, member: Array, live: Array, stream: Tree, tail: Tree, t: Array) -> Any:
        state, memory, inputs = stream
        k_act, k_step = (fold_in(fold_in(fold_in(key, i), t), member) for i in (2, 3))
        action, new_memory, extras = actor.act(behaviour, memory, inputs, k_act)
        new_state, step = step_if(env, live, state, action, k_step)
        ended = step.terminated | step.truncated
        new_stream = (new_state, new_memory, next_inputs(step.obs, action, step.reward))
        returns, length, _ = tail
        new_tail = (returns + step.reward, length + 1, step.info)
        if not env.spec.fixed_length:
            new_stream, new_tail = select(live, (new_stream, new_tail), (stream, tail))
        kept = Transitions(
            inputs=inputs, action=action, extras=extras, reward=step.reward, terminated=step.terminated,
            truncated=step.truncated, next_obs=step.obs, info=step.info, live=live,
        )  # fmt: skip
        return live & ~ended, new_stream, new_tail, kept

    live = jnp.broadcast_to(active[:, None], shape)
    stream = grid(begin, (0, 0, 0))(behaviour, number, member, live)
    step_all = jax.jit(grid(advance, (0, 0, 0, 0, None)))  # traced once, though it may be called twice
    info = jax.tree.map(lambda x: jnp.zeros((*shape, *x.shape), x.dtype), info_shapes(env))
    tail = (jnp.zeros(shape), jnp.zeros(shape, jnp.int32), info)
    slots = frame_steps(horizon, frames) if frames else np.zeros(0, np.int32)
    album = jax.tree.map(lambda x: jnp.broadcast_to(x[:, :, None], (*shape, frames, *x.shape[2:])), stream[0])

    def body(carry: Tree, t: Array) -> tuple[Tree, Transitions]:
        live, stream, tail, album = carry
        live, stream, tail, kept = step_all(behaviour, member, live, stream, tail, t)
        if frames:  # a slot is written at every step until its own step: the last write is the one that stays
            slot = jnp.searchsorted(jnp.asarray(slots), t + 1)
            album = jax.tree.map(lambda a, s: a.at[:, :, slot].set(s, mode="drop"), album, stream[0])
        return (live, stream, tail, album), kept

    carry = (live, stream, tail, album)
    steps = None
    if keep_steps:
        carry, steps = jax.lax.scan(body, carry, jnp.arange(horizon))
        last = jnp.int32(horizon)
    elif env.spec.fixed_length:
        # the info of the last step alone is wanted: the loop leaves that step out and computes no info
        def blind(t: Array, carry: Tree) -> Tree:
            (live, stream, (returns, *_), album), _ = body(carry, t)
            return live, stream, (returns, *carry[2][1:]), album

        carry = jax.lax.fori_loop(jnp.int32(0), jnp.int32(horizon - 1), blind, carry)
        (live, stream, (returns, _, info), album), _ = body(carry, jnp.int32(horizon - 1))
        last, carry = jnp.int32(horizon), (live, stream, (returns, jnp.full(shape, horizon, jnp.int32), info), album)
    else:

        def going(carry: Tree) -> Array:
            t, (live, *_) = carry
            return (t < horizon) & jnp.any(live)

        last, carry = jax.lax.while_loop(going, lambda c: (c[0] + 1, body(c[1], c[0])[0]), (jnp.int32(0), carry))
    _, stream, (returns, length, info), album = carry
    if frames:  # every episode may have ended before the later slots came: they repeat the last state
        passed = (jnp.asarray(slots) > last)[None, None]
        album = jax.tree.map(
            lambda a, s: select(jnp.broadcast_to(passed, a.shape[:3]), s[:, :, None], a), album, stream[0]
        )
    return Episodes(behaviour, active, returns, length, info, frames=album if frames else None, steps=steps)


# --- batches -----------------------------------------------------------------------------------------


def batches(
    dataset: Dataset, key: Key, *, size: int, updates: int, length: int = 1, whole: bool = False, starts: int = 0
) -> Batch:
    """U batches of B uniformly drawn rows, or windows of `length` consecutive rows of one episode.

    A window may begin at any row, or with `whole` at the first one of a uniformly drawn episode; the rows after its
    episode's end are marked not `valid` (they repeat the last row). `starts` more rows a batch are drawn from the
    first rows of episodes.
    """
    k_rows, k_starts = jax.random.split(key)
    count = dataset.rows["terminated"].shape[0]
    if whole:
        index = dataset.firsts[jax.random.randint(k_rows, (updates, size), 0, dataset.firsts.shape[0])]
    else:
        index = jax.random.randint(k_rows, (updates, size), 0, count)
    valid = jnp.ones((updates, size), bool)
    if length > 1:
        bounds = jnp.append(dataset.firsts, count)
        end = bounds[jnp.searchsorted(dataset.firsts, index, side="right")]
        window = index[..., None] + jnp.arange(length)
        valid = window < end[..., None]
        index = jnp.minimum(window, end[..., None] - 1)
    first_rows = None
    if starts:
        chosen = dataset.firsts[jax.random.randint(k_starts, (updates, starts), 0, dataset.firsts.shape[0])]
        first_rows = jax.tree.map(lambda x: x[chosen], dataset.rows)
    rows = jax.tree.map(lambda x: x[index], dataset.rows)
    return Batch(rows=rows, valid=valid, starts=first_rows, facts=dataset.facts)
