"""A controller that walks a maze from cell to cell, and the data that it makes on its way to ever new goals.

    way      the shortest path to the goal's cell
    target   the next cell's middle + U(0, 0.2)^2; in the goal's cell the goal itself
    action   clip(10 (target - position) - velocity), plus noise where data is made

Within 0.1 m of its target it goes for the next. Source: D4RL's
scripts/generation/generate_maze2d_datasets.py and d4rl/pointmaze/waypoint_controller.py.
Shapes: T steps, N streams, M rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Dataset, Inputs, Key, Tree
from prospect_rl.envs.fields import bounded, check
from prospect_rl.envs.pointmaze.maze import MazeState, PointMaze, pick
from prospect_rl.envs.rollout import select

GAIN = 10.0
SPREAD = 0.2
"""A waypoint lies so far beyond a cell's middle at most, along each axis (m)."""
NEAR = 0.1
"""A waypoint or goal is reached (m)."""
CHUNK = 500
"""Steps between two visits to the host."""


@struct.dataclass
class Way:
    """Where one walker goes."""

    goal: Array
    """[2] (m)"""
    end: Array
    """[] int32 the goal's cell."""
    cell: Array
    """[] int32 the waypoint's cell."""
    target: Array
    """[2] the waypoint (m)."""


@dataclass(frozen=True)
class Walker:
    """Walks to the goal of an episode and stays there; an actor for `envs.rollout.episodes`, without noise."""

    env: PointMaze

    def memory(self, behaviour: Tree, key: Key) -> Way:
        """No way yet."""
        return Way(jnp.zeros(2), jnp.int32(0), jnp.int32(0), jnp.zeros(2))

    def act(self, behaviour: Tree, memory: Way, inputs: Inputs, key: Key) -> tuple[Array, Way, Tree]:
        """Plans at the first step; nothing else is random."""
        obs = inputs.obs
        goal = obs[4:] if self.env.rules.goal is not None else jnp.asarray(self.env.goal)
        luck = jax.random.uniform(key, (2,))
        way = select(inputs.first, self.plan(obs[:2], goal, luck), self.advance(memory, obs[:2], luck))
        return self.steer(way, obs), way, ()

    def plan(self, position: Array, goal: Array, luck: Array) -> Way:
        """The way from a position to a goal [2] (m); luck: two numbers of U(0, 1), which shift the first waypoint."""
        end = self.env.layout.number(goal).astype(jnp.int32)
        return self._turn(goal, end, self.env.layout.number(position), luck)

    def advance(self, way: Way, position: Array, luck: Array) -> Way:
        """The way with its next waypoint, where this one has been reached."""
        near = (jnp.linalg.norm(position - way.target) < NEAR) & (way.cell != way.end)
        return select(near, self._turn(way.goal, way.end, way.cell, luck), way)

    def steer(self, way: Way, obs: Array) -> Array:
        """The action [2] of an observation."""
        return jnp.clip(GAIN * (way.target - obs[:2]) - obs[2:4], -1.0, 1.0)

    def _turn(self, goal: Array, end: Array, here: Array, luck: Array) -> Way:
        layout = self.env.layout
        cell = jnp.asarray(layout.ways)[end, here]
        waypoint = jnp.asarray(layout.middle(layout.cells))[cell] + SPREAD * luck
        return Way(goal, end, cell, jnp.where(cell == end, goal, waypoint))


