"""Declarations, and the verdicts on claims: each number can be checked by hand."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from prospect_rl.experiments import register
from prospect_rl.experiments.api import REAL, SHARE, SKEWED, Claim, Experiment, Scores, Tier
from prospect_rl.experiments.reports import budgets, tables_csv
from prospect_rl.experiments.reports.claims import decide, judge, scores_of

ENV = "maze/hard"


def rows(**values):
    return [{"env": ENV, "label": label, "m": x} for label, column in values.items() for x in column]


def claim(**fields):
    given = {"left": "a", "right": "b", "kind": "check", "scores": REAL} | fields
    return Claim(name="c", text="t", source="s", metric="m", env=ENV, **given)


A, B = [0.899, 0.9, 0.901], [0.499, 0.5, 0.501]  # with so little spread the interval is nearly the difference: 0.4


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
    assert v.method == "Welch's t" and math.isnan(v.coverage)
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


def test_seeds_that_died_are_counted():
    """Two of five planned died: three take part, and the page says of how many."""
    tier = Tier({"a": None, "b": None}, (ENV,), seeds={"a": 5, "b": 3}, budget=1)  # type: ignore[dict-item]
    v = judge(claim(), rows(a=A, b=[*B[:2], math.nan]), budget=1, tier=tier)
    assert v.right is not None
    assert (len(v.left.values), v.left.seeds, v.left.planned) == (3, 3, 5)
    assert (len(v.right.values), v.right.missing, v.right.planned) == (2, 1, 3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ""),
        ({"margin": 0.5}, "better than b, but not by the margin of 0.5"),
        ({"left": "b", "right": "a"}, "worse than a"),
        ({"left": "b", "right": "a", "margin": -0.1}, "worse than a"),
        ({"better": "lower"}, "worse than b"),
        ({"within": (-0.1, 0.1)}, "outside the bounds"),
        ({"part": 1.9}, "worse than 190 % of b"),
        ({"right": None, "margin": 0.95}, "not above 0.95"),
        ({"right": None, "margin": 0.5, "better": "lower"}, "not below 0.5"),
    ],
)
def test_what_a_failure_means(fields, words):
    assert judge(claim(**fields), rows(a=A, b=B), budget=1).words == words


def test_equal_scores_decide_by_what_they_are():
    """Three equal scores say nothing of a return's spread; ten successes against none do."""
    assert judge(claim(), rows(a=[1.0] * 3, b=[0.0] * 3), budget=1).outcome == "INCONCLUSIVE"
    shares = claim(scores=SHARE)
    assert judge(shares, rows(a=[1.0] * 10, b=[0.0] * 10), budget=1).outcome == "PASS"
    assert judge(shares, rows(a=[1.0] * 3, b=[0.0] * 3), budget=1).outcome == "INCONCLUSIVE"
    assert judge(claim(scores=SHARE, right=None, margin=0.9), rows(a=[1.0] * 3), budget=1).outcome == "INCONCLUSIVE"


def test_part_of_a_bounded_rival():
    """.5 of a share lies between 0 and .5: 0 of 10 is below half of 10 of 10, by .5 at most."""
    v = judge(claim(scores=SHARE, part=0.5, better="lower"), rows(a=[0.0] * 10, b=[1.0] * 10), budget=1)
    assert v.outcome == "PASS" and v.difference == 0.5 and v.high <= 0.5


