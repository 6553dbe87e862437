"""What the memory tasks on a table share: a point that native MuJoCo moves, and facts that are not always shown.

Shapes: W words of a row, q positions, v velocities, o of an observation, G geoms of the visual_geoms.
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
"""The point's speed under an action of 1 (m/s); it takes it with a time constant of 0.05 s."""
STATIC = 0.2
"""Nearly static: no joint is faster (m/s)."""
REACH = 0.3
"""Positions are observed in this unit (m), velocities in `SPEED`."""
SUBSTEPS = 4
"""Of 0.005 s: a step lasts 0.02 s."""
START_NOISE = 0.01
"""The point starts within this of the middle, along each axis (m)."""
UNDER = -1.0
"""Height of what is not shown (m): under the table."""


@struct.dataclass
class TableState:
    """A simulation, and what its task knows beside it."""

    row: Array
    """[W] uint32: see `envs.native.physics`."""
    read: Array
    """[q + v] float32 positions (m) and velocities (m/s), the point's x and y first in each."""
    time: Array
    """[] int32 steps so far."""
    facts: Tree
    """The task's own: where things belong, what has been done."""

    @property
    def tip(self) -> Array:
        """Where the point is [2] (m)."""
        return self.read[:2]


@struct.dataclass
class Tabletop(Env):
    """Base of the tasks. Actions float32 [2]: the point's velocity, 1 for `SPEED`.

    Success ends the episode and pays 1; all else pays 0. Nothing is random but the start. A simulation that breaks
    down is truncated without reward, and info["failed"] says so.
    """

    file: ClassVar[str]
    horizon: ClassVar[int]

    @property
    def id(self) -> str:
        """The registered name."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Numbers of an observation."""
        raise NotImplementedError

    def draw(self, key: Key) -> tuple[Array, Tree]:
        """(what is added to the model's first positions [q], the facts) of an episode."""
        raise NotImplementedError

    def evaluate(self, state: TableState) -> tuple[Tree, Array]:
        """(facts, success []) after a step that led to `state`, which has the facts from before it."""
        raise NotImplementedError

    def observe(self, state: TableState) -> Array:
        """The observation [o]."""
        raise NotImplementedError

    def visual_geoms(self, state: TableState) -> Array:
        """Where geoms 1 to G of the model stand in a picture [G, 3] (m)."""
        raise NotImplementedError

    @property
    def physics(self) -> Physics:
        """The simulator, shared by all equal tasks of a process."""
        model: Any = models.load(self.file)
        return models.physics(self.file, SUBSTEPS, (Read("qpos", 0, model.nq), Read("qvel", 0, model.nv)), False)

    @property
    def spec(self) -> Spec:
        """Static facts."""
        return Spec(
            id=self.id, obs=Box((self.size,)), action=Box((2,), -1.0, 1.0), horizon=self.horizon,
            info=("success", "failed"),
        )  # fmt: skip

    def reset(self, key: Key) -> tuple[TableState, Array]:
        """Draws the facts and where things are; all is at rest."""
        return self.reset_if(jnp.ones((), bool), key)

    def step(self, state: TableState, action: Array, key: Key) -> tuple[TableState, Step]:
        """Four substeps of MuJoCo under one action."""
        return self.step_if(jnp.ones((), bool), state, action, key)

    def reset_if(self, needed: Array, key: Key) -> tuple[TableState, Array]:
        """`reset` where `needed` [], else without a simulation."""
        k_tip, k_draw = jax.random.split(key)
        qpos, facts = self.draw(k_draw)
        qpos = qpos.at[:2].add(jax.random.uniform(k_tip, (2,), jnp.float32, -START_NOISE, START_NOISE))
        row, read = self.physics.reset(qpos, jnp.zeros(self.physics.model.nv), needed)
        state = TableState(row, read, jnp.int32(0), facts)
        return state, self.observe(state)

    def step_if(self, live: Array, state: TableState, action: Array, key: Key) -> tuple[TableState, Step]:
        """`step` where `live` []; elsewhere the simulation stays as it is, at no cost. Raises ValueError."""
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
        """MuJoCo's words on the last simulation that broke down."""
        return failure()

    def frame(self, state: TableState) -> Array:
        """The table from above, uint8 [240, 320, 3], by MuJoCo's renderer; NotImplementedError where it has none."""
        from prospect_rl.envs.mujoco import picture

        return picture.draw(self, state.row, self.visual_geoms(state))
