"""The host side of `envs.gymnasium.inward`: the gymnasium environments, in one pool per batch shape.

It uses NumPy only, because calling JAX in a callback can deadlock. Shapes: see inward.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from prospect_rl.envs.api import Spec, Tree
from prospect_rl.envs.gymnasium import spaces


@dataclass
class Pool:
    """The environments of one batch."""

    envs: list[gymnasium.Env]
    """The B environments of the pool."""
    obs: Tree
    """[B, ...] latest observations."""
    clock: np.ndarray
    """uint32 [B] number of calls so far, which identifies the latest state."""
    time: np.ndarray
    """int [B] steps taken in the current episodes."""


class Host:
    """The simulators behind a `HostEnv`."""

    def __init__(self, make: Callable[[], gymnasium.Env], made: list[gymnasium.Env], spec: Spec) -> None:
        self.make, self.spare, self.spec = make, made, spec
        self.obs_space, self.action_space = made[0].observation_space, made[0].action_space
        self.pools: dict[tuple[int, ...], Pool] = {}
        self.warned = False

    def reset(self, needed: Any, seeds: Any) -> tuple[Tree, np.ndarray]:
        """Reset where `needed` [*batch] is True, with seeds uint32 [*batch], and return (obs, clock)."""
        needed, seeds = np.asarray(needed), np.asarray(seeds).ravel()
        pool = self._pool(needed.shape)
        for i in np.flatnonzero(needed).tolist():
            obs, _ = pool.envs[i].reset(seed=int(seeds[i]))
            spaces.store(self.obs_space, pool.obs, i, obs, self.spec.id)
            pool.clock[i] += 1
            pool.time[i] = 0
        return self._shaped(pool.obs, needed.shape), pool.clock.reshape(needed.shape).copy()

    def step(self, live: Any, clock: Any, obs: Tree, action: Any) -> tuple[Tree, np.ndarray, dict[str, np.ndarray]]:
        """Step and return (obs, clock, {reward, terminated, truncated, success}), each [*batch, ...].

        Results are undefined where `live` is False. `obs` are the last observations, with which an interrupted episode
        ends.
        """
        live, clock, action = np.asarray(live), np.asarray(clock), np.asarray(action)
        given: dict[str, np.ndarray] = {"reward": np.zeros(live.size, np.float32)}
        given |= {name: np.zeros(live.size, bool) for name in ("terminated", "truncated", "success")}
        if live.shape not in self.pools:
            self._warn()
            given["truncated"][:] = True
            return obs, clock, self._shaped(given, live.shape)
        pool = self.pools[live.shape]
        if np.any((pool.clock != clock.ravel()) & live.ravel()):
            raise ValueError(
                f"{self.spec.id} has hidden state, and a step was requested from a state that is not its latest: "
                "it cannot be branched from, nor shared by two runs; make another with envs.from_gymnasium"
            )
        actions = action.reshape(live.size, *action.shape[live.ndim :])
        for i in np.flatnonzero(live).tolist():
            self._step_one(pool, i, actions[i], given)
        return (
            self._shaped(pool.obs, live.shape),
            pool.clock.reshape(live.shape).copy(),
            self._shaped(given, live.shape),
        )

    def _step_one(self, pool: Pool, i: int, action: np.ndarray, given: dict[str, np.ndarray]) -> None:
        obs, reward, terminated, truncated, info = pool.envs[i].step(
            spaces.inward_action(self.action_space, action, self.spec.id)
        )
        spaces.store(self.obs_space, pool.obs, i, obs, self.spec.id)
        pool.clock[i] += 1
        pool.time[i] += 1
        given["reward"][i], given["terminated"][i] = reward, terminated
        given["truncated"][i] = (truncated or pool.time[i] >= self.spec.horizon) and not terminated
        given["success"][i] = info.get("success", info.get("is_success", False))

    def _warn(self) -> None:
        if not self.warned:
            self.warned = True
            warnings.warn(
                f"{self.spec.id} has hidden state, so that a resumed run cannot continue its open episodes: they are "
                "truncated, and the run will differ from one that was never interrupted",
                stacklevel=2,
            )

    def _pool(self, shape: tuple[int, ...]) -> Pool:
        if shape not in self.pools:
            size = int(np.prod(shape, dtype=int))
            made = [self.spare.pop() if self.spare else self.make() for _ in range(size)]
            obs = spaces.empty(self.spec.obs, size)
            self.pools[shape] = Pool(made, obs, np.zeros(size, np.uint32), np.zeros(size, int))
        return self.pools[shape]

    def _shaped(self, flat: Tree, shape: tuple[int, ...]) -> Tree:
        """Copy a tree of arrays [B, ...] to the shape [*batch, ...]."""
        if isinstance(flat, dict):
            return {name: self._shaped(x, shape) for name, x in flat.items()}
        return flat.reshape(shape + flat.shape[1:]).copy()

    def close(self) -> None:
        """Close every environment; the next call makes new ones."""
        for env in [*self.spare, *(env for pool in self.pools.values() for env in pool.envs)]:
            env.close()
        self.spare, self.pools = [], {}
