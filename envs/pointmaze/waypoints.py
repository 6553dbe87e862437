"""A controller that follows waypoints through a maze, and the dataset recipe that uses it.

    path     the shortest path to the goal's cell
    target   the next cell's centre + U(0, 0.2)^2; in the goal's cell the goal itself
    action   clip(10 (target - position) - velocity), plus noise when data is generated

Within 0.1 m of its target the controller takes the next one. Source: D4RL's
scripts/generation/generate_maze2d_datasets.py and d4rl/pointmaze/waypoint_controller.py.
Shapes: T steps, N streams, M rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Actor, Array, Dataset, Inputs, Key, Tree
from prospect_rl.envs.fields import bounded, check
from prospect_rl.envs.pointmaze.maze import MazeState, PointMaze, pick
from prospect_rl.envs.rollout.kernel import Stream, advance, first_inputs, select
from prospect_rl.envs.rollout.keys import WAYPOINTS, Keys

GAIN = 10.0
"""Gain of the controller on the distance to its target."""
SPREAD = 0.2
"""Largest random offset of a waypoint from a cell's centre along each axis (m)."""
NEAR = 0.1
"""A waypoint or goal counts as reached within this distance (m)."""
CHUNK = 500
"""Steps per compiled call."""


@struct.dataclass
class Route:
    """The current goal and waypoint of one walker."""

    goal: Array
    """[2] float32 position of the goal (m)."""
    end: Array
    """[] int32 number of the goal's cell."""
    cell: Array
    """[] int32 number of the waypoint's cell."""
    target: Array
    """[2] float32 position of the waypoint (m)."""


@dataclass(frozen=True)
class Walker(Actor):
    """A noise-free controller that goes to the goal of an episode and stays; an actor for `envs.rollout.episodes`."""

    env: PointMaze

    def memory(self, behaviour: Tree, key: Key) -> Route:
        """Return an empty plan; `act` plans at the first step."""
        return Route(jnp.zeros(2), jnp.int32(0), jnp.int32(0), jnp.zeros(2))

    def act(self, behaviour: Tree, memory: Route, inputs: Inputs, key: Key) -> tuple[Array, Route, Tree]:
        """Plan at the first step, then follow the waypoints; only the waypoints' offsets are random."""
        obs = inputs.obs
        goal = obs[4:] if self.env.rules.goal is not None else jnp.asarray(self.env.goal)
        uniform = jax.random.uniform(key, (2,))
        route = select(inputs.first, self.plan(obs[:2], goal, uniform), self.advance(memory, obs[:2], uniform))
        return self.steer(route, obs), route, ()

    def plan(self, position: Array, goal: Array, uniform: Array) -> Route:
        """Plan the path from a position to a goal, each [2] (m); `uniform` [2] of U(0, 1) is the first offset."""
        end = self.env.layout.number(goal).astype(jnp.int32)
        return self._turn(goal, end, self.env.layout.number(position), uniform)

    def advance(self, route: Route, position: Array, uniform: Array) -> Route:
        """Move on to the next waypoint if the current one has been reached."""
        near = (jnp.linalg.norm(position - route.target) < NEAR) & (route.cell != route.end)
        return select(near, self._turn(route.goal, route.end, route.cell, uniform), route)

    def steer(self, route: Route, obs: Array) -> Array:
        """Return the action [2] for an observation."""
        return jnp.clip(GAIN * (route.target - obs[:2]) - obs[2:4], -1.0, 1.0)

    def _turn(self, goal: Array, end: Array, here: Array, uniform: Array) -> Route:
        layout = self.env.layout
        cell = jnp.asarray(layout.next_cells)[end, here]
        waypoint = jnp.asarray(layout.centres(layout.cells))[cell] + SPREAD * uniform
        return Route(goal, end, cell, jnp.where(cell == end, goal, waypoint))


