"""Every agent has a run of its own that learns: `prospect run AGENT` with nothing else said."""

import math
import os
from pathlib import Path

import pytest

import agents
import envs
from agents.api import Batches, wants_of
from envs import datasets
from experiments import defaults
from experiments.sweep import sweep
from experiments.workers import pool


def test_every_agent_but_the_exempt_names_a_run():
    assert set(agents.AGENTS) - set(defaults.names()) == defaults.EXEMPT


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


def test_the_page_comes_from_the_table_alone(tmp_path):
    rows = rows_of((0.9, 0.8, 0.7))
    for row in rows:
        row |= {"tier": "defaults", "used": 1, "date": "2026-01-01", "digest": "d", "hash": "h"}
    page = defaults.write(rows, tmp_path).read_text(encoding="utf-8")
    assert "| `ppo` | minigrid/DoorKey-5x5-v0 | 200,704 env steps | 0.9, 0.8, 0.7 | 0 | 0.2 | 1 | yes |" in page
    assert defaults.write(defaults.collect([], tmp_path), tmp_path).read_text(encoding="utf-8") == page


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
