"""STAX on the hard maze as in `stax_maze`'s repro tier, 200,000 evaluations on one core, beside SERENE.

`share_training` is the share of STAX's time that trains the autoencoder and renews features. Two seeds side by side,
a core each, are compared with one alone at a fifth of the budget.
"""

from __future__ import annotations

import resource
import tempfile
import time
from typing import Any

from prospect_rl.experiments import bench

CORES = 2
TARGETS: bench.Targets = {
    "ratio_to_serene": ("at most", 4.5),
    "peak_gb": ("at most", 1.0),
    "ratio_two_seeds": ("at least", 1.7),
}


def measure(budget: int = 200_000) -> dict[str, float]:
    """Minutes of both agents, STAX's peak memory and share of training, and two seeds against one."""
    stax, serene = (bench.start(training, label, budget).result() for label in ("stax", "serene"))
    alone = bench.start(training, "stax", budget // 5).result()
    children = [bench.start(training, "stax", budget // 5, seed, core=seed) for seed in (0, 1)]
    pair = max(child.result()["minutes"] for child in children)
    return stax | {
        "minutes_serene": serene["minutes"], "ratio_to_serene": stax["minutes"] / serene["minutes"],
        "ratio_two_seeds": 2 * alone["minutes"] / pair,
    }  # fmt: skip


def training(label: str, budget: int, seed: int = 0) -> dict[str, float]:
    """Train one agent in this process: minutes, peak memory in GB, and the share of chunks that evaluate nothing."""
    begun = time.perf_counter()
    from prospect_rl import envs
    from prospect_rl.experiments import train
    from prospect_rl.experiments.register import load

    tier, idle = load("stax_maze").repro, 0.0
    last: tuple[float, int] = begun, 0

    def progress(told: dict[str, Any]) -> None:
        nonlocal idle, last
        now = time.perf_counter()
        idle += (now - last[0]) * (told["used"] == last[1])
        last = now, told["used"]

    env = envs.make(tier.envs[0], **tier.env_fields[tier.envs[0]])
    with tempfile.TemporaryDirectory() as folder:
        train(tier.agents[label], env, seed=seed, budget=budget, evals=tier.evals, out=folder, progress=progress)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"minutes": seconds / 60, "peak_gb": peak, "share_training": idle / seconds}
