"""How many threads XLA and MuJoCo use on the CPU."""

from __future__ import annotations

import os


def threads() -> int:
    """$NPROC, which XLA reads too, or the cores that this process may use. Raises ValueError for a bad $NPROC."""
    if nproc := os.environ.get("NPROC"):
        if not nproc.isdecimal() or int(nproc) < 1:
            raise ValueError(f"NPROC must be a whole number from 1 up, not {nproc!r}")
        return int(nproc)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
