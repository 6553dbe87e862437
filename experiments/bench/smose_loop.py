"""SMoSE's whole loop in HalfCheetah against our SAC's, and its update against the same in eager PyTorch, on two cores.

The policy is 1,872 numbers where SAC's has 73,484, but its router adds small passes. The PyTorch update is written for
this bench, from the same equations; both draw their random numbers anew each time. Needs the extra `sb3`, for torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import jax

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops

CORES = 2
TARGETS: bench.Targets = {"ratio_to_sac": ("at least", 1.1), "ratio_to_torch": ("at least", 3.0)}
STEPS = 100


def measure() -> dict[str, float]:
    """Steps per second of both loops, updates per second of ours and PyTorch's. Raises ValueError without torch."""
    if find_spec("torch") is None:
        raise ValueError("smose_loop needs torch: install the extra sb3")
    ways = {f"{kind.__name__}_{name}": (kind, name) for kind in (loops.loop, loops.bare) for name in ("smose", "sac")}
    found = loops.race({**ways, "torch": (theirs,)}, cores=CORES)
    return {
        "ratio_to_sac": found["loop_smose"] / found["loop_sac"], "ratio_to_torch": found["bare_smose"] / found["torch"],
        "steps_per_s": found["loop_smose"], "steps_per_s_sac": found["loop_sac"],
        "updates_per_s": found["bare_smose"], "updates_per_s_sac": found["bare_sac"],
        "updates_per_s_torch": found["torch"],
    }  # fmt: skip


def theirs() -> float:
    """Updates per second of PyTorch with the same number of threads."""
    import numpy as np

    torch, agent = import_module("torch"), loops.agent_of("smose")
    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    learner = import_module("prospect_rl.experiments.bench.smose_torch").Learner(agent)
    batch = jax.tree.map(lambda x: torch.tensor(np.asarray(x)), loops.experience(*agent.sizes))

    def turn() -> None:
        for _ in range(STEPS):
            learner.update(batch, torch.randn)

    return loops.best_of(turn, STEPS)
