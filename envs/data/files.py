"""Your own data in a file: named arrays, with the names of Prospect, D4RL or OGBench.

    datasets.make("mine.npz")             obs, action, reward, terminated, truncated and, if you have it, next_obs
    datasets.make("hopper-medium.hdf5")   observations, actions, rewards, terminals, timeouts, next_observations
    datasets.make("cube-play-v0.npz")     only observations, actions, terminals: OGBench's, see `trajectories`

Shapes: M rows in time order, episode after episode.
"""

from __future__ import annotations

import os
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from prospect_rl.envs.api import Dataset
from prospect_rl.envs.data.datasets import External, check_form

D4RL = {
    "observations": "obs", "actions": "action", "rewards": "reward", "terminals": "terminated",
    "timeouts": "truncated", "next_observations": "next_obs",
}  # fmt: skip
"""D4RL's names -> ours."""
THEIRS = {ours: name for name, ours in D4RL.items()}
"""Our names -> D4RL's."""
OGBENCH = {"obs", "action", "terminated"}
"""The arrays of an OGBench file, under our names."""
NAMES = {name: name for name in D4RL.values()} | D4RL
"""All accepted names -> ours."""
GIB = 2**30
PEAK = 2.0
"""Measured peak memory while reading, as a multiple of the data's size; copies made by agents come on top."""


@dataclass(frozen=True, kw_only=True)
class File(External):
    """The rows of a file of arrays: .npz, .safetensors, or .hdf5 and .h5 (with the extra `offline`).

    Other arrays in the file are ignored. Episodes end at rows that are terminated or truncated; if the last row of the
    file is neither, it becomes truncated.
    """

    path: str
    """Path of the file; `~` is expanded."""

    @property
    def source(self) -> Path:
        """The absolute path of the file."""
        return Path(self.path).expanduser().absolute()

    def build(self) -> Dataset:
        """Read the file.

        Raises:
            ValueError: In one line, if the file cannot be read, lacks an array, or needs more than the free memory.
        """
        path = self.source
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        reader = next(reader for ending, reader in READERS.items() if self.path.lower().endswith(ending))
        if reader is _hdf5:
            extra("h5py")
        try:
            with reader(path) as (names, size, read):
                known = [name for name in names if name in NAMES]
                check_room(size)
                if twice := [name for name in known if name in D4RL and D4RL[name] in known]:
                    raise ValueError(f"it contains both {D4RL[twice[0]]} and {twice[0]}")
                rows = {NAMES[name]: narrow(name, read(name)) for name in known}
        except (
            OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error, SafetensorError
        ) as error:  # fmt: skip
            raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
        if set(D4RL) & set(known):
            if set(rows) == OGBENCH:
                warnings.warn(f"{path} is read in OGBench's format: terminals mark the ends of trajectories, and all "
                              "rewards are 0, because the file contains none", stacklevel=2)  # fmt: skip
                rows = trajectories(rows)
            if missing := [THEIRS[name] for name in D4RL.values() if name not in {"next_obs", *rows}]:
                raise ValueError(f"{path} lacks {', '.join(missing)}{TIMEOUTS if 'timeouts' in missing else ''}")
        return as_dataset(rows)


TIMEOUTS = ": add timeouts, 1 in the last row of each episode cut off by a time limit or by the end of the data, else 0"


