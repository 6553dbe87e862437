"""Which device the rows of a table are from. A verdict, a figure and a table of scores have one kind where they can.

A cell (environment, label) may have been run on a CPU and, with other seeds or the same numbers, on a GPU. These are
different runs in different arithmetic: the tables keep the rows of both, and everything made from them uses one kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from prospect_rl.experiments.run.device import KINDS

LEAST_SEEDS = 3
"""Number of seeds that a side of a claim needs."""
Cell = tuple[str, str]
"""(environment, label)."""


def device_of(row: Mapping[str, Any]) -> str:
    """The device of a row of summary.csv, from its versions: `cpu`, or the model of a GPU."""
    return next((part[7:] for part in str(row.get("versions", "")).split("; ") if part.startswith("device ")), "cpu")


def kind_of(row: Mapping[str, Any]) -> str:
    """The kind of device of a row of summary.csv, or of curves.csv, which names it."""
    return row.get("device") or ("cpu" if device_of(row) == "cpu" else "gpu")


def cell_of(row: Mapping[str, Any]) -> Cell:
    """The cell that a row belongs to."""
    return row["env"], row["label"]


def on(rows: Iterable[Mapping[str, Any]], kind: str) -> list[Any]:
    """The rows of one kind of device."""
    return [row for row in rows if kind_of(row) == kind]


def chosen(rows: Iterable[Mapping[str, Any]], cells: Iterable[Cell]) -> str:
    """The kind of device on which most of these cells have seeds; of several, that whose smallest cell has most.

    So a comparison is made on the kind on which its side with fewer seeds has more of them; on the CPU if they are
    as many.
    """
    counts, cells = Counter((kind_of(row), *cell_of(row)) for row in rows), list(cells)

    def worth(kind: str) -> tuple[int, int]:
        found = [n for cell in cells if (n := counts[kind, *cell])]
        return len(found), min(found, default=0)

    return max(KINDS, key=worth)


class Chosen(NamedTuple):
    """The rows of a comparison."""

    kind: str
    """The kind of device of the comparison."""
    rows: list[Any]
    """The rows of its cells that it has."""
    others: list[Any]
    """Those that it leaves out."""


def for_claim(rows: Iterable[Mapping[str, Any]], cells: Iterable[Cell]) -> Chosen:
    """The rows of a comparison of these cells, on one kind of device.

    A cell with too few seeds for a verdict on that kind has those of the other one, if these are more: rounding is
    little beside what seeds differ by.
    """
    cells = set(cells)
    mine = [row for row in rows if cell_of(row) in cells]
    kind, counts = chosen(mine, cells), Counter((kind_of(row), *cell_of(row)) for row in mine)
    (other,) = {*KINDS} - {kind}
    elsewhere = {cell for cell in cells if counts[kind, *cell] < min(LEAST_SEEDS, counts[other, *cell])}
    parts: tuple[list[Any], list[Any]] = [], []
    for row in mine:
        parts[(kind_of(row) == kind) == (cell_of(row) in elsewhere)].append(row)
    return Chosen(kind, *parts)


def of_figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Environment -> the kind of device whose seeds its figures show."""
    envs = dict.fromkeys(row["env"] for row in rows)
    return {env: chosen(rows, {cell_of(row) for row in rows if row["env"] == env}) for env in envs}


def shown(rows: Sequence[Any]) -> list[Any]:
    """The rows of summary.csv that figures show."""
    kinds = of_figures(rows)
    return [row for row in rows if kind_of(row) == kinds[row["env"]]]


def numbers(seeds: Iterable[int]) -> str:
    """Seeds in words, e.g. `seed 0`, `seeds 0 to 4, 7`."""
    seeds = sorted(seeds)
    runs = [[x for _, x in run] for _, run in groupby(enumerate(seeds), lambda pair: pair[1] - pair[0])]
    parts = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return f"seed{'s'[: len(seeds) - 1]} {', '.join(parts)}"


def devices_in(rows: Iterable[Mapping[str, Any]]) -> str:
    """Which seeds ran where, in words: empty if all ran on the CPU."""
    by_device: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_device.setdefault(device_of(row), []).append(row)
    if len(by_device) < 2:
        return "".join(by_device.keys() - {"cpu"})
    seeds = {device: {int(row["seed"]) for row in mine} for device, mine in sorted(by_device.items())}
    return "; ".join(f"{device}: {numbers(mine)}" for device, mine in seeds.items())


def in_words(rows: Iterable[Mapping[str, Any]]) -> str:
    """Which seeds of each agent ran where; empty without rows."""
    found: dict[tuple[str, str], set[int]] = {}
    for row in rows:
        found.setdefault((row["label"], device_of(row)), set()).add(int(row["seed"]))
    return "; ".join(f"{label} on {device}: {numbers(seeds)}" for (label, device), seeds in found.items())
