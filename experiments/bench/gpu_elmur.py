"""ELMUR's training step in the T-Maze on an accelerator: of one segment, and through twelve.

The step of `elmur_train`, on 64 windows, without PyTorch beside it.
"""

from __future__ import annotations

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench.elmur_train import SEGMENTS, our_step

TARGETS: bench.Targets = {f"ms_bptt{SEGMENTS}": ("at most", 7.5)}
"""Milliseconds, on an NVIDIA H200."""


def measure(small: bool) -> dict[str, float]:
    """Milliseconds per optimiser step."""
    groups = {"ms_detached": 1} | ({} if small else {f"ms_bptt{SEGMENTS}": SEGMENTS})
    return {name: bench.start(our_step, group, cores=0).result() for name, group in groups.items()}
