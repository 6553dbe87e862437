"""Demonstrations: datasets from scripted policies (oracles), which know the rules and read the state.

    dataset = datasets.make("minigrid/DoorKey-8x8-v0/oracle", random=0.5)

Shapes: M rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl import envs
from prospect_rl.envs.api import Array, Dataset, Dict, Env, Key, Tree
from prospect_rl.envs.memory import oracles
from prospect_rl.envs.memory.tmaze import TMaze
from prospect_rl.envs.minigrid import controller
from prospect_rl.envs.minigrid.env import MiniGrid
from prospect_rl.envs.rollout.kernel import Stream, advance, first_inputs
from prospect_rl.envs.rollout.keys import DEMONSTRATIONS, Keys

Policy = Callable[[Tree, Key], Array]

CHUNK_BYTES = 64 << 20
"""Size of the batches in which episodes are generated (bytes)."""
ORACLES: dict[type, Callable[[Any, Any, Key], Array]] = oracles.ORACLES | {MiniGrid: controller.act}
"""Class of environment -> its oracle, (env, state, key) -> action."""


def oracle(env: Env) -> Policy:
    """Return the oracle of an environment.

    Args:
        env: The environment.

    Returns:
        A pure function (state, key) -> action for ONE episode.

    Raises:
        ValueError: If the environment has no oracle.
    """
    for cls in type(env).__mro__:
        if cls in ORACLES:
            return partial(ORACLES[cls], env)
    raise ValueError(f"{env.spec.id} has no oracle; there is one for {', '.join(sorted(c.__name__ for c in ORACLES))}")


@dataclass(frozen=True)
class Demonstrations:
    """Recipe for a dataset of an oracle's episodes, reproducible bit for bit from these fields.

    In T-Maze the side of the goal alternates between episodes, so that both sides are equally frequent.
    Raises ValueError for an environment without an oracle and for fields out of range.
    """

    env: str
    """Registered id of the environment."""
    env_fields: tuple[tuple[str, Any], ...] = ()
    """Values for fields of the environment, as (name, value) pairs."""
    episodes: int = 2000
    """Number of episodes to generate."""
    noise: float = 0.0
    """Share of the actions (0 to 1) that are replaced by uniform ones; the data contains the replaced actions."""
    random: float = 0.0
    """Share of the episodes (0 to 1, the first ones) whose actions are all drawn uniformly."""
    seed: int = 0
    """Random seed of the whole dataset."""
    successes_only: bool = False
    """Whether to leave out episodes that end without success."""
    successors: bool = False
    """Whether to store `next_obs` too. It doubles the memory; only the last rows of episodes add information."""

    def __post_init__(self) -> None:
        if self.episodes < 1 or not 0 <= self.noise <= 1 or not 0 <= self.random <= 1:
            raise ValueError(
                f"episodes must be at least 1, noise and random 0 to 1, "
                f"not {self.episodes}, {self.noise} and {self.random}"
            )

    def build(self) -> Dataset:
        """Generate the episodes: obs, action, reward, terminated, truncated and, with `successors`, next_obs."""
        env = envs.make(self.env, **dict(self.env_fields))
        size = sum(np.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(jax.eval_shape(self._play(env), 0)))
        chunk = int(min(self.episodes, max(1, CHUNK_BYTES // size)))
        play, parts, lengths = jax.jit(lambda env, numbers: jax.vmap(self._play(env))(numbers)), [], []
        for first in range(0, self.episodes, chunk):
            rows = jax.tree.map(np.asarray, play(env, np.arange(first, first + chunk, dtype=np.int32)))
            wanted = np.arange(first, first + chunk) < self.episodes
            if self.successes_only:
                wanted &= (rows["success"] & rows["live"]).any(axis=1)
            live = rows.pop("live") & wanted[:, None]
            rows.pop("success")
            lengths.append(live.sum(axis=1)[wanted])
            parts.append(jax.tree.map(lambda x, live=live: x[live], rows))
        firsts = np.cumsum(count := np.concatenate(lengths)) - count
        if not len(firsts):
            raise ValueError(f"{self.env}: none of the {self.episodes} episodes ended with success")
        rows = jax.tree.map(lambda *xs: jnp.asarray(np.concatenate(xs)), *parts)
        return Dataset(rows=rows, firsts=jnp.asarray(firsts, jnp.int32))

    def _play(self, env: Env) -> Callable[[Array], dict[str, Array]]:
        """Return a function from an episode's number [] to its rows, leading [horizon], with `live` and `success`."""
        policy, space = oracle(env), env.spec.action
        assert not isinstance(space, Dict)
        keys = Keys(jax.random.key(self.seed), DEMONSTRATIONS)

        def start(number: Array) -> Stream:
            if isinstance(env, TMaze):
                state, obs = env.reset_side(1 - 2 * (number % 2), keys.reset(number))
            else:
                state, obs = env.reset(keys.reset(number))
            return Stream(state, (), first_inputs(env.spec, obs))

        def episode(number: Array) -> dict[str, Array]:
            noise = jnp.where(number < round(self.random * self.episodes), 1.0, self.noise)

            def act(stream: Stream, key: Key) -> tuple[Array, Tree, Tree]:
                k_act, _, k_coin, k_sample = jax.random.split(key, 4)  # the second one is that of the env's step
                action = policy(stream.state, k_act)
                if self.noise or self.random:
                    action = jnp.where(jax.random.uniform(k_coin) < noise, space.sample(k_sample), action)
                return action, (), ()

            def body(carry: tuple[Stream, Array], t: Array) -> tuple[tuple[Stream, Array], dict[str, Array]]:
                stream, live = carry
                stream, step = advance(env, act, stream, keys.act(number, t), keys.step(number, t))
                row = {
                    "obs": step.inputs.obs, "action": step.action, "reward": step.reward,
                    "terminated": step.terminated, "truncated": step.truncated, "success": step.info["success"],
                    "live": live,
                } | ({"next_obs": step.next_obs} if self.successors else {})  # fmt: skip
                return (stream, live & ~(step.terminated | step.truncated)), row

            return jax.lax.scan(body, (start(number), jnp.ones((), bool)), jnp.arange(env.spec.horizon))[1]

        return episode
