"""Shared parts of CDE's experiments: agents, data and claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prospect_rl.agents import AWAC, BC, CDE, IQL, FilteredBC, OptiDICE
from prospect_rl.agents.api import Agent
from prospect_rl.agents.floor import Floor
from prospect_rl.experiments.api import Claim, Data

SOURCE = "CDE, ICLR 2024, arXiv 2401.08819"
HEADLINE = f"{SOURCE}, table 1 (CDE 210.0 ± 13.5; the best rival, OptiDICE, 155.7 ± 33.4)"
OWN = f"our reading of {SOURCE}, table 1, whose figure for this pair was not to be had"
MAZES = UMAZE, MEDIUM, LARGE = tuple(f"maze2d/{maze}" for maze in ("umaze", "medium", "large"))
PAPER_BUDGET = 100_000
SHORT = 30_000
"""A budget of 30 % of the source's."""
METRICS = ("eval/return", "eval/success")
SMALL: Mapping[str, Any] = {"hidden": (32, 32), "batch_size": 64}
"""Fields of small agents for smoke tiers."""


def dice(budget: int, **fields: Any) -> dict[str, Any]:
    """Fields of CDE and OptiDICE: the policy starts after a fifth of the budget, as in the source; alpha for mazes."""
    return {"warm_up": budget // 5, "alpha": 0.001, **fields}


def learners(budget: int, *, alpha: float = 0.001, temperature: float = 0.1, **fields: Any) -> dict[str, Agent]:
    """CDE, the compared agents and the floor. alpha is for CDE and OptiDICE, temperature for AWAC (in mazes)."""
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
    """Data of a maze's noisy controller, with as many rows as D4RL's."""
    return Data(f"{env}/waypoints", fields)


def few(env: str, **fields: Any) -> Data:
    """About 20,000 rows of that data, for smoke tiers."""
    return data(env, rows=20_000, streams=20, **fields)


NAMES = {
    "cde": "CDE", "optidice": "OptiDICE", "iql": "IQL", "cql": "CQL", "bc": "behaviour cloning",
    "bc_filtered": "behaviour cloning of the best tenth of the trajectories",
}  # fmt: skip


def above(
    name: str, left: str, right: str, env: str, metric: str = "d4rl score", *, text: str = "", source: str = "",
    **fields: Any,
) -> Claim:  # fmt: skip
    """One agent above another after as many updates; the paper has CDE above OptiDICE, CQL and IQL (large maze)."""
    printed = env == LARGE and left == "cde" and right in ("optidice", "cql", "iql")
    what = "D4RL score" if metric == "d4rl score" else "success rate"
    said = f"{NAMES.get(left, left)} has a higher {what} than {NAMES.get(right, right)} in {env} after as many updates."
    own: dict[str, Any] = {"kind": "paper" if printed else "check"} | fields
    return Claim(name, text or said, source or (HEADLINE if printed else OWN), metric, env, left, right, **own)
