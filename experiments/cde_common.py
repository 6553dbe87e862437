"""What CDE's experiments share: its rivals, its data, its claims (card A8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents import AWAC, BC, CDE, IQL, FilteredBC, OptiDICE
from agents.api import Agent
from agents.floor import Floor
from experiments.api import Claim, Data

SOURCE = "CDE, ICLR 2024, arXiv 2401.08819"
MAZES = UMAZE, MEDIUM, LARGE = tuple(f"maze2d/{maze}" for maze in ("umaze", "medium", "large"))
PAPER_BUDGET = 100_000
SHORT = 30_000
"""A budget of three in ten of the source's."""
METRICS = ("eval/return", "eval/success")
SMALL: Mapping[str, Any] = {"hidden": (32, 32), "batch_size": 64}
"""For smoke tiers."""


def dice(budget: int, **fields: Any) -> dict[str, Any]:
    """Fields of CDE and OptiDICE: the policy waits for a fifth of the budget, as in the source; alpha for mazes."""
    return {"warm_up": budget // 5, "alpha": 0.001, **fields}


def learners(budget: int, *, alpha: float = 0.001, temperature: float = 0.1, **fields: Any) -> dict[str, Agent]:
    """CDE, its rivals and the floor. alpha: of CDE and OptiDICE; temperature: of AWAC. Both are those for mazes."""
    return {
        "cde": CDE(**dice(budget, alpha=alpha, **fields)),
        "optidice": OptiDICE(**dice(budget, alpha=alpha, **fields)),
        "iql": IQL(decay=budget, **fields),
        "awac": AWAC(temperature=temperature, **fields),
        "bc": BC(**fields),
        "bc_filtered": FilteredBC(**fields),
        "random": Floor(),
    }


def data(env: str, **fields: Any) -> Data:
    """What a maze's noisy controller did, in as many rows as D4RL has."""
    return Data(f"{env}/waypoints", fields)


def few(env: str, **fields: Any) -> Data:
    """Some 20,000 rows of it, for smoke tiers."""
    return data(env, rows=20_000, streams=20, **fields)


def above(name: str, left: str, right: str, env: str, metric: str = "d4rl score", **fields: Any) -> Claim:
    """More of a metric at equal steps."""
    text = f"{left} ends above {right} in {env} after as many updates"
    source = f"{SOURCE}; card A8"
    return Claim(name, fields.pop("text", text), fields.pop("source", source), metric, env, left, right, **fields)
