"""Updates of IQL and TD3+BC against the same in eager PyTorch, on two cores.

One update on one fixed batch of 256 rows of HalfCheetah (17 numbers seen, 6 actions), hidden layers of 256 and 256. The
PyTorch updates are written for this bench, from the same equations; both draw their random numbers anew each time.
Beside them stands what a GPU gives, which is published and not measured here: a million updates of JAX-CORL against
CORL's own times, both from their pages. Needs the extra `sb3`, for torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops

CORES = 2
AGENTS = ("iql", "td3_bc")
TARGETS: bench.Targets = {f"ratio_to_torch_{name}": ("at least", 2.0) for name in AGENTS}
PUBLISHED = {"iql": 4.08 * 60 / 9, "td3_bc": 2.47 * 60 / 9}
"""Published duration of CORL on a GPU divided by the 9 minutes of JAX-CORL on another, for a million updates."""
STEPS = 100


def measure() -> dict[str, float]:
    """Updates per second by agent, ours and PyTorch's. Raises ValueError without torch."""
    if find_spec("torch") is None:
        raise ValueError("offline_update needs torch: install the extra sb3")
    ways = {name: (ours, name) for name in AGENTS} | {f"{name}_torch": (theirs, name) for name in AGENTS}
    found = loops.race(ways, cores=CORES)
    return {
        **{f"ratio_to_torch_{name}": found[name] / found[f"{name}_torch"] for name in AGENTS},
        **{f"updates_per_s_{way}": rate for way, rate in found.items()},
        **{f"published_ratio_on_gpu_{name}": PUBLISHED[name] for name in AGENTS},
    }


def agent_of(name: str) -> Any:
    """A registered agent, bound to the task."""
    from prospect_rl import agents, envs

    return agents.make(name).bind(envs.make(loops.TASK).spec)


def ours(name: str) -> float:
    """Updates per second of our code."""
    agent = agent_of(name)
    return loops.updates(agent, loops.experience(*agent.sizes), STEPS)


def theirs(name: str) -> float:
    """Updates per second of PyTorch with the same number of threads."""
    import numpy as np

    torch, agent = import_module("torch"), agent_of(name)
    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    learner = import_module("prospect_rl.experiments.bench.offline_torch").LEARNERS[name](agent)
    batch = jax.tree.map(lambda x: torch.tensor(np.asarray(x)), loops.experience(*agent.sizes))

    def turn() -> None:
        for _ in range(STEPS):
            learner.update(batch, torch.randn(batch.action.shape))

    return loops.best_of(turn, STEPS)