def trajectories(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert OGBench's rows [M, ...] to ours, as OGBench's own loader does.

    `terminals` is 1 in the last row of a trajectory, which contains the final observation and an action that was not
    taken. These rows are removed, and their observations become the `next_obs` of the rows before them, which become
    truncated. All rewards are 0.
    """
    check_form(rows | {"reward": rows["terminated"], "truncated": rows["terminated"]})
    last = rows["terminated"].astype(bool)
    last[-1:] = True
    kept = np.flatnonzero(~last)
    nothing = np.zeros(len(kept), bool)
    return {
        "obs": rows["obs"][kept], "action": rows["action"][kept], "reward": nothing, "terminated": nothing,
        "truncated": last[kept + 1], "next_obs": rows["obs"][kept + 1],
    }  # fmt: skip


def as_dataset(rows: dict[str, np.ndarray], firsts: np.ndarray | None = None) -> Dataset:
    """Convert rows to a dataset with the dtypes that agents expect: bool flags, int32 choices, float32 rewards.

    Args:
        rows: Arrays [M, ...] by name.
        firsts: Int [episodes], the first row of each episode; by default row 0 and every row after one that is
            terminated or truncated. If the last row of an episode is neither, it becomes truncated.

    Returns:
        The dataset.

    Raises:
        ValueError: If arrays are missing or do not match each other (`envs.data.datasets.check_form`).
    """
    check_form(rows)
    terminated, truncated = (rows[key].astype(bool) for key in ("terminated", "truncated"))
    if firsts is None:
        firsts = np.flatnonzero(np.append(True, (terminated | truncated)[:-1])[: len(terminated)])
    lasts = np.append(firsts, len(terminated))[1:] - 1
    truncated[lasts] |= ~terminated[lasts]
    action, reward = rows["action"], rows["reward"].astype(np.float32, copy=False)
    if np.issubdtype(action.dtype, np.integer):
        action = action.astype(np.int32, copy=False)
    own = {"action": action, "reward": reward, "terminated": terminated, "truncated": truncated}
    return Dataset(rows=rows | own, firsts=firsts.astype(np.int32))  # type: ignore[arg-type]  # NumPy arrays are accepted


def narrow(name: str, x: np.ndarray) -> np.ndarray:
    """Convert an array to a dtype that agents support: float32 for real numbers, int32 for wide integers.

    Real numbers that overflow become infinite, which `check` reports.

    Args:
        name: Name of the array, for the error.
        x: The array.

    Raises:
        ValueError: If an integer does not fit into 32 bits.
    """
    if np.issubdtype(x.dtype, np.floating):
        with np.errstate(over="ignore"):
            return x.astype(np.float32, copy=False)
    if not np.issubdtype(x.dtype, np.integer) or np.can_cast(x.dtype, np.int32):
        return x
    if x.size and (x.min() < -(2**31) or x.max() >= 2**31):
        raise ValueError(f"{name} contains integers of more than 32 bits")
    return x.astype(np.int32)


# --- memory ------------------------------------------------------------------------------------------


def free_memory() -> int:
    """Return the available memory in bytes; on Linux this includes reclaimable memory such as the file cache."""
    try:
        facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_room(size: int) -> None:
    """Raise ValueError if data of `size` bytes, with the copies made while reading, does not fit into memory."""
    if PEAK * size > (free := free_memory()):
        raise ValueError(
            f"it contains {size / GIB:.3g} GiB and needs {PEAK:g} times that to read, but only {free / GIB:.3g} GiB of "
            "memory are free"
        )


# --- formats -----------------------------------------------------------------------------------------
# A reader opens a file and yields the names of its arrays, the size in bytes of the relevant ones, and a function that
# reads one.

Opened = tuple[list[str], int, Callable[[str], np.ndarray]]


@contextmanager
def _npz(path: Path) -> Iterator[Opened]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not an npz file")
    with np.load(path, allow_pickle=False) as file, zipfile.ZipFile(path) as members:
        sizes = {info.filename.removesuffix(".npy"): info.file_size for info in members.infolist()}

        def read(name: str) -> np.ndarray:
            if not isinstance(x := file[name], np.ndarray):  # NumPy returns bytes for a member that is not an array
                raise ValueError(f"{name} is not an array")
            return x

        yield list(file.files), sum(size for name, size in sizes.items() if name in NAMES), read


@contextmanager
def _safetensors(path: Path) -> Iterator[Opened]:
    with safe_open(path, framework="numpy") as file:  # maps the file into memory
        yield list(file.keys()), path.stat().st_size, file.get_tensor


@contextmanager
def _hdf5(path: Path) -> Iterator[Opened]:
    h5py = extra("h5py")
    with h5py.File(path, "r") as file:
        names = [name for name in file if name in NAMES]
        for name in names:
            if isinstance(group := file[name], h5py.Group):
                raise ValueError(f"{name} is a group ({', '.join(group)}), not an array")
        yield names, sum(file[name].nbytes for name in names), lambda name: np.asarray(file[name][()])


READERS: dict[str, Callable[[Path], AbstractContextManager[Opened]]] = {
    ".npz": _npz, ".safetensors": _safetensors, ".hdf5": _hdf5, ".h5": _hdf5
}  # fmt: skip


def extra(package: str) -> Any:
    """Import a package of the extra `offline`; raise ValueError, in one line, if it is missing."""
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError:
        raise ValueError(f'{package} is not installed; to get it: pip install "prospect-rl[offline]"') from None
