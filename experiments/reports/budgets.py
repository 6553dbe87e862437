"""Budgets in words, and curves on one axis, where agents of an experiment count in different units.

An agent that learns from steps has a budget in steps, one that learns from whole episodes in evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prospect_rl.experiments.api import Claim, Tier

SHARE = "share of the budget"
"""The axis of curves whose budgets have different units."""


def units(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Label -> unit of its budget, from the rows of a summary."""
    return {row["label"]: row["unit"] for row in rows}


def in_words(tier: Tier, rows: Sequence[Mapping[str, Any]]) -> str:
    """The budgets of a tier in each environment: with the agents that have them, where not all have the same."""
    of, usual, parts = units(rows), rows[0]["unit"], []
    for env in tier.envs:
        found: dict[str, list[str]] = {}
        for label in tier.agents:
            found.setdefault(f"{tier.budget_of(env, label):,} {of.get(label, usual)}", []).append(label)
        several = len(found) > 1
        said = [budget + (f" of {', '.join(labels)}" if several else "") for budget, labels in found.items()]
        parts.append(f"{' and '.join(said)} ({env})")
    return ", ".join(parts)


def least_of(claim: Claim, tier: Tier, rows: Sequence[Mapping[str, Any]]) -> int:
    """The smallest budget of the agent that a claim is about: of its runs, or as declared; 0 if the tier lacks it."""
    if claim.left not in tier.agents:
        return 0
    had = {row["env"]: int(row["budget"]) for row in rows if row["label"] == claim.left}
    return min(had.get(env, tier.budget_of(env, claim.left)) for env in claim.envs)


def on_one_axis(
    curves: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[Mapping[str, Any]], str]:
    """(curves, name of their axis): as they are in one unit, else with `used` as a share of the agent's budget."""
    if len(set(units(rows).values())) == 1:
        return curves, rows[0]["unit"]
    most: dict[tuple[str, str], float] = {}
    for row in curves:
        cell = row["env"], row["label"]
        most[cell] = max(most.get(cell, 0), row["used"])
    return [{**row, "used": row["used"] / most[row["env"], row["label"]]} for row in curves], SHARE
