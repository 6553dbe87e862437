"""The kernel `episodes`: whole fresh episodes of P policies, E of each, side by side.

One episode is `opened` and then `continued` step by step; a loop does so for all of them. There are three loops,
by what is wanted and known: `recorded`, `fixed`, `until_done`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Actor, Array, Env, Episodes, Key, Transitions, Tree
from prospect_rl.envs.rollout import album
from prospect_rl.envs.rollout.kernel import Stream, acting, advance, begin, first_inputs, select
from prospect_rl.envs.rollout.keys import Keys, Number

# --- one episode -------------------------------------------------------------------------------------


@struct.dataclass
class Course:
    """An episode so far; where it has ended it stands still."""

    live: Array
    stream: Stream
    returns: Array
    length: Array
    info: dict[str, Array]
    """Of the last step."""


def keys_of(key: Key, start: Key, starts: str) -> Keys:
    """The keys of `episodes`. Raises ValueError for unknown starts."""
    if starts not in ("fixed", "fresh"):
        raise ValueError(f'starts must be "fixed" or "fresh", not {starts!r}')
    return Keys(key, start=start if starts == "fixed" else None)


def info_shapes(env: Env) -> Tree:
    """The shapes and dtypes of `Step.info` of ONE episode."""

    def first_step(key: Key) -> Tree:
        state, obs = env.reset(key)
        return env.step(state, first_inputs(env.spec, obs).action, key)[1].info

    return jax.eval_shape(first_step, jax.random.key(0))


def opened(env: Env, actor: Actor, behaviour: Tree, keys: Keys, number: Number, member: Number, live: Array) -> Course:
    """An episode before its first step. number: of its start; member: of all else that is drawn."""
    stream = begin(env, actor, behaviour, keys.reset(number), keys.memory(member), live)
    info = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), info_shapes(env))
    return Course(live, stream, jnp.zeros(()), jnp.int32(0), info)


def continued(
    env: Env, actor: Actor, behaviour: Tree, keys: Keys, member: Number, course: Course, t: Array
) -> tuple[Course, Transitions]:
    """An episode after its step t, and the step."""
    act, live = acting(actor, behaviour), course.live
    stream, row = advance(env, act, course.stream, keys.act(member, t), keys.step(member, t), live)
    live &= ~(row.terminated | row.truncated)
    after = Course(live, stream, course.returns + row.reward, course.length + 1, row.info)
    return (after if env.spec.fixed_length else select(course.live, after, course)), row


# --- the loops ---------------------------------------------------------------------------------------

Carry = tuple[Course, Tree]
"""All courses, leading [P, E], and the album of their states."""
Body = Callable[[Carry, Array], tuple[Carry, Transitions]]
Played = tuple[Carry, Array, Transitions | None]
"""(what the last step gave, the number of steps, all steps where they are recorded)."""


def recorded(body: Body, carry: Carry, horizon: int) -> Played:
    """All steps are kept."""
    carry, steps = jax.lax.scan(body, carry, jnp.arange(horizon))
    return carry, jnp.int32(horizon), steps


def fixed(body: Body, carry: Carry, horizon: int) -> Played:
    """Nothing ends before the horizon: no length is counted."""

    # the info of the last step alone is wanted: the loop leaves that step out and computes no info
    def blind(t: Array, carry: Carry) -> Carry:
        (course, pictures), _ = body(carry, t)
        return replace(course, length=carry[0].length, info=carry[0].info), pictures

    carry = jax.lax.fori_loop(jnp.int32(0), jnp.int32(horizon - 1), blind, carry)
    (course, pictures), _ = body(carry, jnp.int32(horizon - 1))
    length = jnp.full(course.length.shape, horizon, jnp.int32)
    return (replace(course, length=length), pictures), jnp.int32(horizon), None


def until_done(body: Body, carry: Carry, horizon: int) -> Played:
    """It ends when the last live episode has ended."""

    def going(carry: tuple[Array, Carry]) -> Array:
        t, (course, _) = carry
        return (t < horizon) & jnp.any(course.live)

    last, carry = jax.lax.while_loop(going, lambda c: (c[0] + 1, body(c[1], c[0])[0]), (jnp.int32(0), carry))
    return carry, last, None


# --- all episodes ------------------------------------------------------------------------------------


def grid(f: Callable[..., Any], shared: bool, axes: tuple[int | None, ...]) -> Callable[..., Any]:
    """`f` over [P, E]; the behaviour (first argument) has no axis E, and none at all where shared."""
    inner = jax.vmap(f, in_axes=(None, *axes))
    return jax.vmap(inner, in_axes=(None if shared else 0, *axes))


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
    starts: Literal["fixed", "fresh"] = "fixed",
    shared: bool = False,
    keep_steps: bool = False,
    frames: int = 0,
) -> Episodes:
    """E whole episodes of each of P policies, side by side; it ends when the last live one has ended.

    behaviour: leading [P], or none where `shared`. active: [P]; an inactive member takes no part.
    starts: "fixed" resets with `start` alone (episode e of every policy begins alike, in every call);
    "fresh" draws from `key`, the same for the members of one `group`.
    """
    keys, shape, horizon = keys_of(key, start, starts), (population, episodes), env.spec.horizon
    member = jnp.arange(population * episodes).reshape(shape)
    row = jnp.arange(population) // group * episodes if starts == "fresh" else jnp.zeros(population, jnp.int32)
    number = row[:, None] + jnp.arange(episodes)
    slots = album.frame_steps(horizon, frames)

    def begin_one(behaviour: Tree, number: Array, member: Array, live: Array) -> Course:
        return opened(env, actor, behaviour, keys, number, member, live)

    def step_one(behaviour: Tree, member: Array, course: Course, t: Array) -> tuple[Course, Transitions]:
        return continued(env, actor, behaviour, keys, member, course, t)

    step_all = jax.jit(grid(step_one, shared, (0, 0, None)))  # traced once, though it may be called twice

    def body(carry: Carry, t: Array) -> tuple[Carry, Transitions]:
        course, rows = step_all(behaviour, member, carry[0], t)
        return (course, album.put(carry[1], slots, course.stream.state, t) if frames else ()), rows

    live = jnp.broadcast_to(active[:, None], shape)
    course = grid(begin_one, shared, (0, 0, 0))(behaviour, number, member, live)
    loop = recorded if keep_steps else fixed if env.spec.fixed_length else until_done
    pictures = album.opened(course.stream.state, slots) if frames else ()
    (course, pictures), last, steps = loop(body, (course, pictures), horizon)
    pictures = album.closed(pictures, slots, course.stream.state, last) if frames else None
    return Episodes(behaviour, active, course.returns, course.length, course.info, frames=pictures, steps=steps)
