"""The base class of the memory tasks on a table: a point in native MuJoCo, and facts that are not always shown.

Shapes: W words of a row, q positions, v velocities, o numbers of an observation, G visual geoms.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Box, Env, Key, Spec, Step, Tree
from prospect_rl.envs.mujoco import models
from prospect_rl.envs.native import Physics, Read, failure

SPEED = 0.5
"""Speed of the point for an action of 1 (m/s); it is approached with a time constant of 0.05 s."""
STATIC = 0.2
"""Largest joint velocity that counts as nearly static (m/s)."""
REACH = 0.3
"""Unit of observed positions (m); the unit of observed velocities is `SPEED`."""
SUBSTEPS = 4
"""MuJoCo steps of 0.005 s per environment step of 0.02 s."""
START_NOISE = 0.01
"""Largest offset of the point's start from the centre along each axis (m)."""
UNDER = -1.0
"""Height (m) of geoms that are not shown, below the table."""


@struct.dataclass
class TableState:
    """The state of an episode: the simulation and the task's own part."""

    row: Array
    """[W] uint32 state of the simulation, see `envs.native.physics`."""
    read: Array
    """[q + v] float32 positions (m) and velocities (m/s); the point's x and y come first in each."""
    time: Array
    """[] int32 steps taken so far."""
    facts: Tree
    """The task's own part: positions of objects, and what has been achieved."""

    @property
    def tip(self) -> Array:
        """The position of the point [2] (m)."""
        return self.read[:2]


@struct.dataclass
class Tabletop(Env):
    """Base class of the tasks on a table. Action [2] in [-1, 1]: the point's velocity, 1 for `SPEED`.

    Success terminates the episode and pays 1; every other step pays 0. Only the start is random. If the simulation
    fails, the episode is truncated without reward and info["failed"] is True.
    """

    file: ClassVar[str]
    """File name of the MuJoCo model."""
    horizon: ClassVar[int]
    """Maximum length of an episode in steps."""

    @property
    def id(self) -> str:
        """The registered id of the task."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """The length of an observation."""
        raise NotImplementedError

    def draw(self, key: Key) -> tuple[Array, Tree]:
        """Draw what is added to the model's initial positions [q], and the facts of an episode."""
        raise NotImplementedError

    def evaluate(self, state: TableState) -> tuple[Tree, Array]:
        """Return (facts, success []) after a step that led to `state`, which still has the facts from before it."""
        raise NotImplementedError

    def observe(self, state: TableState) -> Array:
        """Return the observation [o]."""
        raise NotImplementedError

    def visual_geoms(self, state: TableState) -> Array:
        """Return the rendered positions of the model's geoms 1 to G, [G, 3] (m)."""
        raise NotImplementedError

    @property
    def physics(self) -> Physics:
        """The simulator, shared by all equal tasks of the process."""
        model: Any = models.load(self.file)
        return models.physics(self.file, SUBSTEPS, (Read("qpos", 0, model.nq), Read("qvel", 0, model.nv)), False)

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return Spec(
            id=self.id, obs=Box((self.size,)), action=Box((2,), -1.0, 1.0), horizon=self.horizon,
            info=("success", "failed"),
        )  # fmt: skip

    def reset(self, key: Key) -> tuple[TableState, Array]:
        """Draw the facts and the positions; everything is at rest."""
        return self.reset_if(jnp.ones((), bool), key)

    def step(self, state: TableState, action: Array, key: Key) -> tuple[TableState, Step]:
        """Advance the simulation by four MuJoCo steps under one action."""
        return self.step_if(jnp.ones((), bool), state, action, key)

    def reset_if(self, needed: Array, key: Key) -> tuple[TableState, Array]:
        """Do as `reset` where `needed` [] is True; elsewhere do not simulate."""
        k_tip, k_draw = jax.random.split(key)
        qpos, facts = self.draw(k_draw)
        qpos = qpos.at[:2].add(jax.random.uniform(k_tip, (2,), jnp.float32, -START_NOISE, START_NOISE))
        row, read = self.physics.reset(qpos, jnp.zeros(self.physics.model.nv), needed)
        state = TableState(row, read, jnp.int32(0), facts)
        return state, self.observe(state)

    def step_if(self, live: Array, state: TableState, action: Array, key: Key) -> tuple[TableState, Step]:
        """Do as `step` where `live` [] is True; elsewhere keep the simulation unchanged without simulating.

        Raises:
            ValueError: If the action has the wrong shape.
        """
        action = jnp.asarray(action, jnp.float32)
        if action.shape != (2,):
            raise ValueError(f"{self.id}: an action must have shape (2,), not {action.shape}")
        magnet = jnp.ones(self.physics.model.nu - 2)  # always on, where the model has one
        row, read, failed = self.physics.step(state.row, jnp.concatenate([SPEED * action, magnet]), live)
        time = state.time + 1
        facts, success = self.evaluate(TableState(row, read, time, state.facts))
        state, success = TableState(row, read, time, facts), success & ~failed
        return state, Step(
            obs=self.observe(state), reward=success.astype(jnp.float32), terminated=success,
            truncated=(failed | (time >= self.horizon)) & ~success,
            info={"success": success, "failed": failed},
        )  # fmt: skip

    def failure(self) -> str:
        """Return MuJoCo's message about the last failed simulation."""
        return failure()

    def frame(self, state: TableState) -> Array:
        """Render the table from above, uint8 [240, 320, 3]; raise NotImplementedError if there is no renderer."""
        from prospect_rl.envs.mujoco import picture

        return picture.draw(self, state.row, self.visual_geoms(state))
