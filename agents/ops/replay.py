"""The replay buffer of off-policy agents: a ring buffer of transitions that is written in place.

A transition is one row of a matrix, so a step costs one write and a batch one gather, whatever the capacity.
Nothing here selects over the whole buffer (`where`, `cond`): that would copy it. To add or sample conditionally, put
the call in a loop whose trip count is 0 or 1.

Shapes: C capacity, O observation components, A action components, W = 2 O + A + 2 numbers of a row.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key, static


@struct.dataclass
class Experience:
    """Transitions with any leading axes, all float32."""

    obs: Array
    """[..., O] observations before the step."""
    action: Array
    """[..., A] actions taken."""
    reward: Array
    """[...] rewards of the step."""
    terminated: Array
    """[...] 1 where the episode terminated, else 0: a time limit does not terminate, its successor is bootstrapped."""
    next_obs: Array
    """[..., O] true next observations, before any reset."""


@struct.dataclass
class Replay:
    """The newest C transitions."""

    rows: Array
    """[C, W] transitions, one in each row."""
    count: Array
    """[] int32 number of filled rows, which are the first ones."""
    cursor: Array
    """[] int32 row that is written next."""
    obs_size: int = static(0)
    """Number of observation components (O), needed to split a row."""

    @property
    def capacity(self) -> int:
        """The number of transitions that fit (C)."""
        return self.rows.shape[0]


def empty(capacity: int, obs_size: int, action_size: int) -> Replay:
    """A buffer without transitions."""
    rows = jnp.zeros((capacity, 2 * obs_size + action_size + 2))
    return Replay(rows, jnp.int32(0), jnp.int32(0), obs_size)


def add(replay: Replay, new: Experience) -> Replay:
    """The buffer with N more transitions (leading [N], oldest first); overwrites the oldest.

    Raises ValueError where N is above the capacity.
    """
    count, capacity = new.reward.shape[0], replay.capacity
    if count > capacity:
        raise ValueError(f"a replay buffer of {capacity} transitions cannot take {count} at once: raise its capacity")
    index = (replay.cursor + jnp.arange(count)) % capacity
    rows = replay.rows.at[index].set(_block(new), mode="promise_in_bounds", unique_indices=True)
    filled, cursor = jnp.minimum(replay.count + count, capacity), (replay.cursor + count) % capacity
    return replace(replay, rows=rows, count=filled, cursor=cursor)


def add_live(replay: Replay, new: Experience, live: Array, limit: Array) -> Replay:
    """The buffer with those of N more transitions (leading [N]) that are `live` [N], using at most `limit` [] rows.

    The limit lies between N and the capacity. After the limit has risen, the rows that it adds are filled first.
    """
    number = jnp.cumsum(live.astype(jnp.int32))
    cursor = jnp.where(replay.count < limit, replay.count, replay.cursor)
    # rows that are not live are dropped: their indices lie past the end, all different
    index = jnp.where(live, (cursor + number - 1) % limit, replay.capacity + jnp.arange(len(live)))
    rows = replay.rows.at[index].set(_block(new), mode="drop", unique_indices=True)
    filled, cursor = jnp.minimum(replay.count + number[-1], limit), (cursor + number[-1]) % limit
    return replace(replay, rows=rows, count=filled, cursor=cursor)


def sample(replay: Replay, key: Key, size: int) -> Experience:
    """`size` transitions drawn uniformly with replacement; leading [size]. The buffer must not be empty."""
    return take(replay, jax.random.randint(key, (size,), 0, replay.count))


def take(replay: Replay, index: Array) -> Experience:
    """The transitions in rows [...], all of which must lie below the capacity."""
    rows, split = replay.rows.at[index].get(mode="promise_in_bounds"), replay.obs_size
    ends = rows.shape[-1] - split
    return Experience(
        obs=rows[..., :split],
        action=rows[..., split : ends - 2],
        reward=rows[..., ends - 2],
        terminated=rows[..., ends - 1],
        next_obs=rows[..., ends:],
    )


def _block(new: Experience) -> Array:
    """Transitions [N] as rows [N, W]."""
    columns = (new.obs, new.action, new.reward[:, None], new.terminated[:, None], new.next_obs)
    return jnp.concatenate([x.astype(jnp.float32) for x in columns], axis=1)


def pairs(rows: Experience) -> Array:
    """Observations and actions side by side [..., O + A]."""
    return jnp.concatenate([rows.obs, rows.action], axis=-1)
