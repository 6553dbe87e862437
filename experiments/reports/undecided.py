"""What would decide the open claims: results/UNDECIDED.md.

For each INCONCLUSIVE claim, whole experiments are redrawn from the scores of its seeds, with more seeds a side. The
number of seeds that decides four redraws of five is an estimate before the runs: few seeds know little of the spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prospect_rl.experiments.api import Claim, Experiment
from prospect_rl.experiments.metrics import number
from prospect_rl.experiments.register import load
from prospect_rl.experiments.reports import kinds, records, statistics
from prospect_rl.experiments.reports.claims import Side, bounds, cells_of, outcome_of, sides_of
from prospect_rl.experiments.reports.overview import Judged, judged
from prospect_rl.experiments.reports.records import Row
from prospect_rl.experiments.reports.report import RESULTS, bound_of, tier_of
from prospect_rl.experiments.reports.scores import markdown
from prospect_rl.experiments.run import durable

SIZES = (10, 15, 20, 30, 40, 60, 85)
"""Numbers of seeds a side that are tried."""
DRAWS, ENOUGH = 100, 0.8
"""Redraws of each size, and the share of them that must be decided."""
LEVEL = statistics.LEVEL_OF_TWO_LOOKS
"""The first seeds have been seen."""
NOTE = """Every claim whose verdict is INCONCLUSIVE, and what would decide it, cheapest first. *Seeds*: how many a side
would decide it, at the level of a second look, in four of five experiments redrawn from the scores so far; *above 85*:
the difference lies too near the margin. *Minutes*: of one core, all runs of both sides anew. The number of seeds is
declared in the experiment (`seeds`, with `seen` for those of the first look) before any of them runs. Runs that wait:
[the queue](QUEUE.md)."""


def decided(claim: Claim, left: np.ndarray, right: np.ndarray | None) -> bool:
    """Whether these values [S] pass or fail the claim."""
    return outcome_of(claim, *bounds(claim, left, right, LEVEL)) != "INCONCLUSIVE"


def seeds_needed(claim: Claim, sides: Sequence[Side]) -> int | None:
    """The least of `SIZES` that decides most redraws of the sides' values; None if none does."""
    generator = np.random.default_rng(0)
    for size in (size for size in SIZES if size > max(len(one.values) for one in sides)):
        count = 0
        for _ in range(DRAWS):
            drawn = [generator.choice(one.values, size) for one in sides]
            count += decided(claim, drawn[0], drawn[1] if len(drawn) > 1 else None)
        if count >= ENOUGH * DRAWS:
            return size
    return None


def minutes_a_seed(rows: Sequence[Row], env: str, label: str) -> float:
    """Wall-clock minutes of one core for a seed of this cell; runs of several seeds are shared out among them."""
    mine = [row for row in rows if (row["env"], row["label"]) == (env, label)]
    return sum({row["hash"]: row["wall_minutes"] for row in mine}.values()) / len(mine)


def page(results: Path = RESULTS) -> str:
    """The text of the page."""
    lines = []
    for one in (one for one in judged(results) if one.outcome == "INCONCLUSIVE"):
        experiment = load(one.experiment)
        lines.append(_line(one, experiment, records.read_summary(results / one.experiment), results))
    lines.sort(key=lambda line: line[0])
    head = ["experiment", "claim", "measured", "difference or mean", "margin", "seeds", "minutes", "command"]
    table = markdown(head, [line[1] for line in lines]) if lines else "None."
    made = "Made by `prospect report --all`; edits are overwritten."
    return "\n\n".join([f"# Undecided claims: {len(lines)}", NOTE, table, made]) + "\n"


def _line(one: Judged, experiment: Experiment, rows: Sequence[Row], results: Path) -> tuple[float, list[str]]:
    """(cost, cells of the table) of a claim."""
    claim = one.claim
    kind, rows, _ = kinds.for_claim(rows, cells_of(claim))
    sides = sides_of(claim, rows)
    labels, needed = [one.label for one in sides], seeds_needed(claim, sides)
    each = [minutes_a_seed(rows, env, label) for env in claim.envs for label in labels]
    cost = sum(each) * needed if needed else math.inf
    tier, device = tier_of(results / one.experiment), "" if kind == "cpu" else f" --device {kind}"
    command = f"`prospect run {one.experiment} --tier {tier} --agents {','.join(labels)}{device}`"
    name, seeds = f"[{one.experiment}]({one.experiment}/README.md)", str(needed) if needed else f"above {SIZES[-1]}"
    said, minutes = f"{claim.name}: {one.text}", number(cost) if needed else "–"
    return cost, [name, said, one.figures, one.interval, bound_of(claim), seeds, minutes, command]


def write(results: Path = RESULTS) -> Path:
    """Write results/UNDECIDED.md; returns its path."""
    path = results / "UNDECIDED.md"
    durable.write(path, page(results).encode())
    return path
