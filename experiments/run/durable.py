"""Atomic file writes, and canonical JSON: equal values give equal bytes.

Every file that a resumed run relies on is written to a temporary file, synced to disk and renamed.
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
"""Errors of file systems that cannot sync a folder (network shares): there a crash may undo a rename."""
Json = Any
"""A JSON value: None, bool, int, float, str, and lists and dicts of these."""


def sync_folder(folder: Path) -> None:
    """Sync the entries of a folder to disk, if the file system supports it; only then is a rename durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNABLE:
            raise
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Sync the contents of a file to disk."""
    with path.open("rb+") as f:
        os.fsync(f.fileno())


def write(path: Path, data: bytes) -> None:
    """Replace a file atomically: a reader sees either the old or the new contents."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # a pid would not be unique across machines
    try:
        beside.write_bytes(data)
        sync_file(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)  # do not leave a partial file on a full disk
    sync_folder(path.parent)


def read_lines(path: Path, *, whole: bool = False) -> list[dict[str, Any]]:
    """Read the rows of a JSON-lines file. Raises ValueError, naming file and line, for a malformed row.

    whole: ignore an incomplete last line.
    """
    data = path.read_bytes()
    lines = (data[: data.rfind(b"\n") + 1] if whole else data).splitlines()
    return [_object(line, f"{path} is not readable in line {number}") for number, line in enumerate(lines, 1)]


def read_object(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file. Raises ValueError, naming the file, if it does not contain one."""
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
    """Strict JSON text; numbers that are not finite become null."""
    return json.dumps(finite(value), allow_nan=False, indent=indent)


def finite(value: Json) -> Json:
    """A copy of the value with None in place of NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(x) for name, x in value.items()}
    if isinstance(value, list | tuple):
        return [finite(x) for x in value]
    return value


def sha256(data: bytes) -> str:
    """The SHA-256 digest of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def hash_of(config: Json) -> str:
    """Hash of a configuration, 16 hexadecimal digits, independent of the order of the keys."""
    return sha256(json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())[:16]


def canonical(value: Any) -> Json:
    """A configuration value as JSON: dataclasses as class and fields, 5.0 as 5, infinities as strings.

    Raises ValueError for a value whose text could differ between processes.
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

    A field with `later` in its metadata is omitted while it has its default value, so that runs from before it was
    added keep their hash.
    """
    return {f.name: canonical(getattr(config, f.name)) for f in told(config) if f.name not in leave_out}


def told(config: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that identify it."""
    fields = dataclasses.fields(config)
    return [f for f in fields if not f.metadata.get("later") or getattr(config, f.name) != f.default]


def differences(old: Json, new: Json, at: str = "") -> list[str]:
    """The differences between two configurations, one line `a.b: old -> new` per value."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*old, *(name for name in new if name not in old)]
        inside = f"{at}." if at else ""
        lines = (differences(old.get(name, "absent"), new.get(name, "absent"), f"{inside}{name}") for name in names)
        return [line for group in lines for line in group]
    return [] if old == new and type(old) is type(new) else [f"{at}: {old} -> {new}"]
