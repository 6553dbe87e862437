"""Every agent has a run of its own that learns: `prospect run AGENT` with nothing else said."""

import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from prospect_rl import agents, envs
from prospect_rl.agents.api import Batches, wants_of
from prospect_rl.envs.data import datasets
from prospect_rl.experiments.reports import defaults
from prospect_rl.experiments.sweeps.sweep import sweep
from prospect_rl.experiments.sweeps.workers import pool

EXEMPT = {"floor", "emitter_study"}
"""A floor itself, and a study that learns in no environment of its own."""


def test_every_agent_but_the_exempt_names_a_run():
    assert set(agents.AGENTS) - set(defaults.names()) == EXEMPT


@pytest.mark.parametrize("name", defaults.names())
def test_the_run_fits_the_agent(name):
    kind = agents.AGENTS[name]
    run, agent = kind.default_run, kind()
    assert agent.misfit(envs.make(run.env).spec) is None
    assert run.budget >= agent.least_budget
    assert (run.dataset is not None) == isinstance(wants_of(agent)[0], Batches)
    if run.dataset:
        datasets.recipe(run.dataset)  # raises for an unknown name


def rows_of(returns, floors=(0.0, 0.2)):
    run = agents.AGENTS["ppo"].default_run
    head = {"env": run.env, "budget": run.budget, "unit": "env steps", "wall_minutes": 1.0, "versions": "x"}
    mine = [head | {"label": "ppo", "seed": i, "eval/return": x} for i, x in enumerate(returns)]
    labels = [f"floor {action}" for action in defaults.FLOORS]
    head["budget"] = defaults.FLOOR_BUDGET
    zero = [head | {"label": label, "seed": 0, "eval/return": x} for label, x in zip(labels, floors, strict=True)]
    return [*mine, *zero]


@pytest.mark.parametrize(
    ("returns", "passed"),
    [((0.9, 0.8, 0.3), True), ((0.9, 0.8, 0.2), False), ((0.9, 0.8), False), ((0.9, 0.8, math.nan), False)],
)
def test_each_seed_must_end_above_both_floors(returns, passed):
    verdict = next(v for v in defaults.verdicts(rows_of(returns)) if v["agent"] == "ppo")
    assert verdict["passed"] is passed
    assert ("**no**" in defaults._line(verdict)[-1]) == (len(returns) == 3 and not passed)


REST = {"tier": "defaults", "used": 1, "date": "2026-01-01", "digest": "d", "hash": "h"}


def test_the_page_comes_from_the_table_alone(tmp_path):
    rows = [row | REST for row in rows_of((0.9, 0.8, 0.7))]
    page = defaults.write(rows, tmp_path).read_text(encoding="utf-8")
    assert "| `ppo` | minigrid/DoorKey-5x5-v0 | 200,704 env steps | 0.9, 0.8, 0.7 | 0 | 0.2 | 1 | yes |" in page
    assert defaults.write(defaults.collect([], tmp_path), tmp_path).read_text(encoding="utf-8") == page


def collected(returns, tmp_path, monkeypatch):
    """The returns of all rows of PPO, once there are runs with these returns and a table with three others."""
    old = [row | REST for row in rows_of((0.9, 0.8, 0.7))]
    defaults.write([*old, *(row | {"budget": 5} for row in old), *(row | {"label": "gone"} for row in old)], tmp_path)
    job = SimpleNamespace(payload={"agent": "ppo"})
    fresh = [row for row in rows_of(returns) if row["label"] == "ppo"]
    found = [SimpleNamespace(head=row | REST, job=job, rows=[row]) for row in fresh]
    monkeypatch.setattr(defaults.records, "read", lambda jobs, tier: found)
    rows = defaults.collect([], tmp_path)
    assert {row["label"] for row in rows} == {"ppo", "floor random", "floor zero"} and len(rows) == 5
    return [row["eval/return"] for row in rows if row["label"] == "ppo"]


def test_new_rows_replace_old_ones_once_all_seeds_are_there(tmp_path, monkeypatch):
    assert collected((0.1, 0.2), tmp_path, monkeypatch) == [0.9, 0.8, 0.7]
    assert collected((0.1, 0.2, 0.3), tmp_path, monkeypatch) == [0.1, 0.2, 0.3]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", defaults.names())
def test_the_defaults_learn(name, tmp_path):
    """Resumes from $PROSPECT_RUNS where it is set, so that the whole can be done a part at a time."""
    root = Path(os.environ.get("PROSPECT_RUNS") or tmp_path)
    with pool(1, None) as workers:
        jobs = defaults.plan([name], root)
        outcome = sweep(jobs, workers)
    assert not outcome.failed
    verdict = next(v for v in defaults.verdicts(defaults.collect(jobs, tmp_path / "none")) if v["agent"] == name)
    assert verdict["passed"], verdict