def test_seeds_added_after_a_look_have_a_larger_level():
    tier = Tier({"a": None, "b": None}, (ENV,), seeds=6, budget=1, seen=3)
    for seeds, level in [(3, "Welch's t"), (6, "Welch's t, 97.1 %")]:
        v = judge(claim(), rows(a=A * (seeds // 3), b=B * (seeds // 3)), budget=1, tier=tier)
        assert (v.outcome, v.method) == ("PASS", level)
    few = [0.0] * 7, [1.0] * 5 + [0.0] * 2  # 5 successes more of 7: decided at 95 % alone
    usual, again = (judge(claim(), rows(a=few[1], b=few[0]), budget=1, tier=t) for t in (None, tier))
    assert again.low < usual.low < usual.high < again.high


def test_skewed_scores_say_how_often_they_are_covered():
    v = judge(claim(scores=SKEWED), rows(a=[900.0, 20.0, 3.0], b=[5.0, 9.0, 200.0]), budget=1)
    assert 0.5 < v.coverage < 1


@pytest.mark.parametrize("fields", [{"kind": "bounded"}, {"kind": "real", "low": 0, "high": 1},
                                    {"kind": "bounded", "low": 1, "high": 0}])  # fmt: skip
def test_bounds_belong_to_bounded_scores(fields):
    with pytest.raises(ValueError, match="finite bounds"):
        Scores(**fields)


def test_no_claim_goes_without_kind_and_scores():
    with pytest.raises(TypeError, match="kind"):
        Claim("c", "t", "s", "eval/return", ENV, "a")  # type: ignore[call-arg]
    assert Claim("c", "t", "s", "eval/return", "maze/hard", "a", kind="check").scores == SHARE
    assert Claim("c", "t", "s", "eval/return", "mujoco/hopper", "a", kind="check").scores == REAL
    with pytest.raises(ValueError, match="did you mean 'eval/return'"):
        Claim("c", "t", "s", "eval/retrun", ENV, "a", kind="check")


@pytest.mark.parametrize("name", register.EXPERIMENTS)
def test_declared_claims_agree_with_the_committed_tables(name):
    """Their scores keep their bounds; a success is judged as the share that it is."""
    one, path = register.load(name), Path("results") / name / "summary.csv"
    for c in one.claims:
        assert c.text.endswith(".") and c.source
        assert scores_of(one, c.env, c.metric) == c.scores
        assert c.scores == SHARE or not c.metric.endswith("/success")
    page = (path.parent / "README.md").read_text(encoding="utf-8") if path.exists() else ""
    assert not re.search(r"\bcard\b", f"{one} {page}")  # what no reader can open is no source
    for row in tables_csv.read_csv(path) if path.exists() else ():
        for c in one.claims:
            if row["env"] == c.env:
                assert not row[c.metric] < c.scores.low and not row[c.metric] > c.scores.high


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
    assert (tier.seeds_of("b"), tier.budget_of(ENV, "a")) == (5, 70)
    with pytest.raises(ValueError, match="seeds names"):
        Tier({"a": None}, (ENV,), seeds={"b": 3}, budget=1)  # type: ignore[dict-item]


def test_a_tier_s_budgets_by_label():
    """A label's own budget, also by environment, comes before the environment's."""
    agents = dict.fromkeys("abc")
    tier = Tier(agents, (ENV, "e"), seeds=1, budget={ENV: 70, "e": 80, "b": {ENV: 5, "e": 6}, "c": 9})  # type: ignore
    assert [[tier.budget_of(env, label) for label in "abc"] for env in (ENV, "e")] == [[70, 5, 9], [80, 6, 9]]
    with pytest.raises(ValueError, match=r"budget names \['d'\]"):
        Tier(agents, (ENV,), seeds=1, budget={ENV: 1, "d": 2})  # type: ignore[arg-type]
    for budget in ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": {"e": 3}}):
        with pytest.raises(ValueError, match=f"c has none in {ENV}"):
            Tier(agents, (ENV,), seeds=1, budget=budget)  # type: ignore[arg-type]


def test_a_report_says_each_unit():
    tier = Tier(dict.fromkeys("ab"), (ENV,), seeds=1, budget={"a": 10, "b": 2000})  # type: ignore[arg-type]
    rows = [{"env": ENV, "label": "a", "unit": "evaluations"}, {"env": ENV, "label": "b", "unit": "steps"}]
    assert budgets.in_words(tier, rows) == f"10 evaluations of a and 2,000 steps of b ({ENV})"
    assert budgets.in_words(replace(tier, budget=10), rows[:1]) == f"10 evaluations ({ENV})"
    of = [{"label": "a", "env": ENV, "budget": 7}]
    assert [budgets.least_of(claim(left=left), tier, of) for left in "abc"] == [7, 2000, 0]
    curves = [{"env": ENV, "label": label, "used": used} for label, used in (("a", 5), ("a", 10), ("b", 1000))]
    shared, axis = budgets.on_one_axis(curves, rows)
    assert [row["used"] for row in shared] == [0.5, 1, 1] and axis == "share of the budget"
    assert budgets.on_one_axis(curves[:2], rows[:1]) == (curves[:2], "evaluations")


def test_a_claim_must_speak_of_what_the_tiers_run():
    tier = Tier({"a": None}, (ENV,), seeds=1, budget=1)  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="claim 'c' of x"):
        Experiment("x", "t", "t", "s", tier, tier, tier, claims=(claim(),))


def test_unknown_names_get_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'serene_maze'"):
        register.load("serene_mase")
    tier = Tier({}, (), seeds=1, budget=1)
    with pytest.raises(ValueError, match="did you mean 'repro'"):
        Experiment("x", "t", "t", "s", tier, tier, tier).tier("repo")


@pytest.mark.parametrize("name", register.EXPERIMENTS)
def test_registered_experiments(name):
    """Every agent fits every environment of each tier, and what it learns from is there."""
    from prospect_rl import envs
    from prospect_rl.agents.api import Batches, wants_of
    from prospect_rl.envs.data import datasets

    one = register.load(name)
    for tier in one.tiers.values():
        for env in tier.envs:
            spec = envs.make(env, **tier.env_fields.get(env, {})).spec
            for label, agent in tier.agents.items():
                assert agent.misfit(spec) is None
                data = tier.dataset_of(label, env, (0,))
                assert (data is not None) == isinstance(wants_of(agent)[0], Batches)
                assert data is None or datasets.recipe(data.name, **data.fields)
    for claims in (one.claims, one.gpu_claims):
        assert len({c.name for c in claims}) == len(claims)
        assert all(c.source and c.text.endswith(".") for c in claims)