@dataclass(frozen=True)
class Waypoints:
    """Recipe for data like D4RL's maze2d: walkers that get a new goal whenever they have reached one.

    Rows are stored stream by stream. A trajectory ends (`truncated`) when its goal has been reached, and at the end of
    a stream; nothing terminates. In maze2d the rewards are for the environment's fixed goal, in pointmaze for the
    walker's current goal. Raises ValueError for fields out of range.
    """

    maze: Literal["umaze", "medium", "large"] = "umaze"
    """Maze to walk in: umaze, medium or large."""
    family: Literal["maze2d", "pointmaze"] = "maze2d"
    """Family of environments of the maze: maze2d or pointmaze."""
    rows: int = bounded(1_000_000, least=1)
    """Number of rows (steps) to generate, before `share` selects some."""
    noise: float = bounded(0.5, least=0)
    """Standard deviation of the Gaussian noise added to each action before clipping."""
    seed: int = 0
    """Random seed of everything except the selection by `share`."""
    streams: int = bounded(250, least=1)
    """Number of walkers that run in parallel."""
    share: float = bounded(1.0, above=0, most=1)
    """Share of the rows to keep (0 to 1), as randomly drawn whole trajectories."""
    subset_seed: int = 0
    """Random seed of the selection by `share`."""
    stratified: bool = True
    """Whether to apply `share` separately to trajectories whose last row pays (keeping at least one) and to others."""
    reward_of: Literal["next", "this"] = "next"
    """Position that decides the reward: where a step ends (next, as in the environment) or begins (this, as D4RL)."""

    def __post_init__(self) -> None:
        check(self)
        if self.streams > self.rows:
            raise ValueError(f"streams must be at most the number of rows ({self.rows}), not {self.streams}")

    def build(self) -> Dataset:
        """Generate the data, with rows obs, action, reward, terminated, truncated and next_obs."""
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
        """Simulate all streams and return their rows [N T, ...]."""
        env, numbers = PointMaze(self.family, self.maze), jnp.arange(self.streams)
        keys, parts, chunk = Keys(jax.random.key(self.seed), WAYPOINTS), [], min(CHUNK, steps)

        @partial(jax.jit, donate_argnums=0)
        def walk(streams: Stream, begin: Array) -> tuple[Stream, dict[str, Array]]:
            def one(streams: Stream, t: Array) -> tuple[Stream, dict[str, Array]]:
                return jax.vmap(partial(self._step, env, keys), (0, 0, None))(streams, numbers, t)

            return jax.lax.scan(one, streams, begin + jnp.arange(chunk))

        streams = jax.jit(jax.vmap(partial(self._begin, env, keys)))(numbers)
        for begin in range(0, steps, chunk):
            streams, rows = walk(streams, jnp.int32(begin))
            parts.append({name: np.asarray(x) for name, x in rows.items()})
        rows = {}
        for name in list(parts[0]):
            x = np.concatenate([part.pop(name) for part in parts])[:steps].swapaxes(0, 1)  # [N, T, ...]
            rows[name] = np.ascontiguousarray(x).reshape(-1, *x.shape[2:])
        rows["truncated"][steps - 1 :: steps] = True
        return rows

    def _begin(self, env: PointMaze, keys: Keys, number: Array) -> Stream:
        """Reset the environment and draw a goal in another cell."""
        state, _ = env.reset(keys.reset(number))
        return self._going(env, *self._aim(env, state, jax.random.uniform(keys.memory(number), (5,))))

    def _going(self, env: PointMaze, state: MazeState, route: Route) -> Stream:
        """Return the stream on a route; a new goal may be observed."""
        return Stream(state, route, first_inputs(env.spec, env.observe(state)))

    def _aim(self, env: PointMaze, state: MazeState, uniform: Array) -> tuple[MazeState, Route]:
        """Draw a new goal, uniform over all cells except the current one; `uniform` is five numbers of U(0, 1)."""
        positions, position = jnp.asarray(env.layout.positions(env.layout.cells)), state.read[:2]
        elsewhere = jnp.arange(len(positions)) != env.layout.number(position)
        route = Walker(env).plan(position, env.near(positions[pick(elsewhere, uniform[0])], uniform[1:3]), uniform[3:])
        return (state if env.rules.goal is None else replace(state, goal=route.goal)), route

    def _step(
        self, env: PointMaze, keys: Keys, stream: Stream, number: Array, t: Array
    ) -> tuple[Stream, dict[str, Array]]:
        """Make step t of one walker and return its row."""
        walker, before = Walker(env), env.pays(stream.state.read[:2], stream.state.goal).astype(jnp.float32)

        def act(stream: Stream, key: Key) -> tuple[Array, Route, Array]:
            k_noise, k_uniform = jax.random.split(key)
            noise, uniform = self.noise * jax.random.normal(k_noise, (2,)), jax.random.uniform(k_uniform, (5,))
            return jnp.clip(walker.steer(stream.memory, stream.inputs.obs) + noise, -1.0, 1.0), stream.memory, uniform

        stream, step = advance(env, act, stream, keys.act(number, t), keys.step(number, t))
        new, route, uniform = stream.state, stream.memory, step.extras
        arrived = jnp.linalg.norm(new.read[:2] - route.goal) < NEAR
        row = {
            "obs": step.inputs.obs, "action": step.action,
            "reward": step.reward if self.reward_of == "next" else before,
            "terminated": step.terminated, "truncated": arrived, "next_obs": step.next_obs,
        }  # fmt: skip
        going = (new, walker.advance(route, new.read[:2], uniform[3:]))
        return self._going(env, *select(arrived, self._aim(env, new, uniform), going)), row

    def _choose(self, lengths: np.ndarray, pays: np.ndarray) -> np.ndarray:
        """Return which trajectories are kept, bool [trajectories]."""
        kept, generator = np.zeros(len(lengths), bool), np.random.default_rng(self.subset_seed)
        for group in (pays, ~pays) if self.stratified else (np.ones_like(pays),):
            order = generator.permutation(np.flatnonzero(group))
            before = np.cumsum(lengths[order]) - lengths[order]
            kept[order[before < self.share * lengths[order].sum()]] = True
        return kept
