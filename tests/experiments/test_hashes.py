"""Every committed row is of a run that this version still makes: its configuration has the row's hash."""

from pathlib import Path

import pytest

from prospect_rl.experiments.register import EXPERIMENTS, load
from prospect_rl.experiments.reports import defaults
from prospect_rl.experiments.reports.tables_csv import read_csv
from prospect_rl.experiments.run.device import KINDS
from prospect_rl.experiments.sweeps.job import plan

RESULTS = Path(__file__).parents[2] / "results"
WRITTEN = sorted(path.parent.name for path in RESULTS.glob("*/summary.csv"))


def committed(name: str) -> set[tuple[str, str, str]]:
    return {(row["env"], row["label"], row["hash"]) for row in read_csv(RESULTS / name / "summary.csv")}


def test_tables_are_of_experiments_that_there_are():
    assert set(WRITTEN) <= {*EXPERIMENTS, "defaults"} and len(WRITTEN) >= 19


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "defaults"])
def test_the_runs_of_an_experiment_keep_their_hashes(name, tmp_path):
    one = load(name)
    jobs = [job for kind in KINDS for tier in one.tiers for job in plan(one, tier, root=tmp_path, device=kind)]
    planned = {(job.env, job.label, job.hash) for job in jobs}
    assert committed(name) <= planned


def test_default_runs_keep_their_hashes(tmp_path, monkeypatch):
    monkeypatch.setenv("PROSPECT_RUNS", str(tmp_path))
    planned = {(job.env, job.hash) for job in defaults.plan(defaults.names())}
    assert {(env, config_hash) for env, _, config_hash in committed("defaults")} <= planned


def test_no_configuration_holds_the_path_of_a_module(tmp_path):
    """Modules move; a run whose configuration named one would get another hash."""

    def texts(value):
        if isinstance(value, dict):
            return [text for x in value.values() for text in texts(x)]
        if isinstance(value, list):
            return [text for x in value for text in texts(x)]
        return [value] if isinstance(value, str) else []

    from prospect_rl.experiments.sweeps.job import resolve

    for name in EXPERIMENTS:
        for job in plan(load(name), "repro", root=tmp_path, seeds=1):
            found = texts(resolve(job.payload).config())
            assert not [text for text in found if "prospect_rl" in text or text.startswith(("agents.", "envs."))]
