"""What the experiments of SMoSE share: agents of equal size, and figures of the trees."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from prospect_rl.agents import SAC, Smose
from prospect_rl.agents.api import Agent, Spec
from prospect_rl.agents.floor import Floor
from prospect_rl.agents.online.smose.sizes import medium_width, small_width
from prospect_rl.experiments.api import Exam

SOURCE = "Vincze et al., AAAI 2025 (SMoSE), arXiv 2412.13053"
POSTER = "AAAI poster of SMoSE, table of episodic rewards"
PAPER_BUDGET = 1_000_000
FLOORS: dict[str, Agent] = {"random": Floor(), "zero": Floor(action="zero")}
READS = (Exam("trees", {}, episodes=10, reads=True),)
"""The exam of a finished mixture: its readings, and trees of depth 3."""
SMALL: dict[str, Any] = {"hidden": (32, 32), "learning_starts": 200, "batch_size": 64, "capacity": 2000}
"""Settings of the smoke tiers."""
REDUCED: dict[str, Any] = {"hidden": (128, 128)}
"""Settings of the repro tiers: critics half as wide as the source's."""
RIVAL: dict[str, Any] = {"critic_learning_rate": 1e-3, "actor_delay": 2}
"""What SAC shares with SMoSE, so that they differ in the actor alone: the released code's SAC."""


def sac(**fields: Any) -> SAC:
    """SAC with the conventions of SMoSE's critics and temperature."""
    return SAC(**RIVAL | fields)


def linear(**fields: Any) -> Smose:
    """One linear expert, which needs no router."""
    return Smose(experts=1, **fields)


def small(spec: Spec) -> dict[str, Any]:
    """The actor of SAC-S: as many parameters as the router and one expert."""
    return {"actor_hidden": (small_width(spec),)}


def medium(spec: Spec) -> dict[str, Any]:
    """The actor of SAC-M: as many parameters as router and experts together."""
    return {"actor_hidden": (medium_width(spec),)}


def derived() -> dict[str, Callable[[Mapping[str, Any]], float]]:
    """Figures of the trees on runs with two experts above a tenth of the steps; without a value on all others."""

    def shared(row: Mapping[str, Any]) -> bool:
        return row.get("reading/main_experts", math.nan) >= 2

    def of(figure: Callable[[Mapping[str, Any]], float]) -> Callable[[Mapping[str, Any]], float]:
        return lambda row: figure(row) if shared(row) else math.nan

    def kept(row: Mapping[str, Any]) -> float:
        return row["reading/trees"] / row["reading/linear"] if row["reading/linear"] > 0 else math.nan

    return {
        "two_experts": lambda row: float(shared(row)) if "reading/main_experts" in row else math.nan,
        "trees_agreement": of(lambda row: row["trees/agreement"]),
        "trees_balanced": of(lambda row: row["trees/balanced"]),
        "trees_kept": of(kept),
        "trees_gain": of(lambda row: row["reading/trees"] - row["reading/best_expert"]),
    }
