"""Declarations, and the verdicts on claims: each number can be checked by hand."""

import math

import pytest

from experiments import api
from experiments.api import Claim, Experiment, Tier
from experiments.claims import decide, judge

ENV = "maze/hard"


def rows(**values):
    return [{"env": ENV, "label": label, "m": x} for label, column in values.items() for x in column]


def claim(**fields):
    return Claim(name="c", text="t", source="s", metric="m", env=ENV, **({"left": "a", "right": "b"} | fields))


A, B = [0.9, 0.9, 0.9], [0.5, 0.5, 0.5]  # without spread the interval is the difference itself: 0.4


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "PASS"),
        ({"margin": 0.3}, "PASS"),
        ({"margin": 0.5}, "FAIL"),
        ({"left": "b", "right": "a"}, "FAIL"),
        ({"left": "b", "right": "a", "better": "lower"}, "PASS"),
        ({"better": "lower"}, "FAIL"),
        ({"within": (0.3, 0.5)}, "PASS"),
        ({"within": (-0.1, 0.1)}, "FAIL"),
        ({"part": 1.7}, "PASS"),
        ({"part": 1.9}, "FAIL"),
        ({"left": "b", "right": "a", "part": 0.6, "better": "lower"}, "PASS"),
        ({"left": "b", "right": "a", "part": 0.5, "better": "lower"}, "FAIL"),
        ({"right": None, "margin": 0.8}, "PASS"),
        ({"right": None, "margin": 0.95}, "FAIL"),
        ({"right": None, "margin": 0.95, "better": "lower"}, "PASS"),
        ({"right": None, "margin": 0.8, "better": "lower"}, "FAIL"),
        ({"right": None, "within": (0.8, 1.0), "better": "lower"}, "PASS"),
        ({"right": None, "within": (0.0, 0.8), "better": "lower"}, "FAIL"),
    ],
)
def test_verdicts(fields, outcome):
    assert judge(claim(**fields), rows(a=A, b=B), budget=1).outcome == outcome


def test_numbers_behind_a_verdict():
    v = judge(claim(), rows(a=[1.0, 2.0, 3.0, 10.0], b=[0.0, 0.5, 0.5]), budget=1)
    assert (v.left.mean, v.left.iqm, v.left.seeds) == (4.0, 2.5, 4)
    assert v.right is not None and v.right.mean == pytest.approx(1 / 3)
    assert v.difference == pytest.approx(4 - 1 / 3)
    assert v.low < v.difference < v.high
    # The one-sided p of full separation is 1 / C(7, 3) where it is exact; ties on one side make it approximate.
    assert v.p < 0.05


def test_an_interval_across_the_margin_is_inconclusive():
    spread = rows(a=[0.0, 1.0, 0.2, 0.9], b=[0.1, 0.8, 0.3, 0.9])
    assert judge(claim(), spread, budget=1).outcome == "INCONCLUSIVE"
    assert judge(claim(within=(-0.05, 0.05)), spread, budget=1).outcome == "INCONCLUSIVE"


@pytest.mark.parametrize(("a", "b"), [([1.0, 1.0], B), (A, []), ([], [])])
def test_fewer_than_three_seeds_are_not_run(a, b):
    v = judge(claim(), rows(a=a, b=b), budget=1)
    assert v.outcome == "NOT RUN" and math.isnan(v.low)


def test_missing_values_are_counted_and_never_averaged():
    v = judge(claim(), rows(a=[*A, math.nan], b=B), budget=1)
    assert (v.outcome, v.left.seeds, v.left.missing, v.left.mean) == ("PASS", 4, 1, pytest.approx(0.9))
    v = judge(claim(), rows(a=[0.9, 0.9, math.nan], b=B), budget=1)
    assert v.outcome == "INCONCLUSIVE"


def test_reduced_below_the_sources_budget():
    assert judge(claim(paper_budget=500), rows(a=A, b=B), budget=499).reduced
    assert not judge(claim(paper_budget=500), rows(a=A, b=B), budget=500).reduced


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(0.1, 0.2, "INCONCLUSIVE"), (0.11, 0.2, "PASS"), (0.0, 0.09, "FAIL"), (0.0, 0.1, "INCONCLUSIVE")],
)
def test_the_margin_itself_is_not_cleared(low, high, outcome):
    assert decide(low, high, margin=0.1, within=None) == outcome


def test_tier_looks_up_by_label_and_environment():
    tier = Tier({"a": None, "b": None}, (ENV,), seeds={"a": 3, "b": 5}, budget={ENV: 70})  # type: ignore[dict-item]
    assert (tier.seeds_of("b"), tier.budget_of(ENV)) == (5, 70)
    with pytest.raises(ValueError, match="seeds names"):
        Tier({"a": None}, (ENV,), seeds={"b": 3}, budget=1)  # type: ignore[dict-item]


def test_a_claim_must_speak_of_what_the_tiers_run():
    tier = Tier({"a": None}, (ENV,), seeds=1, budget=1)  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="claim 'c' of x"):
        Experiment("x", "t", "t", "s", tier, tier, tier, claims=(claim(),))


def test_unknown_names_get_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'serene_maze'"):
        api.load("serene_mase")
    tier = Tier({}, (), seeds=1, budget=1)
    with pytest.raises(ValueError, match="did you mean 'repro'"):
        Experiment("x", "t", "t", "s", tier, tier, tier).tier("repo")


@pytest.mark.parametrize("name", api.EXPERIMENTS)
def test_registered_experiments(name):
    """Every agent fits every environment of each tier, and what it learns from is there."""
    import envs
    from agents.api import Batches, wants_of
    from envs import datasets

    one = api.load(name)
    for tier in (one.smoke, one.repro, one.paper):
        for env in tier.envs:
            spec = envs.make(env, **tier.env_fields.get(env, {})).spec
            for label, agent in tier.agents.items():
                assert agent.misfit(spec) is None
                data = tier.dataset_of(label, env, (0,))
                assert (data is not None) == isinstance(wants_of(agent)[0], Batches)
                assert data is None or datasets.recipe(data.name, **data.fields)
    assert len({c.name for c in one.claims}) == len(one.claims)
    assert all(c.source and c.text for c in one.claims)
