"""Data of one's own in a file: named arrays, under our names, D4RL's or OGBench's.

    datasets.make("mine.npz")             obs, action, reward, terminated, truncated and, if you have it, next_obs
    datasets.make("hopper-medium.hdf5")   observations, actions, rewards, terminals, timeouts, next_observations
    datasets.make("cube-play-v0.npz")     observations, actions, terminals alone: OGBench's, see `trajectories`

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
from prospect_rl.envs.data.datasets import Elsewhere, check_form

D4RL = {
    "observations": "obs", "actions": "action", "rewards": "reward", "terminals": "terminated",
    "timeouts": "truncated", "next_observations": "next_obs",
}  # fmt: skip
"""Its names -> ours."""
THEIRS = {ours: name for name, ours in D4RL.items()}
OGBENCH = {"obs", "action", "terminated"}
NAMES = {name: name for name in D4RL.values()} | D4RL
GIB = 2**30
PEAK = 2.0
"""Peak memory while data is read, over its bytes: measured. What agents make of it comes on top."""


@dataclass(frozen=True, kw_only=True)
class File(Elsewhere):
    """The rows of a file of arrays: .npz, .safetensors, or .hdf5 and .h5 (with the extra `offline`).

    Other arrays in it are not looked at. Episodes end where a row is terminated or truncated; the last row of the file
    is truncated where it is neither.
    """

    path: str

    @property
    def source(self) -> Path:
        """The file."""
        return Path(self.path).expanduser().absolute()

    def build(self) -> Dataset:
        """Read the file. Raises ValueError, in one line, where it cannot be read or is larger than the free memory."""
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
                    raise ValueError(f"it holds both {D4RL[twice[0]]} and {twice[0]}")
                rows = {NAMES[name]: narrow(name, read(name)) for name in known}
        except (
            OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error, SafetensorError
        ) as error:  # fmt: skip
            raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
        if set(D4RL) & set(known):
            if set(rows) == OGBENCH:
                warnings.warn(f"{path} is read as OGBench's: terminals are where trajectories are cut, and all rewards "
                              "are 0, for it holds none", stacklevel=2)  # fmt: skip
                rows = trajectories(rows)
            if missing := [THEIRS[name] for name in D4RL.values() if name not in {"next_obs", *rows}]:
                raise ValueError(f"{path} lacks {', '.join(missing)}{TIMEOUTS if 'timeouts' in missing else ''}")
        return as_dataset(rows)


TIMEOUTS = ": add timeouts, 1 in the last row of each episode that a time limit or the record's end has cut, else 0"


def trajectories(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """OGBench's rows [M, ...] as ours, as its own loader has them.

    `terminals` is 1 in the last row of a trajectory, whose observation has been reached by the row before and whose
    action was not taken. Such rows become successors: what is left is truncated at a trajectory's end and pays 0.
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
    """Rows [M, ...] as agents want them: flags as bool, choices as int32, rewards as float32.

    firsts [episodes]: the first row of each episode (default: row 0, and where the row before is terminated or
    truncated). The last row of an episode that is neither becomes truncated. Raises ValueError for rows that have no
    place beside each other (`envs.data.datasets.check_form`).
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
    return Dataset(rows=rows | own, firsts=firsts.astype(np.int32))  # type: ignore[arg-type]  # NumPy's will do


def narrow(name: str, x: np.ndarray) -> np.ndarray:
    """`x` in types that agents have: float32 for real numbers, int32 for wide integers.

    Raises ValueError for integers that have no room there; real numbers become infinite, which `check` finds.
    """
    if np.issubdtype(x.dtype, np.floating):
        with np.errstate(over="ignore"):
            return x.astype(np.float32, copy=False)
    if not np.issubdtype(x.dtype, np.integer) or np.can_cast(x.dtype, np.int32):
        return x
    if x.size and (x.min() < -(2**31) or x.max() >= 2**31):
        raise ValueError(f"{name} holds integers of more than 32 bits")
    return x.astype(np.int32)


# --- memory ------------------------------------------------------------------------------------------


def free_memory() -> int:
    """Bytes that can still be had. On Linux what the system would give up for it, its file cache, counts as free."""
    try:
        facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_room(size: int) -> None:
    """Raise ValueError where data of `size` bytes, and its copies while it is read, have no place in memory."""
    if PEAK * size > (free := free_memory()):
        raise ValueError(
            f"it holds {size / GIB:.3g} GiB and takes {PEAK:g} times that to read, and {free / GIB:.3g} GiB of "
            "memory are free"
        )


# --- formats -----------------------------------------------------------------------------------------
# A reader opens a file and gives the names of its arrays, the bytes that those of interest take, and how to read one.

Opened = tuple[list[str], int, Callable[[str], np.ndarray]]


@contextmanager
def _npz(path: Path) -> Iterator[Opened]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no npz file")
    with np.load(path, allow_pickle=False) as file, zipfile.ZipFile(path) as members:
        sizes = {info.filename.removesuffix(".npy"): info.file_size for info in members.infolist()}

        def read(name: str) -> np.ndarray:
            if not isinstance(x := file[name], np.ndarray):  # NumPy gives the bytes of what is no array
                raise ValueError(f"{name} is no array")
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
                raise ValueError(f"{name} is a group, of {', '.join(group)}, not one array")
        yield names, sum(file[name].nbytes for name in names), lambda name: np.asarray(file[name][()])


READERS: dict[str, Callable[[Path], AbstractContextManager[Opened]]] = {
    ".npz": _npz, ".safetensors": _safetensors, ".hdf5": _hdf5, ".h5": _hdf5
}  # fmt: skip


def extra(package: str) -> Any:
    """A package of the extra `offline`. Raises ValueError, in one line, where it is missing."""
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError:
        raise ValueError(f'{package} is not installed; to get it: pip install "prospect-rl[offline]"') from None
