"""Tables of an experiment's page: final scores of every agent in an environment, and sums over environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prospect_rl.experiments.api import Experiment
from prospect_rl.experiments.metrics import number, words_of
from prospect_rl.experiments.reports import kinds, records
from prospect_rl.experiments.reports.claims import interval, scores_of, side
from prospect_rl.experiments.reports.records import Row
from prospect_rl.experiments.run.device import KINDS

CELLS_NOTE = (
    "Mean [its 95 % interval], interquartile mean. Intervals by the methods that claims have; – where equal scores "
    "that may be any number say nothing of their spread."
)


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table from its header and rows."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def cell_table(experiment: Experiment, tier: str, env: str, rows: Sequence[Row]) -> list[str]:
    """The table metrics x agents of one environment, and a note that explains its cells.

    Seeds on another kind of device than that of the figures have a table of their own.
    """
    here, labels = [row for row in rows if row["env"] == env], list(experiment.tier(tier).agents)
    kind = kinds.of_figures(here).get(env, "cpu")
    (other,) = (name for name in KINDS if name != kind)
    mine, others = ({row["label"] for row in kinds.on(here, name)} for name in (kind, other))
    shown = [label for label in labels if label in mine or label not in others]
    parts = [_table(experiment, env, kinds.on(here, kind), shown), CELLS_NOTE]
    if others:
        said = (
            f"These seeds ran on a {kind.upper()}, as did those of the figures; those on a {other.upper()} are apart:"
        )
        parts += [said, _table(experiment, env, kinds.on(here, other), [x for x in labels if x in others])]
    return parts


def _table(experiment: Experiment, env: str, rows: Sequence[Row], labels: Sequence[str]) -> str:
    names = records.table_metrics(experiment, [name for name in rows[0] if name not in records.HEAD] if rows else [])
    finished = [side(rows, env, label, "used") for label in labels]
    seeds = ["finished seeds", *(f"{s.seeds} ({s.devices})" if s.devices else str(s.seeds) for s in finished)]
    lines = [[words_of(name, env), *(_cell(experiment, rows, env, label, name) for label in labels)] for name in names]
    return markdown(["", *labels], [seeds, *lines])


def sums_table(experiment: Experiment, tier: str, rows: Sequence[Row]) -> list[str]:
    """The table `Experiment.sums` x agents, and a note on the sums; an agent that lacks a task has no sum."""
    cells = experiment.tier(tier)
    rows = kinds.on(rows, kinds.chosen(rows, {kinds.cell_of(row) for row in rows}))
    lines = [
        [words_of(name, cells.envs[0]), *(_sum(experiment, rows, cells.envs, label, name) for label in cells.agents)]
        for name in experiment.sums
    ]
    note = (
        "Sum of the means of " + ", ".join(cells.envs) + " [its 95 % interval: the distances from each task's mean to "
        "its limits, squared, summed, and the root taken]."
    )
    return [markdown(["", *cells.agents], lines), note]


def _sum(experiment: Experiment, rows: Sequence[Row], envs: Sequence[str], label: str, name: str) -> str:
    tasks = {env: side(rows, env, label, name).values for env in envs}
    if missing := sum(not len(x) for x in tasks.values()):
        return f"– ({len(envs) - missing} of {len(envs)})"
    means = np.array([x.mean() for x in tasks.values()])
    low, high = np.array([interval(x, scores_of(experiment, env, name)) for env, x in tasks.items()]).T
    total, below, above = means.sum(), np.linalg.norm(means - low), np.linalg.norm(high - means)
    return f"{number(total)} [{number(total - below)}, {number(total + above)}]"


def _cell(experiment: Experiment, rows: Sequence[Mapping[str, Any]], env: str, label: str, name: str) -> str:
    s = side(rows, env, label, name)
    if not len(s.values):
        return "–"
    missing = f" (n={len(s.values)})" if s.missing else ""
    if len(s.values) == 1:
        return number(s.mean) + missing
    low, high = interval(s.values, scores_of(experiment, env, name))
    return f"{number(s.mean)} [{number(low)}, {number(high)}], {number(s.iqm)}{missing}"


def finished(experiment: Experiment, tier: str, rows: Sequence[Row]) -> str:
    """How many seeds of those planned have finished, in words, with their kinds of device if there are two."""
    cells, of = experiment.tier(tier), {kind: len(kinds.on(rows, kind)) for kind in KINDS}
    each = {label: {kinds.kind_of(row) for row in rows if row["label"] == label} or {"cpu"} for label in cells.agents}
    wanted = sum(max(cells.seeds_of(label, kind) for kind in found) for label, found in each.items()) * len(cells.envs)
    done = len({(*kinds.cell_of(row), row["seed"]) for row in rows})
    runs = f" ({of['cpu']} on a CPU, {of['gpu']} on a GPU)" if all(of.values()) else ""
    return f"{done} of {wanted} seeds finished{runs}"
