"""A Python implementation of batch.cc for machines without a compiler, called through `jax.pure_callback`.

It returns the same numbers bit for bit. It uses only NumPy, because a callback that calls JAX can deadlock.
"""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without stubs

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError

from prospect_rl.envs.threads import threads

if TYPE_CHECKING:
    from prospect_rl.envs.native.physics import Physics

THREADS = threads()
"""Threads per call, also of the compiled implementation; on an accelerator `envs.threads.cores`."""
FATAL = [int(getattr(mujoco.mjtWarning, f"mjWARN_BAD{name}")) for name in ("QPOS", "QVEL", "QACC", "CTRL")]
"""Warnings after which a simulation counts as failed."""
_lock = threading.Lock()
_failure = ""


def take_failure() -> str:
    """Return MuJoCo's message about the last failed simulation and clear it."""
    global _failure
    with _lock:
        text, _failure = _failure, ""
    return text


def _remember(text: str) -> None:
    global _failure
    with _lock:
        _failure = text


class HostPhysics:
    """`Physics.reset` and `Physics.step` on the host, for any leading axes."""

    def __init__(self, physics: Physics) -> None:
        self.physics = physics
        self.idle: dict[int, list[Batch]] = {}

    def reset(self, qpos: np.ndarray, qvel: np.ndarray, needed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Physics.reset`."""
        lead, (qpos, qvel, needed) = _flat(qpos, qvel, needed)
        ids, count = np.flatnonzero(needed).astype(np.int32), len(needed)
        rows = np.zeros((count, self.physics.words // 2))
        reads = np.zeros((count, self.physics.size), np.float32)
        if len(ids):
            batch = self._take(count)
            batch.reset(ids, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
            batch.bind("qpos")[ids] += qpos[ids]
            batch.bind("qvel")[ids] += qvel[ids]
            batch.forward(ids)
            self._read(batch, ids, rows, reads, None)
            self._give(count, batch)
        return rows.view(np.uint32).reshape(*lead, -1), reads.reshape(*lead, -1)

    def step(self, row: np.ndarray, control: np.ndarray, live: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Physics.step`."""
        lead, (row, control, live) = _flat(row, control, live)
        ids, count, physics = np.flatnonzero(live).astype(np.int32), len(live), self.physics
        rows = np.array(row, np.uint32).view(np.float64)
        reads = np.zeros((count, physics.size), np.float32)
        failed = np.zeros(count, bool)
        if len(ids):
            batch = self._take(count)
            batch.state[ids] = rows[ids, : physics.states]
            batch.bind("ctrl")[ids] = control[ids]
            before = self._before(batch, rows)
            batch.warning[ids, :, 1] = 0
            good = ids
            try:
                batch.step(ids, physics.substeps)
            except SimulationError as error:
                failed[error.ids] = True
                _remember(batch.error(int(error.ids[0])))
                good = ids[~failed[ids]]
                batch.forward(error.ids, stage=int(mujoco.mjtStage.mjSTAGE_POS))
                self._read(batch, error.ids, rows, reads, None)
            for kind in FATAL:
                for i in ids[batch.warning[ids, kind, 1] > 0]:
                    failed[i] = True
                    _remember(mujoco.mju_warningText(kind, batch.warning[i, kind, 0]))
                    batch.bind("ctrl")[i] = 0  # a control that is NaN or infinite must not stay in the row
            if len(good):
                self._read(batch, good, rows, reads, before)
            self._give(count, batch)
        return rows.view(np.uint32).reshape(*lead, -1), reads.reshape(*lead, -1), failed.reshape(lead)

    def _before(self, batch: Batch, rows: np.ndarray) -> list[np.ndarray]:
        """Return the values before the step that rates need, [N, count] each."""
        found, at = [], self.physics.states
        for read in self.physics.reads:
            if read.kind != "rate":
                continue
            if read.carried:
                found.append(rows[:, at : at + read.count].copy())
                at += read.count
            else:
                found.append(batch.bind(read.field)[:, read.start : read.start + read.count].copy())
        return found

    def _read(
        self, batch: Batch, ids: np.ndarray, rows: np.ndarray, reads: np.ndarray, before: list[np.ndarray] | None
    ) -> None:
        """Write the rows and reads of simulations `ids`; `before` is None if they were not stepped (rates are 0)."""
        physics, at, carry, rates = self.physics, 0, self.physics.states, 0
        duration = physics.model.opt.timestep * physics.substeps
        rows[ids, :carry] = batch.state[ids]
        fields = {name: self._field(batch, ids, name, before) for name in {read.field for read in physics.reads}}
        for read in physics.reads:
            x = fields[read.field][:, read.start : read.start + read.count]
            y = x
            if read.kind == "rate":
                y = np.zeros_like(x) if before is None else (x - before[rates][ids]) / duration
                rates += 1
            elif read.kind in ("cos", "sin"):
                y = np.cos(x) if read.kind == "cos" else np.sin(x)
            elif read.kind == "difference":
                y = x - fields[read.field][:, read.other : read.other + read.count]
            if read.carried:
                rows[ids, carry : carry + read.count] = x
                carry += read.count
            reads[ids, at : at + read.count] = y
            at += read.count

    def _field(self, batch: Batch, ids: np.ndarray, name: str, before: object) -> np.ndarray:
        """Return a field [n, size] of the simulations `ids`."""
        if name != "cfrc_ext" or not self.physics.contact or before is None:
            return batch.bind(name).reshape(batch.nsim, -1)[ids]
        forces = []
        for i in ids:  # the batch does not compute contact forces; it keeps its simulations so that we can
            data = mujoco.MjData(self.physics.model)
            batch.get_data(int(i), data)
            mujoco.mj_rnePostConstraint(self.physics.model, data)
            forces.append(data.cfrc_ext.reshape(-1).copy())
        return np.array(forces)

    def _take(self, count: int) -> Batch:
        """Return a batch that is not in use."""
        with _lock:
            idle = self.idle.setdefault(count, [])
            while idle:
                if (batch := idle.pop()).nthread == min(THREADS, count):
                    return batch
        batch = Batch(self.physics.model, count, min(THREADS, count), persistent=self.physics.contact)
        for read in self.physics.reads:
            batch.bind(read.field)
        return batch

    def _give(self, count: int, batch: Batch) -> None:
        with _lock:
            self.idle[count].append(batch)


def _flat(*arrays: np.ndarray) -> tuple[tuple[int, ...], list[np.ndarray]]:
    """Merge the leading axes of the arrays into one; the last array has only leading axes.

    Returns:
        The shape of the leading axes, and the reshaped arrays.
    """
    host = [np.asarray(x) for x in arrays]
    lead = host[-1].shape
    return lead, [x.reshape(-1, *x.shape[len(lead) :]) for x in host]
