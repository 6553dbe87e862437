"""Files that are whole or absent, and JSON that says the same thing in the same bytes.

Every file that a later start relies on is written beside its place, synced to the disk and renamed into it.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prospect_rl.envs.identity import home_of

UNABLE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
"""What file systems say that cannot sync a folder (shares of other systems): there a crash may undo a rename."""
Json = Any
"""What `json` can write: None, bool, int, float, str, and lists and dicts of these."""


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last (a rename is durable only then), where the file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNABLE:
            raise
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make the contents of a file last."""
    with path.open("rb+") as f:
        os.fsync(f.fileno())


def write(path: Path, data: bytes) -> None:
    """Replace a file as a whole: whoever reads it sees the old bytes or the new ones."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # process numbers repeat on other machines
    try:
        beside.write_bytes(data)
        sync_file(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)  # a full disk must not keep the half that fitted
    sync_folder(path.parent)


def read_lines(path: Path, *, whole: bool = False) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file. Raises ValueError, naming file and line, for one that is no row.

    whole: leave out a last line that has no end.
    """
    data = path.read_bytes()
    lines = (data[: data.rfind(b"\n") + 1] if whole else data).splitlines()
    return [_object(line, f"{path} is not readable in line {number}") for number, line in enumerate(lines, 1)]


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ValueError, naming the file, where it holds none."""
    return _object(path.read_bytes(), f"{path} is not readable")


def _object(text: bytes, complaint: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(complaint)
    return found


def dumps(value: Json, indent: int | None = None) -> str:
    """Strict JSON: numbers that are not finite become null."""
    return json.dumps(finite(value), allow_nan=False, indent=indent)


def finite(value: Json) -> Json:
    """The same value with None in the place of NaN and the infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(x) for name, x in value.items()}
    if isinstance(value, list | tuple):
        return [finite(x) for x in value]
    return value


def sha256(data: bytes) -> str:
    """The digest of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def hash_of(config: Json) -> str:
    """16 hexadecimal digits that depend on the values alone, not on the order of the names."""
    return sha256(json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())[:16]


def canonical(value: Any) -> Json:
    """A configuration value as JSON: dataclasses by class and fields, 5.0 as 5, infinities as words.

    Raises ValueError for a value whose text could differ from one process to the next.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic):
        return canonical(value.item())
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() else value
    if isinstance(value, list | tuple):
        return [canonical(x) for x in value]
    if isinstance(value, Mapping):
        return {str(name): canonical(x) for name, x in sorted(value.items())}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"class": type(value).__name__, **fields_of(value)}
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{home_of(value.__module__)}.{value.__qualname__}"
    raise ValueError(f"a {type(value).__name__} cannot be written into a run's configuration")


def fields_of(config: Any, *, leave_out: tuple[str, ...] = ()) -> dict[str, Json]:
    """The fields of a dataclass as JSON.

    A field whose metadata says `later` is left out while it has its default, so that runs made before it was added keep
    their hash.
    """
    kept = [f for f in dataclasses.fields(config) if f.name not in leave_out]
    kept = [f for f in kept if not f.metadata.get("later") or getattr(config, f.name) != f.default]
    return {f.name: canonical(getattr(config, f.name)) for f in kept}


def differences(old: Json, new: Json, at: str = "") -> list[str]:
    """Where two configurations differ: `a.b: old -> new`, one line a value."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*old, *(name for name in new if name not in old)]
        inside = f"{at}." if at else ""
        lines = (differences(old.get(name, "absent"), new.get(name, "absent"), f"{inside}{name}") for name in names)
        return [line for group in lines for line in group]
    return [] if old == new and type(old) is type(new) else [f"{at}: {old} -> {new}"]
