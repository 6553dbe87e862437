"""Where what can be made again is kept: $PROSPECT_CACHE, or ~/.cache/prospect."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def folder(kind: str = "") -> Path:
    """The folder of one kind of things, or that of all."""
    return place("PROSPECT_CACHE", Path("~/.cache/prospect")) / kind


def place(variable: str, otherwise: Path) -> Path:
    """The folder that an environment variable names, or another one; `~` is somebody's home in both."""
    named = Path(os.environ.get(variable) or otherwise)
    try:
        return named.expanduser()
    except RuntimeError:
        raise ValueError(f"{variable} is below a home that this system does not know: {named}") from None


def write(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """Make a file whole or not at all, by `save(file)`; many processes may write it at once, each a whole one."""
    half = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("xb") as file:  # with the modes that the umask leaves: other users may read it
            save(file)
        half.replace(path)
    except PermissionError as error:
        raise refused(error, "written") from None
    finally:
        with suppress(OSError):  # where nothing can be written nothing can be removed
            half.unlink(missing_ok=True)


def refused(error: PermissionError, what: str = "read") -> ValueError:
    """One line for a file or folder of another user that is not open to this one."""
    return ValueError(f"{error.filename} cannot be {what}: {error.strerror}; $PROSPECT_CACHE may name another folder")
