"""HERO, its two halves and simpler hybrids on a text task where hardly any answer is right at first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prospect_rl.experiments.api import Claim, Experiment, Tier
from prospect_rl.experiments.papers.hero.common import ARMS, METRICS, PAPER, PAPER_BUDGET, SMOKE, SOURCE, arms

ENV = "text/sort"
UPDATES, FEW = 600, 181
WARM = 32
"""Iterations of cold start after which more than 8 % of the answers are right (10 and 19 % with seeds 100 and 101)."""
SEEDS = dict.fromkeys(ARMS, 5) | {"hero_warm": 20, "verifier_warm": 20}
"""On cores five are a first look, but for a claim of no difference; on a GPU all are one program."""
TABLE = f"{SOURCE}, table 2, hard to verify: HERO 56.8 and 56.5, verifier 47.4 and 54.2, reward model 55.1 and 53.7"


def tier(labels: tuple[str, ...], updates: int, few: int, warm: int, fields: Mapping[str, Any], **sizes: Any) -> Tier:
    """Arms of so many updates each, and two that begin warm and have a few."""
    agents, budget = arms(labels, updates, **fields)
    if few:
        for of, late in zip((agents, budget), arms(("hero", "verifier"), few, **{**fields, "cold": warm}), strict=True):
            of |= {f"{label}_warm": x for label, x in late.items()}
    return Tier(agents, (ENV,), budget=budget, **sizes)


def claim(name: str, text: str, source: str, left: str = "hero", right: str | None = None, **test: Any) -> Claim:
    """A claim about final success, unless the test names another metric."""
    metric = test.pop("metric", "eval/success")
    return Claim(name, text, source, metric, ENV, left, right, paper_budget=PAPER_BUDGET, **test)


EXPERIMENT = Experiment(
    name="hero_text",
    title="HERO on sorting, from a cold start of 1 to 2 %",
    text=(
        "Eight digits are to be sorted by a decoder of four layers of 128, whose cold start ends when 1 to 2 % of its "
        "answers are right, so that in about nine groups of ten none is. `verifier` learns from right and wrong alone, "
        "`rm` from a learned reward model alone, `mix` from half of each, `gated` from the verifier where it tells a "
        "group's answers apart and from the reward model elsewhere, `hero` from both by strata. Advantages are less "
        "their group's mean; in arms with `std` also divided by its deviation. `plain`: without the weights of groups, "
        "which with `std` cancel. `warm`: with a cold start above 8 %, and 181 updates in place of 600. Budgets count "
        "the answers of the cold start and of the comparisons too. Printed beside the four arms of HERO, without a "
        "claim: the weights' gain in the source's table 4, 1.2 points on problems that are easy to verify and 3.8 on "
        "hard ones. The problems, the decoder and the reward model are ours: no code of the source is published. Five "
        "seeds on cores are a first look, on a GPU there are twenty."
    ),
    source=SOURCE,
    smoke=tier(
        ("hero",), 8, 0, 0, SMOKE, seeds=1, evals=2, eval_episodes=32, env_fields={ENV: {"length": 3}},
    ),
    repro=tier(tuple(ARMS), UPDATES, FEW, WARM, {}, seeds=SEEDS, evals=20, eval_episodes=512, seen=5, gpu_seeds=20),
    paper=tier(
        tuple(ARMS), 3000, 900, 120, PAPER, seeds=5, evals=30, eval_episodes=512, env_fields={ENV: {"length": 16}},
    ),
    claims=(
        claim(
            "H1", "HERO ends with a success rate above the verifier's by more than .2.", f"{TABLE}; the margin is ours",
            right="verifier", margin=0.2, kind="paper",
        ),
        claim(
            "H2", "HERO ends with a success rate above that of the reward model alone by more than .2.",
            f"{TABLE}; the margin is ours", right="rm", margin=0.2, kind="paper",
        ),
        claim(
            "H3", "HERO ends no more than .05 below the sum of half of each.",
            f"{SOURCE}, appendix, where the sum is reported to be unstable; the bound is ours", right="mix",
            margin=-0.05, kind="paper",
        ),
        claim(
            "H4", "The verifier with the reward model as a stopgap (gated) ends within .1 of HERO.",
            "ours: the source does not compare it", left="gated", right="hero", within=(-0.1, 0.1), kind="check",
        ),
        claim(
            "H5", "With a cold start above 8 % HERO ends within .1 of the verifier after 181 updates: it needs groups "
            "without a right answer.", "ours", left="hero_warm", right="verifier_warm", within=(-0.1, 0.1),
            kind="check",
        ),
        claim(
            "W1", "Divided by their deviation, advantages with and without the groups' weights agree to a thousandth "
            "of their size in every batch.", "ours: the source does not say which it used", left="hero_std",
            metric="groups/weight_most", margin=1e-3, better="lower", kind="check",
        ),
        claim(
            "W2", "Not divided, they differ by more than .05 of their size in the mean.",
            "ours: the source does not say which it used", metric="groups/weight_mean", margin=0.05, kind="check",
        ),
    ),
    metrics=METRICS,
    pictures=("curves",),
)  # fmt: skip
