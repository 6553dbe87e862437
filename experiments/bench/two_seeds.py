"""Two seeds of TD3 side by side, a core each, against one seed on both cores: why sweeps run a seed a core."""

from __future__ import annotations

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops

CORES = 2
TARGETS: bench.Targets = {"ratio": ("at least", 1.2)}


def measure() -> dict[str, float]:
    """Steps per second of both alternatives, summed over seeds."""
    pair = alone = 0.0
    for _ in range(loops.ROUNDS):
        futures = [bench.start(loops.loop, "td3", core=core) for core in range(2)]
        pair = max(pair, sum(future.result() for future in futures))
        alone = max(alone, bench.start(loops.loop, "td3", cores=2).result())
    return {"ratio": pair / alone, "steps_per_s_pair": pair, "steps_per_s_alone": alone}
