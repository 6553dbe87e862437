"""What all MuJoCo tasks share: the episode around one native step.

A task names what it reads from the simulation; its observation, reward and termination are functions of those
numbers alone, which the native call has computed in double precision and rounded once. Shapes: W words of a row,
S numbers that a task remembers, o of an observation, u of an action, q positions, v velocities.
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
"""What was read, by name, each [count]."""


@struct.dataclass
class State:
    """A simulation, and what its task adds."""

    row: Array
    """[W] uint32: see `envs.native.physics`."""
    time: Array
    """[] int32 steps so far."""
    memory: Array
    """[S] what the task remembers of the last observation; mostly nothing."""


@struct.dataclass
class Simulation(Env):
    """Base of the tasks. A subclass fills `reads` and `judge`, and what differs of the others.

    A simulation that breaks down (NaN actions, velocities beyond all bounds) does not stop the others: its episode
    is truncated, that step pays 0, and info["failed"] says so; `envs.native.failure` has MuJoCo's words.
    """

    id: str = static("")
    """The registered name."""
    horizon: int = static(1000, least=1)
    """Steps after which an episode is truncated."""

    substeps: ClassVar[int]
    seen: ClassVar[tuple[str, ...]]
    """Names of the reads that the observation consists of, in this order."""

    @property
    def file(self) -> str:
        """The model's file."""
        raise NotImplementedError

    @property
    def contact(self) -> bool:
        """Whether contact forces are computed."""
        return False

    @property
    def reads(self) -> dict[str, Read]:
        """What leaves every native call. `place` [2] is needed for the descriptor."""
        raise NotImplementedError

    @property
    def ends(self) -> Any:
        """`Spec.termination`."""
        return never

    @property
    def physics(self) -> Physics:
        """The simulator, shared by all equal tasks of a process."""
        return models.physics(self.file, self.substeps, tuple(self.reads.values()), self.contact)

    @property
    def spec(self) -> Spec:
        """Static facts; the descriptor is the final `place`, scaled and clipped to [-1, 1]."""
        low, high = models.load(self.file).actuator_ctrlrange.T
        size = sum(self.reads[name].count for name in self.seen)
        return Spec(
            id=self.id,
            obs=Box((size,)),
            action=Box(low.shape, tuple(low.tolist()), tuple(high.tolist())),
            horizon=self.horizon,
            info=("success", "descriptor", "failed"),
            descriptor=Box((2,), -1.0, 1.0),
            termination=self.ends,
        )

    def start(self, key: Key) -> tuple[Array, Array]:
        """What is added to the model's first qpos [q] and qvel [v]."""
        raise NotImplementedError

    def observe(self, read: Reads) -> Array:
        """The observation [o]."""
        return jnp.concatenate([read[name] for name in self.seen])

    def remember(self, read: Reads) -> Array:
        """What `judge` wants to know at the next step [S]."""
        return jnp.zeros(0)

    def judge(self, read: Reads, action: Array, memory: Array) -> tuple[Array, Array, Array]:
        """(reward, success, whether it terminates) of a step; success: a sparse reward was paid at this step."""
        raise NotImplementedError

    def place(self, read: Reads) -> Array:
        """Where it is [2], about 1 at the far end of what is thought reachable."""
        return read["place"]

    def reset(self, key: Key) -> tuple[State, Array]:
        """The model's first state plus noise."""
        return self.reset_if(jnp.ones((), bool), key)

    def step(self, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """`substeps` of MuJoCo under one action. Nothing random."""
        return self.step_if(jnp.ones((), bool), state, action, key)

    def reset_if(self, needed: Array, key: Key) -> tuple[State, Array]:
        """`reset` where `needed` [], else a state of zeros, at no cost."""
        row, vector = self.physics.reset(*self.start(key), needed)
        read = self._split(vector)
        return State(row, jnp.zeros((), jnp.int32), self.remember(read)), self.observe(read)

    def step_if(self, live: Array, state: State, action: Array, key: Key) -> tuple[State, Step]:
        """`step` where `live` []; elsewhere the simulation stays as it is, at no cost. Raises ValueError."""
        action = jnp.asarray(action, jnp.float32)
        if action.shape != (self.physics.model.nu,):
            raise ValueError(f"{self.id}: an action has shape ({self.physics.model.nu},), not {action.shape}")
        row, vector, failed = self.physics.step(state.row, action, live)
        read, time = self._split(vector), state.time + 1
        reward, success, terminated = self.judge(read, action, state.memory)
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
        """MuJoCo's words on the last simulation that broke down."""
        return failure()

    def _split(self, vector: Array) -> Reads:
        """The numbers of a native call [R] by the names of `reads`."""
        ends = np.cumsum([read.count for read in self.reads.values()])[:-1]
        return dict(zip(self.reads, jnp.split(vector, ends), strict=True))

    def frame(self, state: State) -> Array:
        """A picture, uint8 [240, 320, 3], by MuJoCo's renderer; NotImplementedError, one line, where it has none."""
        from prospect_rl.envs.mujoco import picture

        return picture.draw(self, state.row)
