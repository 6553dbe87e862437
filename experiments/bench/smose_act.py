"""One action of SMoSE's policy exported to NumPy, against the bare NumPy expression of its router and one expert.

What the export adds is what makes it a policy for any loop: it checks and casts the observation, scales and clips the
action, and says what it is made of. Beside it: how long `prospect explain` takes with its defaults.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import loops

TARGETS: bench.Targets = {"ratio_to_bare": ("at most", 6.0)}
CALLS = 2000
PATIENCE = 600.0
"""Seconds after which a command counts as failed."""


def measure() -> dict[str, float]:
    """Microseconds per action of both, and seconds of a page."""
    whole, bare = bench.start(acting).result()
    return {
        "ratio_to_bare": whole / bare, "us_per_action": whole * 1e6, "us_per_action_bare": bare * 1e6,
        "explain_s": bench.start(explaining).result(),
    }  # fmt: skip


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

    def turn() -> None:
        for _ in range(CALLS):
            call()

    return 1 / loops.best_of(turn, CALLS)


def explaining() -> float:
    """Seconds of `prospect explain`, from the command line to the page, of a run that has hardly learned."""
    with tempfile.TemporaryDirectory() as folder:
        few = "--learning-starts", "100", "--budget", "200", "--evals", "1", "--eval-episodes", "1"
        prospect("run", "smose", loops.TASK, *few, "--out", folder)
        begun = time.perf_counter()
        prospect("explain", folder)
        return time.perf_counter() - begun


def prospect(*words: str) -> None:
    """A command in a process of its own. Raises ValueError with its last words if it fails."""
    command = [sys.executable, "-m", "prospect_rl.experiments", *words]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=PATIENCE)
    if done.returncode:
        raise ValueError(f"prospect {words[0]} failed: {done.stderr.strip()[-500:]}")
