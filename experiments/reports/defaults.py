"""Report of `prospect defaults`: every agent's default run with three seeds, compared with two floors.

An agent passes if each of its seeds ends above both floors: the mean returns of random and of zero actions. Runs are
stored and resumed like those of any sweep. Rows of agents that are not run again are kept in
results/defaults/summary.csv, from which the page in the same folder is written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from prospect_rl import agents
from prospect_rl.agents.api import DefaultRun
from prospect_rl.experiments.metrics import number
from prospect_rl.experiments.reports import records, tables_csv
from prospect_rl.experiments.reports.kinds import devices_in
from prospect_rl.experiments.reports.records import Row
from prospect_rl.experiments.reports.scores import markdown
from prospect_rl.experiments.run import durable
from prospect_rl.experiments.run.choice import best
from prospect_rl.experiments.run.machine import runs_root
from prospect_rl.experiments.sweeps.job import Job, make_job, on

SEEDS = 3
EVALS, EPISODES = 20, 20
"""Number of metrics rows in a run, and episodes per evaluation."""
FLOORS = ("random", "zero")
FLOOR_BUDGET, FLOOR_EPISODES = 100, 200
RESULTS = Path("results/defaults")


def names() -> list[str]:
    """Names of the agents that have a default run, in the order of the register."""
    return [name for name, kind in agents.AGENTS.items() if kind.default_run]


def plan(chosen: Sequence[str], root: Path | None = None, device: str = "cpu") -> list[Job]:
    """The default runs of these agents, and the runs that measure the floors of their environments.

    device: kind of device of the former; "auto" for the one that each is faster on.
    """
    base = (root or runs_root()) / "defaults"
    runs = {name: _run_of(name) for name in chosen}
    jobs = [_job(base / "floors", "floor", env, 1, FLOOR_BUDGET, FLOOR_EPISODES, seed=0, action=action)
            for env in dict.fromkeys(run.env for run in runs.values()) for action in FLOORS]  # fmt: skip
    for name, run in runs.items():
        kind = best(agents.make(name), run.env) if device == "auto" else device
        jobs += [
            _job(base / name, name, run.env, EVALS, run.budget, EPISODES, seed=seed, dataset=run.dataset, device=kind)
            for seed in range(SEEDS)
        ]
    return jobs


def _run_of(name: str) -> DefaultRun:
    run = agents.AGENTS[name].default_run
    if run is None:
        raise ValueError(f"{name} has no default run")
    return run


def _job(
    base: Path, agent: str, env: str, evals: int, budget: int, episodes: int, *, seed: int, dataset: str | None = None,
    device: str = "cpu", **fields: Any,
) -> Job:  # fmt: skip
    payload: dict[str, Any] = {
        "agent": agent, "fields": fields, "env": env, "env_fields": {}, "seeds": [seed], "budget": budget,
        "evals": evals, "eval_episodes": episodes, "dataset": {"name": dataset, "fields": {}} if dataset else None,
    }  # fmt: skip
    job = make_job(on(payload, device), base)
    return replace(job, out=job.out / job.hash)


# --- the table ---------------------------------------------------------------------------------------


def collect(jobs: Sequence[Job], folder: Path = RESULTS) -> list[Row]:
    """The rows of summary.csv that belong to current default runs and floors, updated with those of finished runs.

    The new rows of an agent or a floor replace the old ones once there are as many, or one for every seed.
    """
    today, cells = _cells(), dict[tuple[str, str, int], list[Row]]()
    path = folder / "summary.csv"
    for row in tables_csv.read_csv(path) if path.exists() else []:
        if (cell := _cell(row)) in today:
            cells.setdefault(cell, []).append(row)
    new = dict[tuple[str, str, int], list[Row]]()
    for record in records.read(jobs, "defaults"):
        row = record.head | {"label": _label(record.job), "eval/return": record.rows[-1]["eval/return"]}
        new.setdefault(_cell(row), []).append(row)
    cells |= {cell: rows for cell, rows in new.items() if len(rows) >= min(SEEDS, len(cells.get(cell, ())))}
    return sorted((row for rows in cells.values() for row in rows), key=lambda r: (r["label"], r["env"], r["seed"]))


def _cell(row: Row) -> tuple[str, str, int]:
    return row["label"], row["env"], row["budget"]


def _cells() -> set[tuple[str, str, int]]:
    """(label, environment, budget) of every agent's default run and of the floors of its environment."""
    runs = {name: _run_of(name) for name in names()}
    floors = {(f"floor {action}", run.env, FLOOR_BUDGET) for run in runs.values() for action in FLOORS}
    return floors | {(name, run.env, run.budget) for name, run in runs.items()}


