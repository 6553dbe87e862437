"""The cache of files that can be rebuilt: $PROSPECT_CACHE, or ~/.cache/prospect."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def folder(kind: str = "") -> Path:
    """Return the cache folder of one kind of files (a subfolder), or the whole cache."""
    return place("PROSPECT_CACHE", Path("~/.cache/prospect")) / kind


def place(variable: str, otherwise: Path) -> Path:
    """Return the folder named by an environment variable, or a default; `~` is expanded.

    Args:
        variable: Name of the environment variable.
        otherwise: The folder to use if the variable is unset or empty.

    Returns:
        The folder, which need not exist.

    Raises:
        ValueError: If the home folder in the path is unknown.
    """
    named = Path(os.environ.get(variable) or otherwise)
    try:
        return named.expanduser()
    except RuntimeError:
        raise ValueError(f"{variable} is in an unknown home folder: {named}") from None


def write(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """Write a file atomically: it is either complete or absent, even if several processes write it at once.

    Args:
        path: The file to write; its folder is created if needed.
        save: Function that writes the contents to an open binary file.

    Raises:
        ValueError: If the file or its folder cannot be written for lack of permission.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:  # with the permissions of the umask, so that other users may read it
            save(file)
        temporary.replace(path)
    except PermissionError as error:
        raise refused(error, "written") from None
    finally:
        with suppress(OSError):  # a folder that cannot be written to cannot be cleaned up either
            temporary.unlink(missing_ok=True)


def refused(error: PermissionError, what: str = "read") -> ValueError:
    """Return the one-line error for a file or folder that this user has no permission for."""
    return ValueError(f"{error.filename} cannot be {what}: {error.strerror}; set $PROSPECT_CACHE to another folder")
