"""What would decide open claims: redrawn experiments with more seeds."""

from pathlib import Path

import numpy as np
import pytest

from prospect_rl.experiments.api import REAL, SHARE, Claim
from prospect_rl.experiments.reports import undecided
from prospect_rl.experiments.reports.claims import Side
from prospect_rl.experiments.reports.overview import judged

RESULTS = Path(__file__).parents[2] / "results"


def claim(**fields):
    given = {"right": "b", "kind": "check", "scores": REAL} | fields
    return Claim(name="c", text="t", source="s", metric="m", env="maze/hard", left="a", **given)


def side(label, values):
    return Side(label, len(values), np.asarray(values, np.float64))


@pytest.mark.parametrize(("margin", "needed"), [(0.0, 15), (0.3, 30), (0.5, 60), (1.0, None)])
def test_seeds_that_decide(margin, needed):
    """Deviations of .8, means 1 apart: about 2 ((2.18 + .84) .8 / (1 - margin)) ** 2 = 12, 24, 47, and none at 1."""
    spread = 0.8 * np.array([-1.0, 1.0, -1.0, 1.0])
    assert undecided.seeds_needed(claim(margin=margin), [side("a", 1 + spread), side("b", spread)]) == needed


def test_none_of_n_seeds():
    """That none of n succeeds shows less than 5 % at a tail of .0147 from n = 83 on."""
    never = claim(right=None, margin=0.05, better="lower", scores=SHARE)
    assert undecided.seeds_needed(never, [side("a", [0.0] * 10)]) == 85
    assert undecided.seeds_needed(claim(right=None, within=(0.5, 1.0), scores=SHARE), [side("a", [1.0] * 4)]) == 10


def test_minutes_of_a_run_of_several_seeds_are_shared_out():
    rows = [{"env": "e", "label": "a", "hash": hash, "wall_minutes": 6.0} for hash in ("x", "x", "x", "y")]
    assert undecided.minutes_a_seed(rows, "e", "a") == 3.0


def test_the_page_has_every_undecided_claim():
    lines = [line for line in (RESULTS / "UNDECIDED.md").read_text("utf-8").splitlines() if line.startswith("| [")]
    named = {(line.split("]")[0][3:], line.split(" | ")[1].partition(": ")[0]) for line in lines}
    assert named == {(one.experiment, one.claim.name) for one in judged(RESULTS) if one.outcome == "INCONCLUSIVE"}
