"""SAC's whole loop in HalfCheetah against SBX's and stable-baselines3's, one process on two cores each."""

from __future__ import annotations

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops

CORES = 2
TARGETS: bench.Targets = {"ratio_to_sbx": ("at least", 1.5), "ratio_to_sb3": ("at least", 2.5)}
PASSES = 16.0
"""Products of an update, in forward passes of a critic: target 1 + 2, critics 2 forward and 4 backward, the actor 1 + 2
for itself and 2 + 2 through the critics."""


def measure() -> dict[str, float]:
    """Steps a second of all three, and how far ours is from the bare update and from its products alone."""
    return loops.against_rivals("sac", PASSES)
