"""Extraction of three small files from run folders, to be committed: summary.csv, curves.csv, archive.npz.

A report is generated from these three files alone, so that it can be regenerated without the runs.
Shapes: S seeds, M marks (evenly spaced over the budget), n archive entries.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from prospect_rl.experiments.api import Experiment
from prospect_rl.experiments.reports import kinds
from prospect_rl.experiments.reports.statistics import bootstrap_interval, iqm, present
from prospect_rl.experiments.reports.tables_csv import Row, read_csv, write_csv
from prospect_rl.experiments.run import durable
from prospect_rl.experiments.run.archive import entries, load_report
from prospect_rl.experiments.run.device import KINDS
from prospect_rl.experiments.sweeps.job import Job, read_lines

HEAD = ("tier", "env", "label", "seed", "budget", "used", "unit", "wall_minutes", "date", "digest", "hash", "versions")
"""Columns of summary.csv before the metrics."""
CURVE_HEAD = ("env", "label", "metric", "used", "seeds", "mean", "iqm", "low", "high")
"""Columns of curves.csv, which also has `device` if not all is from a CPU; low and high bound the 95 % bootstrap
interval of the interquartile mean."""
NEVER = ("ledger/first_", "ledger/reached_", "ledger/stored_first_", "ledger/stored_reached_")
"""Metrics whose negative values mean never. They become NaN, so that means do not include a -1."""
BEST = ("ledger/best_", "ledger/stored_best_")
"""Metrics whose null means that the area was never rewarded: the best reward was 0. NaN would drop the worst runs."""
ARCHIVE_BYTES = 280_000
Cell = tuple[str, str, str]
"""(environment, label, kind of device): the rows of one agent that may be compared with each other."""


@dataclass(frozen=True)
class Record:
    """One seed of a finished run."""

    job: Job
    """The job of the run."""
    seed: int
    """One of the seeds of the run."""
    rows: list[Row]
    """Metrics rows in order; the last one is final."""
    head: Row
    """Values of the columns `HEAD`."""


def read(jobs: Iterable[Job], tier: str) -> list[Record]:
    """Read the finished runs among `jobs`, one record per seed and kind of device: of two runs, the first."""
    found: dict[tuple[str, ...], Record] = {}
    for record in (record for job in jobs if job.finished() for record in _read_one(job, tier)):
        found.setdefault((*_cell_of(record), str(record.seed)), record)
    return list(found.values())


def _cell_of(record: Record) -> Cell:
    return record.job.env, record.job.label, record.job.device


def _read_one(job: Job, tier: str) -> list[Record]:
    run, result = (durable.read_object(job.out / name) for name in ("run.json", "result.json"))
    rows, minutes, date = _rows(job, result["rows"]), *_times(job.out)
    versions = "; ".join(f"{name} {version}" for name, version in sorted(run.get("versions", {}).items()))
    records = []
    for seed in job.seeds:
        mine = [row for row in rows if row["seed"] == seed]
        head = {
            "tier": tier, "env": job.env, "label": job.label, "seed": seed, "budget": job.budget,
            "used": mine[-1]["used"], "unit": mine[-1]["unit"], "date": date, "digest": result["digest"],
            "hash": job.hash, "versions": versions, "wall_minutes": minutes,
        }  # fmt: skip
        records.append(Record(job, seed, mine, head))
    return records


def _rows(job: Job, last: list[Row]) -> list[Row]:
    """The metrics rows of a finished run, with missing values as NaN (see `NEVER`, `BEST`).

    The last rows are taken from result.json, which includes the exams; a warning is issued if metrics.jsonl differs.
    Raises ValueError if metrics.jsonl has no row of a seed.
    """
    path, rows = job.out / "metrics.jsonl", durable.read_lines(job.out / "metrics.jsonl", whole=True)
    for final in last:
        mine = [i for i, row in enumerate(rows) if row["seed"] == final["seed"]]
        if not mine:
            raise ValueError(
                f"{path} has no row of seed {final['seed']}, which has finished; move {job.out} away and run it again"
            )
        there = rows[mine[-1]]
        if there["mark"] < final["mark"]:
            warnings.warn(f"{path} has lost the last row of seed {final['seed']}; result.json has it", stacklevel=3)
            rows.append(final)
            continue
        if there != {name: final.get(name) for name in there}:
            warnings.warn(f"{path} contradicts result.json in line {mine[-1] + 1}; the line is ignored", stacklevel=3)
        rows[mine[-1]] = final
    return [{name: value_of(name, value) for name, value in row.items()} for row in rows]


def value_of(name: str, value: Any) -> Any:
    """The value of a metric, with a missing value as NaN (see `NEVER`, `BEST`)."""
    if value is None:
        return 0.0 if name.startswith(BEST) else math.nan
    return math.nan if name.startswith(NEVER) and value < 0 else value


def _times(folder: Path) -> tuple[float, str]:
    """(total wall-clock minutes of a run, over all its processes; the date of its end).

    Runs of older versions have no stored date; the date of their file is used instead.
    """
    path = folder / "timing.jsonl"
    try:
        rows = read_lines(path)
        minutes = round(sum(row["seconds"] + row["save_seconds"] for row in rows) / 60, 2)
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is not readable; delete it to count no time for the run") from None
    if rows and "date" in rows[-1]:
        return minutes, rows[-1]["date"]
    return minutes, datetime.fromtimestamp((folder / "result.json").stat().st_mtime, UTC).date().isoformat()


# --- all three ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tables:
    """The committed tables of an experiment's runs."""

    summary: list[Row]
    """Rows of summary.csv, one per seed."""
    curves: list[Row]
    """Rows of curves.csv, one per environment, agent, metric and mark."""
    archives: dict[str, np.ndarray]
    """Arrays of archive.npz by name."""

    def over(self, before: Tables, jobs: Sequence[Job]) -> Tables:
        """Merge with earlier tables, in the order of `jobs`.

        Seeds of `before` that are not here are added to their cell where they are of runs among `jobs` and of the same
        versions. A cell of `before` of other versions is kept whole if it has more seeds, all of them of such runs.
        Curves, which do not tell seeds apart, are those of the tables with more seeds in the cell.
        """
        planned, mine, theirs = {job.hash for job in jobs}, _by_cell(self.summary), _by_cell(before.summary)
        kept = {
            cell for cell, rows in theirs.items()
            if len(rows) > len(mine.get(cell, ())) and all(row["hash"] in planned for row in rows)
        }  # fmt: skip
        order = [(*cell, kind) for cell in dict.fromkeys((job.env, job.label) for job in jobs) for kind in KINDS]
        summary = [
            row for cell in order for row in _joined(mine.get(cell, []), theirs.get(cell, []), cell in kept, planned)
        ]
        lines, old = _by_cell(self.curves), _by_cell(before.curves)
        curves = [row for cell in order for row in (old if cell in kept else lines).get(cell, ())]
        pictures = [
            {name: x for name, x in archives.items() if (_pictured(name) in kept) == is_old}
            for archives, is_old in ((self.archives, False), (before.archives, True))
        ]
        return Tables(summary, curves, dict(sorted((pictures[0] | pictures[1]).items())))

    def shown(self) -> Tables:
        """What figures show: of each environment, what is from one kind of device (`kinds.of_figures`)."""
        of = kinds.of_figures(self.summary)
        drawn = {"|".join(name.split("|")[:3]): x for name, x in self.archives.items()
                 if _pictured(name)[2] == of.get(_pictured(name)[0])}  # fmt: skip
        lines = [row for row in self.curves if row["device"] == of.get(row["env"])]
        return Tables(kinds.shown(self.summary), lines, drawn)

    def write(self, folder: Path) -> None:
        """Write the three files; there is no archive.npz without archives. A CPU's curves name no device."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = self.curves
        if all(line["device"] == "cpu" for line in lines):
            lines = [{name: x for name, x in line.items() if name != "device"} for line in lines]
        write_csv(folder / "summary.csv", self.summary, HEAD)
        write_csv(folder / "curves.csv", lines, CURVE_HEAD)
        (folder / "archive.npz").unlink(missing_ok=True)
        if self.archives:
            packed = io.BytesIO()
            np.savez_compressed(packed, **self.archives)  # type: ignore[arg-type]
            durable.write(folder / "archive.npz", packed.getvalue())


def _by_cell(rows: Iterable[Row]) -> dict[Cell, list[Row]]:
    cells: dict[Cell, list[Row]] = {}
    for row in rows:
        cells.setdefault((*kinds.cell_of(row), kinds.kind_of(row)), []).append(row)
    return cells


def _joined(new: list[Row], old: list[Row], kept: bool, planned: set[str]) -> list[Row]:
    """The rows of a cell in two tables: the new ones and the old seeds that fit, or the old ones where these are more.

    kept: whether there are more old ones, all planned.
    """
    versions, seeds = {row["versions"] for row in new}, {row["seed"] for row in new}
    others = [row for row in old if row["seed"] not in seeds]
    fitting = [row for row in others if row["hash"] in planned and row["versions"] in versions]
    if kept and len(fitting) < len(others):
        return old
    return sorted([*new, *fitting], key=lambda row: row["seed"]) if fitting else new


def _pictured(name: str) -> Cell:
    """The cell of an array in archive.npz."""
    env, label, _, *kind = name.split("|")
    return env, label, kind[0] if kind else "cpu"


def tables(experiment: Experiment, tier: str, records: Sequence[Record]) -> Tables:
    """The tables of finished runs."""
    pictures = {
        name if kind == "cpu" else f"{name}|{kind}": x
        for kind in KINDS
        for name, x in archives([record for record in records if record.job.device == kind]).items()
    }
    return Tables(summary(experiment, records), curves(experiment, tier, records), pictures)


def tables_in(folder: Path) -> Tables:
    """Read the tables in a folder; missing ones are empty."""
    rows = read_summary(folder) if (folder / "summary.csv").exists() else []
    lines = read_csv(folder / "curves.csv") if (folder / "curves.csv").exists() else []
    if lines and "device" not in lines[0]:  # all from a CPU, or written before a cell could have two kinds
        of = {cell: kinds.chosen(rows, [cell]) for cell in {kinds.cell_of(line) for line in lines}}
        lines = [line | {"device": of[kinds.cell_of(line)]} for line in lines]
    arrays = dict[str, np.ndarray]()
    if (path := folder / "archive.npz").exists():
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    return Tables(rows, lines, arrays)


# --- summary.csv -------------------------------------------------------------------------------------


def summary_metrics(experiment: Experiment, records: Sequence[Record]) -> list[str]:
    """The metrics of summary.csv: all metrics of evaluation and ledger, then those that the experiment names."""
    found = dict.fromkeys(name for record in records for name in record.rows[-1])
    names = [name for name in found if name.startswith(("eval/", "unseen/", "exam", "ledger/"))]
    names += [*experiment.metrics, *experiment.derived, *(claim.metric for claim in experiment.every_claim)]
    return [name for name in dict.fromkeys(names) if name in found or name in experiment.derived]


def table_metrics(experiment: Experiment, names: Iterable[str]) -> list[str]:
    """Those of `names` that the report's tables and curves show: the declared metrics, or a default selection."""
    names = list(names)
    usual = [n for n in names if n in ("eval/return", "eval/success", "ledger/coverage") or n.startswith(BEST)]
    wanted = [*(experiment.metrics or usual), *experiment.derived, *(claim.metric for claim in experiment.every_claim)]
    return [name for name in dict.fromkeys(wanted) if name in names]


