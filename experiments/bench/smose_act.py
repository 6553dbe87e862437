"""One action of SMoSE's policy exported to NumPy, against the bare NumPy expression of its router and one expert.

What the export adds is what makes it a policy for any loop: it checks and casts the observation, scales and clips the
action, and says what it is made of.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops

TARGETS: bench.Targets = {"ratio_to_bare": ("at most", 6.0)}
CALLS, TURNS = 2000, 7


def measure() -> dict[str, float]:
    """Microseconds per action of both."""
    whole, bare = bench.start(acting).result()
    return {"ratio_to_bare": whole / bare, "us_per_action": whole * 1e6, "us_per_action_bare": bare * 1e6}


def acting() -> tuple[float, float]:
    """Seconds per action of (the exported policy, the bare expression)."""
    import jax
    import numpy as np

    agent = loops.agent_of("smose", capacity=1)
    behaviour = agent.exploit(jax.jit(agent.init)(jax.random.key(0)))
    policy, law = agent.to_numpy(behaviour), jax.tree.map(np.asarray, agent.law(behaviour))
    obs = np.random.default_rng(0).standard_normal(agent.sizes[0]).astype(np.float32)

    def bare(obs: Any) -> Any:
        logits = obs @ law.router_kernel + law.router_bias
        first = logits.argmax()
        p = 1 / np.exp(logits - logits[first]).sum()
        return np.tanh(p * (obs @ law.mean_kernel[first] + law.mean_bias[first]))

    np.testing.assert_allclose(policy(obs), bare(obs), atol=1e-6)
    return each(lambda: policy(obs)), each(lambda: bare(obs))


def each(call: Callable[[], Any]) -> float:
    """Seconds per call, in the best repetition."""
    found = []
    for _ in range(TURNS):
        begun = time.perf_counter()
        for _ in range(CALLS):
            call()
        found.append((time.perf_counter() - begun) / CALLS)
    return min(found)