def _label(job: Job) -> str:
    return f"floor {job.payload['fields']['action']}" if job.payload["agent"] == "floor" else str(job.payload["agent"])


def verdicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One mapping per agent: its returns, the floors' means, minutes per run, and whether it is above both floors."""
    lines = []
    for name in names():
        run = _run_of(name)
        mine = [row for row in rows if _cell(row) == (name, run.env, run.budget)]
        floors = [_floor(rows, run.env, action) for action in FLOORS]
        returns = [row["eval/return"] for row in mine]
        passed = len(returns) >= SEEDS and all(x > floor for x in returns for floor in floors)  # NaN never passes
        minutes = sum(row["wall_minutes"] for row in mine) / len(mine) if mine else math.nan
        lines.append({"agent": name, "run": run, "unit": mine[0]["unit"] if mine else "", "returns": returns,
                      "floors": floors, "minutes": minutes, "passed": passed,
                      "devices": devices_in(mine)})  # fmt: skip
    return lines


def _floor(rows: Sequence[Row], env: str, action: str) -> float:
    return next((r["eval/return"] for r in rows if r["env"] == env and r["label"] == f"floor {action}"), math.nan)


def write(rows: Sequence[Row], folder: Path = RESULTS) -> Path:
    """Write summary.csv and the page; returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    tables_csv.write_csv(folder / "summary.csv", rows, (*records.HEAD, "eval/return"))
    path = folder / "README.md"
    durable.write(path, page(rows).encode())
    return path


def page(rows: Sequence[Row]) -> str:
    """The text of the page: every agent's default run with its verdict."""
    head = ["agent", "environment", "budget", "returns of the seeds", *FLOORS, "minutes a run", "above both floors"]
    lines = [_line(v) for v in verdicts(rows)]
    versions = sorted({row["versions"] for row in rows})
    return "\n\n".join([
        "# Defaults that learn",
        "What `prospect run AGENT` does when nothing else is said: the agent's own settings, on a task that they learn "
        f"in minutes, {SEEDS} seeds on one core each. An agent passes when every seed's last evaluation ({EPISODES} "
        "episodes) is above the mean return of both floors: actions drawn at random, and the zero (or first) action, "
        f"{FLOOR_EPISODES} episodes each. Command: `prospect defaults`; one agent: `prospect defaults AGENT`.",
        markdown(head, lines),
        "CQL takes longer than ten minutes on a core, for its updates are expensive. Its default run is that of "
        "[cde_maze_short](../cde_maze_short/README.md), the smallest in which it has been seen to learn: its return "
        "there is 93.4, that of random actions 18.2.",
        "\n".join(f"- Versions: {v}" for v in versions),
        "Made by `prospect defaults` from the table beside it; edits are overwritten.",
    ]) + "\n"  # fmt: skip


def _line(v: Mapping[str, Any]) -> list[str]:
    run, returns = v["run"], ", ".join(number(x) for x in v["returns"]) or "not run"
    task = run.env + (f" from {run.dataset}" if run.dataset else "")
    verdict = "–" if len(v["returns"]) < SEEDS else "yes" if v["passed"] else "**no**"
    budget = f"{run.budget:,} {v['unit']}".strip() + (f", on {v['devices']}" if v["devices"] else "")
    return [f"`{v['agent']}`", task, budget, returns, *(number(x) for x in v["floors"]), number(v["minutes"]), verdict]
