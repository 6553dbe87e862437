"""Reading the arrays that a finished run stores in report.npz."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def load_report(folder: Path, member: int = 0, members: int = 1) -> dict[str, np.ndarray]:
    """The arrays of one seed in report.npz; in a run over several seeds they have a leading seed axis."""
    path = folder / "report.npz"
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (EOFError, ValueError, KeyError, zipfile.BadZipFile):
        raise ValueError(f"{path} is not readable; delete it and result.json, and the same run rewrites both") from None
    return {name: array[member] for name, array in arrays.items()} if members > 1 else arrays


def entries(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Indices of the occupied rows of an archive: empty ones have an infinite descriptor."""
    return np.flatnonzero(np.all(np.isfinite(arrays["descriptor"]), axis=-1))
