"""Assembly of one row of metrics."""

from __future__ import annotations

from typing import Any

from prospect_rl.envs.api import Tree
from prospect_rl.experiments.run.ledger import Ledger, summary


def row_of(
    seed: int, mark: int, unit: str, facts: Tree, figures: dict[str, Any], ended: dict[str, Any], ledger: Ledger | None
) -> dict[str, Any]:
    """The metrics row of ONE seed: seed and position in the run, then evaluation, collection, learning, ledger."""
    row: dict[str, Any] = {"seed": seed, "mark": mark, "unit": unit, **{k: int(x) for k, x in facts.items()}}
    if ended:
        count = float(ended["count"])
        row["collect/episodes"] = int(count)
        for name in ("return", "length", "success"):
            row[f"collect/{name}"] = float(ended[name]) / count if count else float("nan")
        if "failed" in ended:
            row["collect/failed"] = int(ended["failed"])
    for name, x in figures.items():
        if x.ndim == 0:
            row[name] = float(x)
        else:
            row |= {f"{name}_{k}": value for k, value in enumerate(x.ravel().tolist())}
    return row | (summary(ledger) if ledger is not None else {})
