"""Prospect's environments as `gymnasium.Env` and `gymnasium.vector.VectorEnv`.

Programs are compiled once for all adapters of an environment, and a vector environment is one `vmap`. An episode is
determined by a seed drawn from `np_random`, so that a vector of N environments and N single ones with the same seeds
have the same episodes (up to rounding: XLA may order sums differently in a batch).

Shapes: N environments. Actions are clipped to their bounds. Time limits are the environment's own (`spec.horizon`).
"""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from prospect_rl.envs.api import Env, Step, Tree
from prospect_rl.envs.gymnasium import spaces
from prospect_rl.envs.gymnasium.names import horizon_of
from prospect_rl.envs.gymnasium.programs import advance, advance_all, begin, begin_all, begin_some, draw, split
from prospect_rl.envs.register import ENVS, make

FPS = 30
"""Frames per second of a video of an environment without simulated time."""

# --- what both adapters share ------------------------------------------------------------------------


def build(env: str | Env, fields: dict[str, Any]) -> Env:
    """Make a registered environment, or return an object unchanged; raise ValueError for fields of an object."""
    if isinstance(env, str):
        return make(env, **fields)
    if fields:
        raise ValueError(f"{env.spec.id}: fields can be given only with a registered id ({', '.join(fields)})")
    return env


def metadata_of(env: Env, render_mode: str | None) -> dict[str, Any]:
    """Return the metadata of an adapter; raise ValueError for an unsupported render mode."""
    modes, why = ["rgb_array"], ""
    try:
        jax.eval_shape(env.frame, jax.eval_shape(env.reset, jax.random.key(0))[0])
    except NotImplementedError as error:
        modes, why = [], f": {error}"
    if render_mode is not None and render_mode not in modes:
        choice = " or ".join([*modes, "None"])
        raise ValueError(f"{env.spec.id}: render_mode must be {choice}, not {render_mode!r}{why}")
    return {"render_modes": modes, "render_fps": fps(env)}


def fps(env: Env) -> int:
    """Return the frames per second: steps per second of simulated time, or FPS if there is none."""
    physics = getattr(env, "physics", None)
    return FPS if physics is None else round(1 / (physics.model.opt.timestep * physics.substeps))


def cut_short(env: Env, limit: int | None) -> str | None:
    """Return a one-line warning if gymnasium would truncate at the default horizon though fields give a longer one."""
    name, horizon = env.spec.id, env.spec.horizon
    if name not in ENVS or not horizon > horizon_of(name) == limit:
        return None
    return (
        f"{name}: gymnasium truncates its episodes after {limit} steps unless max_episode_steps is given, but these "
        f"fields set a horizon of {horizon}: give max_episode_steps={horizon}, or use "
        f"envs.gymnasium.GymEnv({name!r}, ...) or GymVectorEnv"
    )


def episode_seed(generator: np.random.Generator) -> np.uint32:
    """Draw the seed of an episode."""
    return generator.integers(2**32, dtype=np.uint32)


# --- one environment ---------------------------------------------------------------------------------


