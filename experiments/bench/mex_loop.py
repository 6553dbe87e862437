"""MEX's loop against TD3's, beside the same ratio of their bare updates, on two cores.

MEX's value term costs three more passes of the critics: arithmetic that no loop can save. What is measured is whether
the loop adds to it.
"""

from __future__ import annotations

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops

CORES = 2
TARGETS: bench.Targets = {"ratio_to_bare_ratio": ("at least", 0.9)}


def measure() -> dict[str, float]:
    """Both ratios and the four rates behind them."""
    ways = {f"{kind.__name__}_{name}": (kind, name) for kind in (loops.loop, loops.bare) for name in ("mex", "td3")}
    found = loops.race(ways, cores=CORES)
    ratio, bare_ratio = (found[f"{kind}_mex"] / found[f"{kind}_td3"] for kind in ("loop", "bare"))
    return {"ratio_to_bare_ratio": ratio / bare_ratio, "ratio": ratio, "bare_ratio": bare_ratio, **found}
