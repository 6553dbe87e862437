"""Claims about several environments, each in units of one agent's mean there; agents sized by their environment."""

import math

import numpy as np
import pytest

from prospect_rl.agents import SAC
from prospect_rl.experiments.api import Claim, Experiment, Tier
from prospect_rl.experiments.reports.claims import across, difference_interval, judge
from prospect_rl.experiments.sweeps.job import cell

ENVS = ("mujoco/hopper", "mujoco/walker2d")
UNITS = {"mujoco/hopper": 100.0, "mujoco/walker2d": 10.0}
SHARES = {"a": (0.9, 1.1, 1.0, 1.4), "unit": (1.2, 0.8, 1.0, 1.0)}
ROWS = [
    {"env": env, "label": label, "seed": seed, "eval/return": share * UNITS[env]}
    for env in ENVS for label, shares in SHARES.items() for seed, share in enumerate(shares)
]  # fmt: skip


def claim(**fields) -> Claim:
    given = {"also": ENVS[1:], "unit": "unit", "part": 0.5, "kind": "check"} | fields
    return Claim("c", "A keeps half.", "ours", "eval/return", ENVS[0], "a", "unit", **given)


def test_a_seed_counts_as_its_mean_over_environments_in_units():
    side = across(ROWS, claim(), "a")
    assert side.values == pytest.approx(SHARES["a"]) and side.seeds == 4 and side.missing == 0
    assert across(ROWS, claim(), "unit").mean == pytest.approx(1.0)


def test_the_verdict_is_that_of_these_values():
    verdict = judge(claim(), ROWS, budget=10)
    left, right = (np.array(SHARES[label]) for label in ("a", "unit"))
    assert verdict.outcome == "PASS" and verdict.difference == pytest.approx(1.1 - 0.5)
    assert (verdict.low, verdict.high) == pytest.approx(difference_interval(left, right, claim().scores, 0.5))
    assert judge(claim(part=2.0), ROWS, budget=10).outcome == "FAIL"


def test_a_seed_that_lacks_an_environment_does_not_count():
    some = [row for row in ROWS if (row["env"], row["label"], row["seed"]) != (ENVS[1], "a", 0)]
    assert across(some, claim(), "a").values == pytest.approx(SHARES["a"][1:])
    assert judge(claim(), [row for row in ROWS if row["env"] == ENVS[0]], budget=10).outcome == "NOT RUN"


def test_without_a_positive_unit_there_is_no_value():
    negative = [row | {"eval/return": -row["eval/return"]} if row["env"] == ENVS[1] else row for row in ROWS]
    assert judge(claim(), negative, budget=10).outcome == "INCONCLUSIVE"
    assert math.isnan(judge(claim(), negative, budget=10).low)


def test_a_claim_names_units_where_it_is_about_several():
    with pytest.raises(ValueError, match="needs both also and unit"):
        claim(unit=None)
    tier = Tier({"a": SAC(), "unit": SAC()}, ENVS[:1], seeds=3, budget=10)
    with pytest.raises(ValueError, match="names an agent or environment not in a tier"):
        Experiment("x", "", "", "", tier, tier, tier, claims=(claim(),))


def test_an_agent_may_follow_from_the_spec():
    agents = {"small": SAC(), "other": SAC()}
    tier = Tier(agents, ENVS, seeds=1, budget=10, sized={"small": lambda spec: {"actor_hidden": (spec.obs.size,)}})
    widths = [cell(tier, label, env, (0,)).agent.actor_hidden for label in agents for env in ENVS]
    assert widths == [(11,), (17,), (), ()]
    with pytest.raises(ValueError, match="sized names"):
        Tier(agents, ENVS, seeds=1, budget=10, sized={"absent": dict})
