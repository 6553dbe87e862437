"""Where what can be made again is kept: $PROSPECT_CACHE, or ~/.cache/prospect."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def folder(kind: str = "") -> Path:
    """The folder of one kind of things, or that of all."""
    return Path(os.environ.get("PROSPECT_CACHE") or Path.home() / ".cache" / "prospect").expanduser() / kind


def write(path: Path, save: Callable[[BinaryIO], object]) -> None:
    """Make a file whole or not at all, by `save(file)`; many processes may write it at once, each a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half, half_path = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(half, "wb") as file:
            save(file)
        os.replace(half_path, path)
    except BaseException:
        os.unlink(half_path)
        raise