def summary(experiment: Experiment, records: Sequence[Record]) -> list[Row]:
    """One row per seed: `HEAD`, then the metrics of its final row and those derived from it."""
    names = summary_metrics(experiment, records)
    table = []
    for record in records:
        final = record.head | record.rows[-1]
        values = {n: experiment.derived[n](final) if n in experiment.derived else final.get(n, math.nan) for n in names}
        table.append(record.head | values)
    return table


# --- curves.csv --------------------------------------------------------------------------------------


def at_marks(rows: Sequence[Row], metric: str, marks: np.ndarray) -> np.ndarray:
    """The metric [M] in the first row at or after each mark; beyond the last row, in the last row."""
    reached = np.array([row["mark"] for row in rows], np.float64)
    index = np.minimum(np.searchsorted(reached, marks), len(rows) - 1)
    return np.array([rows[i].get(metric, math.nan) for i in index], np.float64)


def curves(experiment: Experiment, tier: str, records: Sequence[Record]) -> list[Row]:
    """One row per environment, agent, kind of device, metric and mark, over the seeds that have a value there."""
    shown = table_metrics(experiment, summary_metrics(experiment, records))
    names = [name for name in shown if name not in experiment.derived]
    cells: dict[Cell, list[Record]] = {}
    for record in records:
        cells.setdefault(_cell_of(record), []).append(record)
    evals, table = experiment.tier(tier).evals, []
    for (env, label, kind), members in cells.items():
        budget = members[0].job.budget
        marks = np.array([-(-budget * i // evals) for i in range(1, evals + 1)])
        for name in names:
            if not any(name in record.rows[-1] for record in members):
                continue
            values = np.stack([at_marks(record.rows, name, marks) for record in members])
            for mark, column in zip(marks, values.T, strict=True):
                facts = {"env": env, "label": label, "metric": name, "used": int(mark), "device": kind}
                table.append(facts | _spread(column))
    return table


def _spread(values: np.ndarray) -> Row:
    """The columns of curves.csv for the values [S] at one mark."""
    x = present(values)
    if not len(x):
        return {"seeds": 0, "mean": math.nan, "iqm": math.nan, "low": math.nan, "high": math.nan}
    low, high = bootstrap_interval(x, statistic=iqm, resamples=2000)
    return {"seeds": len(x), "mean": float(x.mean()), "iqm": float(iqm(x)), "low": low, "high": high}


# --- archive.npz -------------------------------------------------------------------------------------


def archives(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """The arrays of the archive figure, for the first seed of each agent: `<env>|<label>|<name>` -> array.

    In archive.npz, `|gpu` follows where the seed ran on one.

    descriptor [n, 2] and fitness [n] in float32, area [n] in int8, explored [rows, columns] visits. Large archives are
    subsampled evenly to keep the file small.
    """
    first = {(r.job.env, r.job.label): r for r in reversed(records) if (r.job.out / "report.npz").exists()}
    kept: dict[str, np.ndarray] = {}
    limit = max(200, ARCHIVE_BYTES // (13 * max(1, len(first))))
    for (env, label), record in sorted(first.items()):
        arrays = load_report(record.job.out, record.job.seeds.index(record.seed), len(record.job.seeds))
        if "descriptor" in arrays and arrays["descriptor"].shape[-1] == 2:
            rows = entries(arrays)
            rows = rows[np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(int)] if len(rows) else rows
            types = {"descriptor": np.float32, "fitness": np.float32, "area": np.int8}
            for name, kind in types.items():
                if name in arrays:
                    kept[f"{env}|{label}|{name}"] = arrays[name][rows].astype(kind)
        if "ledger/explored" in arrays:
            kept[f"{env}|{label}|explored"] = np.minimum(arrays["ledger/explored"], 65535).astype(np.uint16)
    return kept


# --- csv ---------------------------------------------------------------------------------------------


def read_summary(folder: Path) -> list[Row]:
    """Read the rows of a folder's summary.csv. Raises ValueError if it has none."""
    if not (rows := read_csv(folder / "summary.csv")):
        raise ValueError(f"{folder / 'summary.csv'} has no row in line 2: rewrite it from the runs, or restore it")
    return rows
