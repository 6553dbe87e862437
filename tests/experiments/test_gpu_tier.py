"""The tier for a GPU: what it runs as one program, what its search leaves alone, and the page of its claims."""

from pathlib import Path

import pytest

from prospect_rl.agents.api import can_share
from prospect_rl.experiments.api import GPU, TIERS, Experiment, Tier
from prospect_rl.experiments.cli import main as cli
from prospect_rl.experiments.register import EXPERIMENTS, load
from prospect_rl.experiments.reports import on_gpu, tables_csv
from prospect_rl.experiments.reports.report import CLAIM_HEAD
from prospect_rl.experiments.searches.study import FIRST_SEED
from prospect_rl.experiments.sweeps.job import cell, plan, resolve

ROOT = Path(__file__).parents[2]
NAMES = [name for name in EXPERIMENTS if load(name).gpu]


def test_who_has_one():
    declared = {"minigrid_exploration", "elmur_popgym", "elmur_tmaze", "cde_maze", "cde_scarce", "mex_velocity"}
    assert set(NAMES) == declared


@pytest.mark.parametrize("name", NAMES)
def test_all_seeds_of_an_agent_are_one_program_on_a_gpu(name, tmp_path):
    one = load(name)
    tier, jobs = one.tier(GPU), plan(one, GPU, root=tmp_path)
    for env in tier.envs:
        for label, agent in tier.agents.items():
            mine = [job for job in jobs if (job.env, job.label) == (env, label)]
            own = callable(tier.data_of(label, env))  # a program has one dataset
            assert can_share(agent) and len(mine) == (tier.seeds_of(label) if own else 1)
            for job in mine:
                assert job.device == GPU and job.out.name.endswith("-gpu")
                run = resolve(job.payload)
                run.check(None)
                assert run.hash == job.hash and run.config()["device"] == GPU
    assert {job.hash for job in jobs}.isdisjoint(job.hash for job in plan(one, "repro", root=tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_declared_with_seeds_that_can_decide_them(name):
    one = load(name)
    assert one.gpu_claims and one.gpu_text and one.claims_of(GPU) == one.gpu_claims != one.claims_of("repro")
    for claim in one.gpu_claims:
        sides = [claim.left] if claim.right is None else [claim.left, claim.right]
        assert all(one.tier(GPU).seeds_of(label) >= 10 for label in sides)


@pytest.mark.parametrize("name", [name for name in NAMES if load(name).search])
def test_a_search_uses_nothing_that_a_verdict_does(name):
    one = load(name)
    search, tier = one.search, one.tier(GPU)
    assert search is not None and search.tier == GPU
    seeds = tuple(range(FIRST_SEED, FIRST_SEED + search.seeds))
    assert max(tier.seeds_of(label) for label in tier.agents) < FIRST_SEED
    run = cell(one.trial({}), search.label, search.env, seeds, GPU)
    run.check(None)
    theirs, ours = dict(run.env_fields), tier.env_fields.get(search.env, {})
    if levels := ours.get("levels"):  # those of unseen/... are the verdicts' own
        assert theirs["first_level"] >= ours.get("first_level", 0) + levels
        assert search.metric.startswith("eval/")


def test_an_experiment_without_one_says_so():
    tier = Tier({}, (), seeds=1, budget=1)
    one = Experiment("x", "t", "t", "s", tier, tier, tier)
    assert list(one.tiers) == ["smoke", "repro", "paper"] and set(one.tiers) < set(TIERS)
    with pytest.raises(ValueError, match="x has no tier 'gpu'; it has smoke, repro, paper"):
        one.tier(GPU)


def test_without_a_gpu_it_is_one_line(capsys):
    assert cli.main(["run", "cde_maze", "--tier", "gpu"]) != 0
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and ("gpu" in said[0].lower())


# --- the page ----------------------------------------------------------------------------------------


def test_the_page_is_as_made_from_the_committed_tables(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert Path("results/gpu/README.md").read_text("utf-8") == on_gpu.text(), "made anew by: prospect report --all"


def test_claims_that_were_run_have_their_verdicts(tmp_path):
    assert on_gpu.text(tmp_path).count("| NOT RUN |") == sum(len(load(name).gpu_claims) for name in NAMES)
    claim = load("cde_maze").gpu_claims[0]
    row = {
        "claim": claim.name, "outcome": "PASS", "left": claim.left, "right": claim.right, "left_mean": 210.0,
        "right_mean": 150.0, "left_seeds": 20, "right_seeds": 20, "left_missing": 0, "right_missing": 0,
        "difference": 60.0, "low": 40.0, "high": 80.0, "reduced": False, "method": "Welch's t",
    }  # fmt: skip
    (tmp_path / GPU / "cde_maze").mkdir(parents=True)
    tables_csv.write_csv(tmp_path / GPU / "cde_maze" / "claims.csv", [row], CLAIM_HEAD)
    text = on_gpu.text(tmp_path)
    assert "## [cde_maze](cde_maze/README.md)" in text and "1 PASS." in text
    assert "| D4RL score: cde 210, optidice 150 (20 seeds each) | 60 [40, 80] | PASS |" in text
