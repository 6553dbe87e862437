"""Native MuJoCo as pure JAX functions, for `jit`, `vmap` and `scan`.

    physics = Physics(model, substeps=5, reads=(Read("qpos", 1, 8), Read("qvel", 0, 9), Read("qpos", 0, kind="rate")))
    row, read = physics.reset(qpos, qvel, needed)             row: opaque uint32 words, an ordinary array
    row, read, failed = physics.step(row, control, live)      read: float32, computed in float64

A row is the complete state of a simulation: it can be checkpointed, selected with `jnp.where`, and branched from. The
same row and control give the same bits on any number of threads, alone or in a batch. If there is a C++ compiler, each
function is one XLA call to MuJoCo's batch engine (batch.cc), also in programs on an NVIDIA GPU, whose arrays it copies
(cuda.cc); otherwise it is a callback into Python, equal bit for bit, with a warning.

Shapes: W words of a row, R numbers read, q positions, v velocities, u controls.
"""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without stubs

from __future__ import annotations

import ctypes
import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from prospect_rl.envs.api import Array
from prospect_rl.envs.native import build, callback
from prospect_rl.envs.threads import cores

FIELDS = ("qpos", "qvel", "xpos", "site_xpos", "cfrc_ext", "sensordata")
"""Fields of MjData (flattened) that can be read; all but the first two belong to the last substep, as in `mj_step`."""
KINDS = ("value", "rate", "cos", "sin", "difference")
STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)


@dataclass(frozen=True)
class Read:
    """Consecutive numbers of a field that every call returns."""

    field: Literal["qpos", "qvel", "xpos", "site_xpos", "cfrc_ext", "sensordata"]
    """Field of MjData to read from."""
    start: int = 0
    """Index of the first number in the flattened field."""
    count: int = 1
    """How many numbers are read."""
    kind: Literal["value", "rate", "cos", "sin", "difference"] = "value"
    """rate: change over the step divided by its duration; difference: minus the numbers that start at `other`."""
    other: int = 0
    """Index of the first number to subtract, for the kind `difference`."""

    @property
    def carried(self) -> bool:
        """Whether the value before a step must be stored in the row, because the state does not contain it."""
        return self.kind == "rate" and self.field not in ("qpos", "qvel")

    def code(self) -> tuple[int, ...]:
        """Return the five integers that batch.cc expects."""
        field, start, count, kind, other = astuple(self)
        return FIELDS.index(field), start, count, KINDS.index(kind), other


