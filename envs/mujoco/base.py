"""The base class of all MuJoCo tasks: one native simulation step per environment step.

A task declares which numbers it reads from the simulation (`reads`). Its observation, reward and termination are
functions of these numbers only, which the native call computes in float64 and rounds once to float32.

Shapes: W 32-bit words of a row (a simulation state), S numbers that a task remembers, o numbers of an observation,
u controls, q positions, v velocities.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, Box, Env, Key, Spec, Step, static
from prospect_rl.envs.mujoco import models
from prospect_rl.envs.native import Physics, Read, failure
from prospect_rl.envs.terminations import never

Reads = dict[str, Array]
"""The numbers read from the simulation, by name, each float32 [count]."""


@struct.dataclass
class State:
    """The state of an episode: the simulation and the task's own part."""

    row: Array
    """[W] uint32 state of the simulation, see `envs.native.physics`."""
    time: Array
    """[] int32 steps taken so far."""
    memory: Array
    """[S] float32 numbers that the task remembers from the last step; usually none."""


@struct.dataclass
class Simulation(Env):
    """Base class of the MuJoCo tasks. A subclass defines `file`, `reads`, `start` and `evaluate`.

    A simulation that fails (NaN actions, diverging velocities) does not stop the others: its episode is truncated,
    that step pays 0, and info["failed"] is True; `envs.native.failure` returns MuJoCo's message.
    """

    id: str = static("")
    """The registered id of the task."""
    horizon: int = static(1000, least=1)
    """Maximum length of an episode in steps; then it is truncated."""

    substeps: ClassVar[int]
    """Number of MuJoCo steps per environment step."""
    observed: ClassVar[tuple[str, ...]]
    """Names of the reads that make up the observation, in this order."""

    @property
    def file(self) -> str:
        """The file name of the MuJoCo model."""
        raise NotImplementedError

    @property
    def contact(self) -> bool:
        """Whether contact forces are computed."""
        return False

    @property
    def reads(self) -> dict[str, Read]:
        """The numbers to read after every step, by name; `place` [2] is needed for the behaviour descriptor."""
        raise NotImplementedError

    @property
    def termination(self) -> Any:
        """The termination function, see `Spec.termination`."""
        return never

    @property
    def physics(self) -> Physics:
        """The simulator, shared by all equal tasks of the process."""
        return models.physics(self.file, self.substeps, tuple(self.reads.values()), self.contact)

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit; the behaviour descriptor is `place`, clipped to [-1, 1]."""
        low, high = models.load(self.file).actuator_ctrlrange.T
        size = sum(self.reads[name].count for name in self.observed)
        return Spec(
            id=self.id,
            obs=Box((size,)),
            action=Box(low.shape, tuple(low.tolist()), tuple(high.tolist())),
            horizon=self.horizon,
            info=("success", "descriptor", "failed"),
            descriptor=Box((2,), -1.0, 1.0),
            termination=self.termination,
        )

    def start(self, key: Key) -> tuple[Array, Array]:
        """Draw what is added to the model's initial qpos [q] and qvel [v]."""
        raise NotImplementedError

    def observe(self, read: Reads) -> Array:
        """Return the observation [o]."""
        return jnp.concatenate([read[name] for name in self.observed])

    def remember(self, read: Reads) -> Array:
        """Return the numbers [S] that `evaluate` needs at the next step."""
        return jnp.zeros(0)

    def evaluate(self, read: Reads, action: Array, memory: Array) -> tuple[Array, Array, Array]:
        """Return (reward [], success [], terminated []) of a step; success: a sparse reward was paid at this step."""
        raise NotImplementedError

    def place(self, read: Reads) -> Array:
        """Return the position [2] for the behaviour descriptor, scaled to about 1 at the farthest expected position."""
        return read["place"]

    def reset(self, key: Key) -> tuple[State, Array]:
        """Start from the model's initial state plus noise."""
        return self.reset_if(jnp.ones((), bool), key)

    def step(self, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """Advance the simulation by `substeps` MuJoCo steps under one action; nothing is random."""
        return self.step_if(jnp.ones((), bool), state, action, key)

    def reset_if(self, needed: Array, key: Key) -> tuple[State, Array]:
        """Do as `reset` where `needed` [] is True; elsewhere return a state of zeros without simulating."""
        row, vector = self.physics.reset(*self.start(key), needed)
        read = self._split(vector)
        return State(row, jnp.zeros((), jnp.int32), self.remember(read)), self.observe(read)

    def step_if(self, live: Array, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """Do as `step` where `live` [] is True; elsewhere keep the simulation unchanged without simulating.

        Raises:
            ValueError: If the action has the wrong shape.
        """
        action = jnp.asarray(action, jnp.float32)
        if action.shape != (self.physics.model.nu,):
            raise ValueError(f"{self.id}: an action must have shape ({self.physics.model.nu},), not {action.shape}")
        row, vector, failed = self.physics.step(state.row, action, live)
        read, time = self._split(vector), state.time + 1
        reward, success, terminated = self.evaluate(read, action, state.memory)
        terminated &= ~failed
        info = {
            "success": success & ~failed,
            "descriptor": jnp.clip(self.place(read), -1, 1),
            "failed": failed,
        }
        step = Step(
            obs=self.observe(read),
            reward=jnp.where(failed, 0.0, reward),
            terminated=terminated,
            truncated=(failed | (time >= self.horizon)) & ~terminated,
            info=info,
        )
        return State(row, time, self.remember(read)), step

    def failure(self) -> str:
        """Return MuJoCo's message about the last failed simulation."""
        return failure()

    def _split(self, vector: Array) -> Reads:
        """Split the numbers of a native call [R] by the names in `reads`."""
        ends = np.cumsum([read.count for read in self.reads.values()])[:-1]
        return dict(zip(self.reads, jnp.split(vector, ends), strict=True))

    def frame(self, state: State) -> Array:
        """Render the state with MuJoCo, uint8 [240, 320, 3]; raise NotImplementedError if there is no renderer."""
        from prospect_rl.envs.mujoco import picture

        return picture.draw(self, state.row)
