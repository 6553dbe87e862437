"""SAC's whole loop in HalfCheetah against SBX's and stable-baselines3's, one process on two cores each."""

from __future__ import annotations

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops

CORES = 2
TARGETS: bench.Targets = {"ratio_to_sbx": ("at least", 1.5), "ratio_to_sb3": ("at least", 2.5)}
PASSES = 16.0
"""Matrix products of an update, as forward passes of a critic: target 1 + 2, critics 2 forward and 4 backward, the
actor 1 + 2 for itself and 2 + 2 through the critics."""


def measure() -> dict[str, float]:
    """Steps per second of all three, and ours relative to the bare update and to its matrix products."""
    return loops.against_rivals("sac", PASSES)