class Physics:
    """A MuJoCo model with the number of substeps per step and the numbers to read after each.

    Args:
        model: The compiled model.
        substeps: MuJoCo steps per call of `step`.
        reads: The numbers to return from every call.
        contact: Whether to compute contact forces after each step (for cfrc_ext).
        backend: "ffi" (compiled), "callback" (Python), or "auto": $PROSPECT_MUJOCO if set, else compiled if possible.

    Raises:
        ValueError: If a read exceeds the size of its field, or "ffi" is requested without a working compiler.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        *,
        substeps: int,
        reads: Sequence[Read],
        contact: bool = False,
        backend: Literal["auto", "ffi", "callback"] = "auto",
    ) -> None:
        self.model, self.substeps, self.reads, self.contact = model, substeps, tuple(reads), contact
        data = mujoco.MjData(model)
        for read in self.reads:
            size = getattr(data, read.field).size
            if max(read.start, read.other if read.kind == "difference" else 0) + read.count > size:
                raise ValueError(f"{read} exceeds the {size} numbers of {read.field}")
        self.states = mujoco.mj_stateSize(model, STATE)
        self.words = 2 * (self.states + sum(read.count for read in self.reads if read.carried))
        """W, the number of words of a row."""
        self.size = sum(read.count for read in self.reads)
        """R, the number of numbers read."""
        codes = [read.code() for read in self.reads]
        self.key = hashlib.sha256(_bytes(model) + repr((substeps, contact, codes)).encode()).hexdigest()
        self.backend = choose(backend)
        if self.backend == "ffi":
            flat = np.asarray(codes, np.int32).reshape(-1)
            build.load().ProspectRegister(
                self.key.encode(), model._address, substeps, contact,
                flat.ctypes.data_as(ctypes.POINTER(ctypes.c_int)), len(codes),
            )  # fmt: skip
        self._host = callback.HostPhysics(self)

    def reset(self, qpos: Array, qvel: Array, needed: Array) -> tuple[Array, Array]:
        """Reset a simulation to the model's initial state plus an offset.

        Args:
            qpos: Float32 [q], added to the initial positions.
            qvel: Float32 [v], added to the initial velocities.
            needed: Bool []; if False, nothing is computed and the results are zeros.

        Returns:
            (row, read): uint32 [W] and float32 [R].
        """
        shapes = (jax.ShapeDtypeStruct((self.words,), jnp.uint32), jax.ShapeDtypeStruct((self.size,), jnp.float32))
        return self._call("prospect_mujoco_reset", self._host.reset, shapes, qpos, qvel, needed)

    def step(self, row: Array, control: Array, live: Array) -> tuple[Array, Array, Array]:
        """Advance a simulation by one step.

        Args:
            row: Uint32 [W], the state of the simulation.
            control: Float32 [u], the controls.
            live: Bool []; if False, nothing is computed: the row is returned unchanged and the reads are zeros.

        Returns:
            (row, read, failed): uint32 [W], float32 [R] and bool []. `failed` is True if the engine raised an error or
            found numbers that are not finite. The row is then a valid state (the last one, or the initial one, to which
            MuJoCo resets); the episode should be truncated.
        """
        shapes = (
            jax.ShapeDtypeStruct((self.words,), jnp.uint32),
            jax.ShapeDtypeStruct((self.size,), jnp.float32),
            jax.ShapeDtypeStruct((), jnp.bool_),
        )
        return self._call("prospect_mujoco_step", self._host.step, shapes, row, control, live)

    def _call(
        self, target: str, on_host: Callable[..., Any], shapes: tuple[jax.ShapeDtypeStruct, ...], *args: Array
    ) -> Any:
        if self.backend == "ffi":
            return jax.ffi.ffi_call(target, shapes, vmap_method="broadcast_all")(*args, key=self.key)
        return jax.pure_callback(on_host, shapes, *args, vmap_method="broadcast_all")

    def state(self, row: Array) -> np.ndarray:
        """Return the mjSTATE_INTEGRATION state, float64 [..., states], of rows [..., W] on the host."""
        return np.ascontiguousarray(row, np.uint32).view(np.float64)[..., : self.states]

    def data(self, row: Array) -> mujoco.MjData:
        """Return an MjData in the state of a row [W], ready to be rendered."""
        data = mujoco.MjData(self.model)
        mujoco.mj_setState(self.model, data, self.state(row), STATE)
        mujoco.mj_forward(self.model, data)
        return data


def threads(count: int) -> None:
    """Set the number of threads that a call may use, including the caller's. Results do not depend on it.

    Args:
        count: Number of threads.

    Raises:
        ValueError: If `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"threads must be at least 1, not {count}")
    compiled = choose("auto") == "ffi"
    callback.THREADS = count
    if compiled:
        build.load().ProspectThreads(count)


def failure() -> str:
    """Return MuJoCo's message about the last failed simulation, or "" if none has failed since the last call."""
    if choose("auto") == "callback":
        return callback.take_failure()
    text = ctypes.create_string_buffer(1024)
    build.load().ProspectFailure(text, len(text))
    return text.value.decode(errors="replace") or callback.take_failure()


@lru_cache
def choose(backend: str) -> Literal["ffi", "callback"]:
    """Resolve "auto" to the backend that this machine supports.

    Args:
        backend: "auto", "ffi" or "callback".

    Returns:
        "ffi" or "callback".

    Raises:
        ValueError: For any other name, or for "ffi" where it is not available.
    """
    if backend == "auto":
        backend = os.environ.get("PROSPECT_MUJOCO", "auto")
    if backend not in ("auto", "ffi", "callback"):
        raise ValueError(f'PROSPECT_MUJOCO must be "auto", "ffi" or "callback", not {backend!r}')
    use_all_cores()
    if backend == "callback":
        return backend
    try:
        library = build.load()
    except build.UnavailableError as error:
        if backend == "ffi":
            raise ValueError(str(error)) from None
        warnings.warn(f"MuJoCo runs through Python callbacks, which are slower: {error}", stacklevel=3)
        return "callback"
    library.ProspectThreads(callback.THREADS)
    return "ffi"


@lru_cache(1)
def use_all_cores() -> None:
    """On an accelerator, give the engine all cores: NPROC is for the threads of XLA, which computes elsewhere then."""
    if jax.default_backend() != "cpu":
        callback.THREADS = cores()


def _bytes(model: mujoco.MjModel) -> bytes:
    """Return the compiled model in MuJoCo's binary format."""
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()