@dataclass(frozen=True)
class Waypoints:
    """Streams of a walker that gets a new goal whenever it has reached one: D4RL's maze2d data, made again.

    Rows stand stream after stream; a trajectory ends, `truncated`, where the goal that was walked to has been reached,
    and at a stream's end. Nothing terminates. In maze2d the rewards are those for the environment's fixed goal; in
    pointmaze for the goal that is walked to. Raises ValueError for fields out of range.
    """

    maze: Literal["umaze", "medium", "large"] = "umaze"
    """Maze to walk in: umaze, medium or large."""
    family: Literal["maze2d", "pointmaze"] = "maze2d"
    """Family of environments of the maze: maze2d or pointmaze."""
    rows: int = bounded(1_000_000, least=1)
    """Number of rows, before `share` is taken."""
    noise: float = bounded(0.5, least=0)
    """Standard deviation of the noise that is added to each action, before it is clipped."""
    seed: int = 0
    """Seed of everything that is drawn but the share."""
    streams: int = bounded(250, least=1)
    """Number of walkers side by side."""
    share: float = bounded(1.0, above=0, most=1)
    """Keep whole trajectories, drawn at random, until this share of the rows is reached."""
    subset_seed: int = 0
    """Seed of the draw of the share."""
    stratified: bool = True
    """Cut those whose last row pays and the others to that share each; at least one that pays stays."""
    reward_of: Literal["next", "this"] = "next"
    """next: what the environment pays for the step; this: for the place where it begins, as in D4RL."""

    def __post_init__(self) -> None:
        check(self)
        if self.streams > self.rows:
            raise ValueError(f"streams must be at most the number of rows ({self.rows}), not {self.streams}")

    def build(self) -> Dataset:
        """Walk. Rows: obs, action, reward, terminated, truncated, next_obs."""
        rows = self._walk(-(-self.rows // self.streams))
        rows = {name: x[: self.rows] for name, x in rows.items()}
        rows["truncated"][-1] = True
        lasts = np.flatnonzero(rows["truncated"])
        firsts = np.append(0, lasts[:-1] + 1)
        if self.share < 1:
            kept = self._choose(lasts - firsts + 1, rows["reward"][lasts] > 0)
            number = np.repeat(np.arange(len(firsts)), lasts - firsts + 1)
            rows = {name: x[kept[number]] for name, x in rows.items()}
            firsts = np.append(0, np.flatnonzero(rows["truncated"])[:-1] + 1)
        return Dataset({name: jnp.asarray(x) for name, x in rows.items()}, jnp.asarray(firsts, jnp.int32))

    def _walk(self, steps: int) -> dict[str, np.ndarray]:
        """The rows [N T, ...] of all streams."""
        env = PointMaze(self.family, self.maze)
        key, parts, chunk = jax.random.key(self.seed), [], min(CHUNK, steps)

        @partial(jax.jit, donate_argnums=0)
        def advance(streams: Tree, begin: Array) -> tuple[Tree, dict[str, Array]]:
            def one(streams: Tree, t: Array) -> tuple[Tree, dict[str, Array]]:
                keys = jax.random.split(jax.random.fold_in(key, t + 1), self.streams)
                return jax.vmap(partial(self._step, env))(streams, keys)

            return jax.lax.scan(one, streams, begin + jnp.arange(chunk))

        keys = jax.random.split(jax.random.fold_in(key, 0), self.streams)
        streams = jax.jit(jax.vmap(partial(self._begin, env)))(keys)
        for begin in range(0, steps, chunk):
            streams, rows = advance(streams, jnp.int32(begin))
            parts.append({name: np.asarray(x) for name, x in rows.items()})
        rows = {}
        for name in list(parts[0]):
            x = np.concatenate([part.pop(name) for part in parts])[:steps].swapaxes(0, 1)  # [N, T, ...]
            rows[name] = np.ascontiguousarray(x).reshape(-1, *x.shape[2:])
        rows["truncated"][steps - 1 :: steps] = True
        return rows

    def _begin(self, env: PointMaze, key: Key) -> tuple[MazeState, Way]:
        """A start of the environment, and a goal elsewhere."""
        state, _ = env.reset(key)
        return self._aim(env, state, jax.random.uniform(jax.random.fold_in(key, 1), (5,)))

    def _aim(self, env: PointMaze, state: MazeState, luck: Array) -> tuple[MazeState, Way]:
        """A new goal, uniform over all cells but the one that the point is in; luck: five numbers of U(0, 1)."""
        places, position = jnp.asarray(env.layout.places(env.layout.cells)), state.read[:2]
        elsewhere = jnp.arange(len(places)) != env.layout.number(position)
        way = Walker(env).plan(position, env.near(places[pick(elsewhere, luck[0])], luck[1:3]), luck[3:])
        return (state if env.rules.goal is None else replace(state, goal=way.goal)), way

    def _step(self, env: PointMaze, stream: tuple[MazeState, Way], key: Key) -> tuple[Any, dict[str, Array]]:
        """One step of one walker, and its row."""
        (state, way), walker = stream, Walker(env)
        k_noise, k_luck = jax.random.split(key)
        luck = jax.random.uniform(k_luck, (5,))
        obs = env.observe(state)
        action = jnp.clip(walker.steer(way, obs) + self.noise * jax.random.normal(k_noise, (2,)), -1.0, 1.0)
        new, step = env.step(state, action, key)
        arrived = jnp.linalg.norm(new.read[:2] - way.goal) < NEAR
        before = env.pays(state.read[:2], state.goal).astype(jnp.float32)
        row = {
            "obs": obs, "action": action, "reward": step.reward if self.reward_of == "next" else before,
            "terminated": step.terminated, "truncated": arrived, "next_obs": step.obs,
        }  # fmt: skip
        going = (new, walker.advance(way, new.read[:2], luck[3:]))
        return select(arrived, self._aim(env, new, luck), going), row

    def _choose(self, lengths: np.ndarray, pays: np.ndarray) -> np.ndarray:
        """Which trajectories are kept, bool [trajectories]."""
        kept, luck = np.zeros(len(lengths), bool), np.random.default_rng(self.subset_seed)
        for group in (pays, ~pays) if self.stratified else (np.ones_like(pays),):
            order = luck.permutation(np.flatnonzero(group))
            before = np.cumsum(lengths[order]) - lengths[order]
            kept[order[before < self.share * lengths[order].sum()]] = True
        return kept