class GymEnv(gymnasium.Env):
    """One environment. The `info` of a step has the names in `spec.info`; that of a reset is empty.

    Raises ValueError for an unknown id or field, an unsupported render mode and invalid actions, and
    `gymnasium.error.ResetNeeded` for a step before the first reset or after the end of an episode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}

    def __init__(self, env: str | Env, *, render_mode: str | None = None, **fields: Any) -> None:
        """Make the adapter of `env`, a registered id (with values for its fields) or an environment object."""
        self.env = build(env, fields)
        self.metadata, self.render_mode = metadata_of(self.env, render_mode), render_mode
        self.observation_space = spaces.outward(self.env.spec.obs)
        self.action_space = spaces.outward(self.env.spec.action)
        self._program = split(self.env)
        self._state: Tree = None
        self._seed, self._time, self._over = np.uint32(0), 0, True
        self._spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """The spec with which gymnasium made the environment."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None and spec.id in gymnasium.registry:
            # this spec lacks the time limit, so we cannot see whether gymnasium.make was given another one
            if line := cut_short(self.env, gymnasium.registry[spec.id].max_episode_steps):
                warnings.warn(line, stacklevel=2)
        self._spec = spec

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode and return (obs, info); `options` are not used."""
        super().reset(seed=seed)
        self._seed, self._time, self._over = episode_seed(self.np_random), 0, False
        self._state, obs = begin(*self._program, self._seed)
        return spaces.outward_obs(self.env.spec.obs, obs), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make a step and return (obs, reward, terminated, truncated, info)."""
        if self._over:
            raise ResetNeeded(f"{self.env.spec.id}: no episode is running, call reset before step")
        action = spaces.outward_action(self.env.spec.action, action, self.env.spec.id, np.ones((), bool))
        self._time += 1
        self._state, step = advance(*self._program, self._state, action, self._seed, np.int32(self._time))
        step = jax.device_get(step)
        terminated, truncated = bool(step.terminated), bool(step.truncated)
        self._over = terminated or truncated
        info = {name: _entry(np.array(value)) for name, value in step.info.items()}
        return spaces.outward_obs(self.env.spec.obs, step.obs), float(step.reward), terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """Draw the state, uint8 [height, width, 3]; without a render mode, warn and return None."""
        if self.render_mode is None:
            return gymnasium.logger.warn(f"{self.env.spec.id}: make the environment with a render_mode to render it")
        if self._state is None:
            raise ResetNeeded(f"{self.env.spec.id}: call reset before render")
        return np.array(draw(*self._program, self._state))


def _entry(value: np.ndarray) -> Any:
    """Convert one value of an info; a value without axes becomes a bool or a number, as vector environments expect."""
    if value.shape == ():
        return bool(value) if value.dtype == bool else value[()]
    return value


# --- many environments -------------------------------------------------------------------------------


