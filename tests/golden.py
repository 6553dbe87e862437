"""Digests of small runs, by processor and versions: `NPROC=1 python -m tests.golden` writes them.

They tell when a change alters results that it was not meant to alter. Another processor or version has other last bits:
there the digests of this machine are written beside those that are known.
"""

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path

from prospect_rl import agents, envs
from prospect_rl.experiments import train
from tests import toy_runs

PATH = Path(__file__).parents[1] / "results" / "golden.json"
AGENTS = {
    "td3": ("probe/target", 400, {"learning_starts": 100, "hidden": (16,)}),
    "novelty_search": ("point/sparse", 300, {}),
    "ppo": ("probe/discounting", 1000, {"hidden": (16,), "num_envs": 2}),
    "sac": ("probe/target", 400, {"learning_starts": 100, "hidden": (16,)}),
    "mbpo": (
        "probe/target",
        300,
        {
            "learning_starts": 100,
            "hidden": (16,),
            "model_hidden": (16,),
            "updates_per_step": 40.0,
            "alpha": 0.2,
            "tune_alpha": False,
            "target_every": 4,
            "members": 1,
            "elites": 1,
            "model_epochs": 1000,
            "rollouts": 100_000,
            "schedule": (20, 150, 1, 15),
        },
    ),  # fmt: skip
    "serene": ("point/sparse", 300, {}),
    "noveld": (
        "minigrid/DoorKey-5x5-v0",
        1000,
        {"hidden": (16,), "num_envs": 4, "learning_rate": 3e-4, "entropy": 0.0, "centre": False},
    ),  # fmt: skip
}
"""Name -> (environment, budget, fields)."""
CASES = (*toy_runs.CASES, *AGENTS)


def digest(case: str) -> str:
    """What a small run comes to."""
    if case in toy_runs.CASES:
        return toy_runs.run(case, None).digest
    env, budget, fields = AGENTS[case]
    return train(agents.make(case, **fields), envs.make(env), budget=budget, evals=1, seeds=(0,)).digest


def here() -> str:
    """What decides the last bits, besides the number of threads."""
    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        facts = {a.strip(): b.strip() for a, _, b in (line.partition(":") for line in info.read_text().splitlines())}
        features = hashlib.sha256(facts.get("flags", "").encode()).hexdigest()[:8]  # names of models say little
        model = f"{facts.get('model name', model)} {features}"
    return ", ".join([model, *(f"{name} {version(name)}" for name in ("jax", "jaxlib", "numpy"))])


def known() -> dict[str, dict[str, str]]:
    """All digests, by machine and case."""
    return json.loads(PATH.read_text()) if PATH.exists() else {}


if __name__ == "__main__":
    PATH.write_text(json.dumps(known() | {here(): {case: digest(case) for case in CASES}}, indent=1) + "\n")
