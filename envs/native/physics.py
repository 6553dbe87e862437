"""Native MuJoCo as pure JAX functions, for `jit`, `vmap` and `scan`.

    physics = Physics(model, substeps=5, reads=(Read("qpos", 1, 8), Read("qvel", 0, 9), Read("qpos", 0, kind="rate")))
    row, read = physics.reset(qpos, qvel, needed)             row: opaque uint32 words, an ordinary array
    row, read, failed = physics.step(row, control, live)      read: float32, computed from the doubles

A row is all that a simulation is: checkpoint it, select it with `jnp.where`, branch from it. The same row and control
give the same bits, on any number of threads, alone or in a batch. Where there is a C++ compiler the functions are
one XLA call over MuJoCo's batch engine (batch.cc); otherwise callbacks into Python, equal bit for bit, with a notice.

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

FIELDS = ("qpos", "qvel", "xpos", "site_xpos", "cfrc_ext", "sensordata")
"""What can be read, of MjData (flattened). All but the first two are those of the last substep, as after `mj_step`."""
KINDS = ("value", "rate", "cos", "sin", "difference")
STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)


@dataclass(frozen=True)
class Read:
    """Some numbers that leave every call."""

    field: Literal["qpos", "qvel", "xpos", "site_xpos", "cfrc_ext", "sensordata"]
    start: int = 0
    count: int = 1
    kind: Literal["value", "rate", "cos", "sin", "difference"] = "value"
    """rate: change over the step divided by its duration; difference: minus the numbers that begin at `other`."""
    other: int = 0

    @property
    def carried(self) -> bool:
        """Whether the value before a step must travel in the row, since the state does not hold it."""
        return self.kind == "rate" and self.field not in ("qpos", "qvel")

    def code(self) -> tuple[int, ...]:
        """As batch.cc takes it."""
        field, start, count, kind, other = astuple(self)
        return FIELDS.index(field), start, count, KINDS.index(kind), other


class Physics:
    """A model, how many of its steps make one of ours, and what is read after each.

    backend: "ffi" (compiled), "callback" (Python), or "auto": $PROSPECT_MUJOCO, else compiled where that works.
    contact: contact forces are computed after each step (for cfrc_ext).
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
                raise ValueError(f"{read} reaches beyond the {size} numbers of {read.field}")
        self.states = mujoco.mj_stateSize(model, STATE)
        self.words = 2 * (self.states + sum(read.count for read in self.reads if read.carried))
        """W."""
        self.size = sum(read.count for read in self.reads)
        """R."""
        codes = [read.code() for read in self.reads]
        self.key = hashlib.sha256(_bytes(model) + repr((substeps, contact, codes)).encode()).hexdigest()
        self.backend = choose(backend)
        if self.backend == "ffi":
            flat = np.asarray(codes, np.int32).reshape(-1)
            build.load().ProspectRegister(
                self.key.encode(), model._address, substeps, contact,
                flat.ctypes.data_as(ctypes.POINTER(ctypes.c_int)), len(codes),
            )  # fmt: skip
        self._twin = callback.Twin(self)

    def reset(self, qpos: Array, qvel: Array, needed: Array) -> tuple[Array, Array]:
        """(row [W], read [R]) at the model's first state plus qpos [q] and qvel [v]; zeros unless `needed` []."""
        shapes = (jax.ShapeDtypeStruct((self.words,), jnp.uint32), jax.ShapeDtypeStruct((self.size,), jnp.float32))
        return self._call("prospect_mujoco_reset", self._twin.reset, shapes, qpos, qvel, needed)

    def step(self, row: Array, control: Array, live: Array) -> tuple[Array, Array, Array]:
        """(row [W], read [R], failed []) after a step under control [u]; unless `live` [], the row as it is and zeros.

        failed: the engine raised an error, or met numbers that are not finite. The row is then a valid state (the
        last one, or the first one, to which MuJoCo resets); the episode should be truncated.
        """
        shapes = (
            jax.ShapeDtypeStruct((self.words,), jnp.uint32),
            jax.ShapeDtypeStruct((self.size,), jnp.float32),
            jax.ShapeDtypeStruct((), jnp.bool_),
        )
        return self._call("prospect_mujoco_step", self._twin.step, shapes, row, control, live)

    def _call(
        self, target: str, twin: Callable[..., Any], shapes: tuple[jax.ShapeDtypeStruct, ...], *args: Array
    ) -> Any:
        if self.backend == "ffi":
            return jax.ffi.ffi_call(target, shapes, vmap_method="broadcast_all")(*args, key=self.key)
        return jax.pure_callback(twin, shapes, *args, vmap_method="broadcast_all")

    def state(self, row: Array) -> np.ndarray:
        """The mjSTATE_INTEGRATION state, float64 [..., states], of rows on the host [..., W]."""
        return np.ascontiguousarray(row, np.uint32).view(np.float64)[..., : self.states]

    def data(self, row: Array) -> mujoco.MjData:
        """An MjData at a row [W], ready to be rendered."""
        data = mujoco.MjData(self.model)
        mujoco.mj_setState(self.model, data, self.state(row), STATE)
        mujoco.mj_forward(self.model, data)
        return data


def threads(count: int) -> None:
    """How many threads a call may use from now on, the caller's included. Results do not depend on it."""
    if count < 1:
        raise ValueError(f"threads must be at least 1, not {count}")
    callback.THREADS = count
    if choose("auto") == "ffi":
        build.load().ProspectThreads(count)


def failure() -> str:
    """What MuJoCo said of the last failed simulation, "" where none has failed since this was last asked."""
    if choose("auto") == "callback":
        return callback.take_failure()
    text = ctypes.create_string_buffer(1024)
    build.load().ProspectFailure(text, len(text))
    return text.value.decode(errors="replace") or callback.take_failure()


@lru_cache
def choose(backend: str) -> Literal["ffi", "callback"]:
    """The backend that "auto" stands for here; "ffi" and "callback" as they are. Raises ValueError for another."""
    if backend == "auto":
        backend = os.environ.get("PROSPECT_MUJOCO", "auto")
    if backend not in ("auto", "ffi", "callback"):
        raise ValueError(f'PROSPECT_MUJOCO must be "auto", "ffi" or "callback", not {backend!r}')
    if backend == "callback":
        return backend
    if backend == "auto" and jax.default_backend() != "cpu":
        return "callback"  # the compiled call runs in programs of the CPU alone
    try:
        library = build.load()
    except build.NoCompilerError as error:
        if backend == "ffi":
            raise ValueError(str(error)) from None
        warnings.warn(f"MuJoCo is stepped through Python callbacks, which is slower: {error}", stacklevel=3)
        return "callback"
    library.ProspectThreads(callback.THREADS)
    return "ffi"


def _bytes(model: mujoco.MjModel) -> bytes:
    """The compiled model, as it would be saved."""
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()
