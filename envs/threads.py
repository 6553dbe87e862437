"""The number of CPU threads that XLA and MuJoCo use."""

from __future__ import annotations

import os


def threads() -> int:
    """Return the number of threads to use.

    Returns:
        $NPROC (which XLA reads too) if it is set, else `cores`.

    Raises:
        ValueError: If $NPROC is not a whole number of at least 1.
    """
    if nproc := os.environ.get("NPROC"):
        if not nproc.isdecimal() or int(nproc) < 1:
            raise ValueError(f"NPROC must be a whole number of at least 1, not {nproc!r}")
        return int(nproc)
    return cores()


def cores() -> int:
    """Return the number of cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
