"""Whole new episodes of P policies, E of each, in parallel.

One episode is `opened` and then `continued` step by step; a loop does so for all episodes. Of the four loops `fixed`
is for episodes of fixed length and `until_done` for all others; `recorded` and `recorded_until_done` keep the steps.
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
    """The state of an episode; it no longer changes after the episode has ended."""

    live: Array
    """[] bool, whether the episode is still running."""
    stream: Stream
    """State, memory and inputs for the next step."""
    returns: Array
    """[] float32 sum of the rewards so far."""
    length: Array
    """[] int32 steps taken so far."""
    info: dict[str, Array]
    """The info of the last step."""


def keys_of(key: Key, start: Key, starts: str) -> Keys:
    """Return the keys of `episodes`; raise ValueError for unknown `starts`."""
    if starts not in ("fixed", "fresh"):
        raise ValueError(f'starts must be "fixed" or "fresh", not {starts!r}')
    return Keys(key, start=start if starts == "fixed" else None)


def info_shapes(env: Env) -> Tree:
    """Return the shapes and dtypes of `Step.info` of ONE episode."""

    def first_step(key: Key) -> Tree:
        state, obs = env.reset(key)
        return env.step(state, first_inputs(env.spec, obs).action, key)[1].info

    return jax.eval_shape(first_step, jax.random.key(0))


def opened(env: Env, actor: Actor, behaviour: Tree, keys: Keys, number: Number, member: Number, live: Array) -> Course:
    """Start an episode; its reset uses the key of `number`, all other random numbers those of `member`."""
    stream = begin(env, actor, behaviour, keys.reset(number), keys.memory(member), live)
    info = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), info_shapes(env))
    return Course(live, stream, jnp.zeros(()), jnp.int32(0), info)


def continued(
    env: Env, actor: Actor, behaviour: Tree, keys: Keys, member: Number, course: Course, t: Array
) -> tuple[Course, Transitions]:
    """Make step t of an episode, and return the episode and the step."""
    act, live = acting(actor, behaviour), course.live
    stream, row = advance(env, act, course.stream, keys.act(member, t), keys.step(member, t), live)
    live &= ~(row.terminated | row.truncated)
    after = Course(live, stream, course.returns + row.reward, course.length + 1, row.info)
    return (after if env.spec.fixed_length else select(course.live, after, course)), row


# --- the loops ---------------------------------------------------------------------------------------

Carry = tuple[Course, Tree]
"""All episodes, with leading axes [P, E], and the album of their states."""
Body = Callable[[Carry, Array], tuple[Carry, Transitions]]
Played = tuple[Carry, Array, Transitions | None]
"""(the carry after the last step, the number of steps, all steps if they are recorded)."""


def recorded(body: Body, carry: Carry, horizon: int) -> Played:
    """Run episodes that all last until the horizon and keep their steps."""
    carry, steps = jax.lax.scan(body, carry, jnp.arange(horizon))
    return carry, jnp.int32(horizon), steps


def recorded_until_done(body: Body, carry: Carry, horizon: int) -> Played:
    """Run until the last live episode has ended and keep the steps; the rest up to the horizon is zeros, for free."""
    rows = jax.eval_shape(body, carry, jnp.int32(0))[1]
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), rows)

    def step(carry: Carry, t: Array) -> tuple[Carry, tuple[Transitions, Array]]:
        going = jnp.any(carry[0].live)
        carry, rows = jax.lax.cond(going, body, lambda carry, t: (carry, blank), carry, t)
        return carry, (rows, going)

    carry, (steps, went) = jax.lax.scan(step, carry, jnp.arange(horizon))
    return carry, jnp.sum(went, dtype=jnp.int32), steps


def fixed(body: Body, carry: Carry, horizon: int) -> Played:
    """Run episodes that all last until the horizon; their length is not counted."""

    # only the info of the last step is needed: the loop omits that step, so that XLA computes no info inside it
    def without_info(t: Array, carry: Carry) -> Carry:
        (course, pictures), _ = body(carry, t)
        return replace(course, length=carry[0].length, info=carry[0].info), pictures

    carry = jax.lax.fori_loop(jnp.int32(0), jnp.int32(horizon - 1), without_info, carry)
    (course, pictures), _ = body(carry, jnp.int32(horizon - 1))
    length = jnp.full(course.length.shape, horizon, jnp.int32)
    return (replace(course, length=length), pictures), jnp.int32(horizon), None


def until_done(body: Body, carry: Carry, horizon: int) -> Played:
    """Run until the last live episode has ended."""

    def going(carry: tuple[Array, Carry]) -> Array:
        t, (course, _) = carry
        return (t < horizon) & jnp.any(course.live)

    last, carry = jax.lax.while_loop(going, lambda c: (c[0] + 1, body(c[1], c[0])[0]), (jnp.int32(0), carry))
    return carry, last, None


# --- all episodes ------------------------------------------------------------------------------------


def grid(f: Callable[..., Any], shared: bool, axes: tuple[int | None, ...]) -> Callable[..., Any]:
    """Map `f` over [P, E]; the behaviour (first argument) has no axis E, and no axis at all if it is shared."""
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
    """Run E whole episodes of each of P policies in parallel, until the last one has ended.

    Args:
        env: The environment.
        actor: The agent.
        behaviour: The policies, a pytree with leading axis [P]; without it if `shared`.
        active: Bool [P]; an inactive policy is padding and is not run.
        key: PRNG key of the actions, the steps and, with `starts="fresh"`, the resets.
        start: PRNG key of the resets with `starts="fixed"`.
        population: P, the number of policies.
        episodes: E, the number of episodes of each policy.
        group: Number of consecutive policies with equal resets if fresh.
        starts: "fixed": episode e of every policy always has the same reset; "fresh": resets depend on `key`.
        shared: Whether all P members share one policy.
        keep_steps: Whether to return all steps.
        frames: Number of evenly spaced environment states to return for each episode, for rendering.

    Returns:
        The episodes, with leading axes [P, E]. Raises ValueError for unknown `starts`, or too many frames.
    """
    keys, shape, horizon = keys_of(key, start, starts), (population, episodes), env.spec.horizon
    member = jnp.arange(population * episodes).reshape(shape)
    row = jnp.arange(population) // group * episodes if starts == "fresh" else jnp.zeros(population, jnp.int32)
    number = row[:, None] + jnp.arange(episodes)
    slots = album.frame_steps(horizon, frames)

    def step_one(behaviour: Tree, member: Array, course: Course, t: Array) -> tuple[Course, Transitions]:
        return continued(env, actor, behaviour, keys, member, course, t)

    step_all = jax.jit(grid(step_one, shared, (0, 0, None)))  # jitted to be traced only once, though called twice

    def body(carry: Carry, t: Array) -> tuple[Carry, Transitions]:
        course, rows = step_all(behaviour, member, carry[0], t)
        return (course, album.put(carry[1], slots, course.stream.state, t) if frames else ()), rows

    live = jnp.broadcast_to(active[:, None], shape)
    begin = grid(lambda b, n, m, live: opened(env, actor, b, keys, n, m, live), shared, (0, 0, 0))
    course = begin(behaviour, number, member, live)
    kept, bare = (recorded, fixed) if env.spec.fixed_length else (recorded_until_done, until_done)
    loop = kept if keep_steps else bare
    pictures = album.opened(course.stream.state, slots) if frames else ()
    (course, pictures), last, steps = loop(body, (course, pictures), horizon)
    pictures = album.closed(pictures, slots, course.stream.state, last) if frames else None
    return Episodes(behaviour, active, course.returns, course.length, course.info, frames=pictures, steps=steps)