class GymVectorEnv(VectorEnv):
    """N environments stepped by one program, with the semantics of `gymnasium.vector.SyncVectorEnv`.

    `autoreset_mode` selects how environments whose episode has ended are reset:
        NextStep (default)  the next `step` resets them and ignores their action: reward 0, no info
        SameStep            the same `step` resets them; their last obs and info are `final_obs` and `final_info`
        Disabled            `reset(options={"reset_mask": rows})` resets them; a `step` before that raises ResetNeeded
    """

    def __init__(
        self,
        env: str | Env,
        num_envs: int = 1,
        *,
        render_mode: str | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        **fields: Any,
    ) -> None:
        """Make the adapter of N = `num_envs` environments.

        Args:
            env: A registered id (with values for its fields), or an environment object.
            num_envs: Number of environments.
            render_mode: "rgb_array" or None.
            autoreset_mode: See the class.
            max_episode_steps: A shorter time limit in steps; by default the environment's own.
            **fields: Values for fields of the environment.

        Raises ValueError for an unknown id or field, an unsupported render mode, or a count below 1.
        """
        for name, count in [("num_envs", num_envs), ("max_episode_steps", max_episode_steps)]:
            if count is not None and count < 1:
                raise ValueError(f"{name} must be at least 1, not {count}")
        self.env, self.num_envs, self.autoreset_mode = build(env, fields), num_envs, AutoresetMode(autoreset_mode)
        if line := cut_short(self.env, max_episode_steps):
            raise ValueError(line)
        self._limit = self.env.spec.horizon if max_episode_steps is None else max_episode_steps
        self.render_mode = render_mode
        self.metadata = {**metadata_of(self.env, render_mode), "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = spaces.outward(self.env.spec.obs)
        self.single_action_space = spaces.outward(self.env.spec.action)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._program = split(self.env)
        self._state: Tree = None
        self._obs: Tree = None
        self._generators = [np.random.default_rng() for _ in range(num_envs)]
        self._seeds, self._time = np.zeros(num_envs, np.uint32), np.zeros(num_envs, np.int32)
        self._over = np.ones(num_envs, bool)

    def reset(  # type: ignore[override]
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start episodes and return (obs, info).

        Args:
            seed: Environment i is seeded with `seed` + i, or with entry i of a list.
            options: `reset_mask`, bool [N], selects the environments to reset (default: all).
        """
        rows = np.ones(self.num_envs, bool) if options is None else options.get("reset_mask")
        rows = np.ones(self.num_envs, bool) if rows is None else np.asarray(rows)
        if rows.shape != (self.num_envs,) or rows.dtype != bool or not rows.any():
            raise ValueError(f"reset_mask must be {self.num_envs} booleans with a True among them, not {rows.tolist()}")
        if self._state is None and not rows.all():
            raise ResetNeeded(f"{self.env.spec.id}: the first reset must be of all environments")
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise ValueError(f"there must be one seed for each of the {self.num_envs} environments, not {len(seeds)}")
        for i, own in enumerate(seeds or []):
            if own is not None and rows[i]:
                self._generators[i] = np_random(int(own))[0]
        self._restart(rows)
        return spaces.outward_obs(self.env.spec.obs, self._obs), {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Make a step and return (obs, reward float64 [N], terminated bool [N], truncated bool [N], info)."""
        ended = self._over.copy()
        if self._state is None or (ended.any() and self.autoreset_mode is not AutoresetMode.NEXT_STEP):
            raise ResetNeeded(f"{self.env.spec.id}: environments {np.flatnonzero(ended).tolist()} must be reset first")
        live = ~ended
        actions = spaces.outward_action(self.env.spec.action, actions, self.env.spec.id, live)
        self._time += 1
        state, step = advance_all(*self._program, live, self._state, actions, self._seeds, self._time)
        self._state, self._obs, step = state, step.obs, jax.device_get(step)
        reward = np.where(live, step.reward, 0).astype(np.float64)
        terminated = step.terminated & live
        truncated = (step.truncated | (self._time >= self._limit)) & live & ~terminated
        self._over, infos = terminated | truncated, {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._over.any():
            infos, live = self._finals(step, self._over), live & ~self._over
            self._restart(self._over)
        elif ended.any():
            self._restart(ended)
        infos |= _collect(step.info, live)
        return spaces.outward_obs(self.env.spec.obs, self._obs), reward, terminated, truncated, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """Draw each state, uint8 [height, width, 3]; without a render mode, warn and return None."""
        if self.render_mode is None:
            return gymnasium.logger.warn(f"{self.env.spec.id}: make the environment with a render_mode to render it")
        if self._state is None:
            raise ResetNeeded(f"{self.env.spec.id}: call reset before render")
        row = lambda i: jax.tree.map(lambda x: x[i], self._state)  # noqa: E731
        return tuple(np.array(draw(*self._program, row(i))) for i in range(self.num_envs))

    def _restart(self, rows: np.ndarray) -> None:
        """Start new episodes where `rows` [N] is True."""
        for i in np.flatnonzero(rows):
            self._seeds[i], self._time[i] = episode_seed(self._generators[i]), 0
        if rows.all():
            self._state, self._obs = begin_all(*self._program, self._seeds)
        else:
            self._state, self._obs = begin_some(*self._program, rows, self._state, self._obs, self._seeds)
        self._over = self._over & ~rows

    def _finals(self, step: Step, rows: np.ndarray) -> dict[str, Any]:
        """Return `final_obs` and `final_info` of the environments whose episode ends."""
        final = np.full(self.num_envs, None, object)
        for i in np.flatnonzero(rows):
            final[i] = spaces.outward_obs(self.env.spec.obs, jax.tree.map(lambda x, i=i: x[i], step.obs))
        info = _collect(step.info, rows)
        return {"final_obs": final, "_final_obs": rows.copy(), "final_info": info, "_final_info": rows.copy()}


def _collect(info: dict[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """Return a vector's info: for each name its values [N, ...], zero outside `rows`, and `rows`; {} without rows."""
    if not rows.any():
        return {}
    mask = {name: rows.reshape(rows.shape + (1,) * (value.ndim - 1)) for name, value in info.items()}
    values = {name: np.where(mask[name], value, np.zeros_like(value)) for name, value in info.items()}
    return values | {f"_{name}": rows.copy() for name in info}
