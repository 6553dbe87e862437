"""How much verifiers miss, and what HERO and its rivals learn where much is missed, little, or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.papers.hero.common import PAPER, SMOKE, SOURCE, arms

REGIMES = tuple(f"text/sort_{name}" for name in ("verifiable", "hard", "mixed"))
LABELS = ("verifier", "rm", "mix", "gated", "hero")


def tier(envs: tuple[str, ...], labels: tuple[str, ...], updates: int, fields: Mapping[str, Any], **sizes: Any) -> Tier:
    """Arms of so many updates each."""
    agents, budget = arms(labels, updates, **fields)
    return Tier(agents, envs, budget=budget, **sizes)


EXPERIMENT = Experiment(
    name="hero_verify",
    title="Problems that are easy and hard to verify",
    text=(
        "Sorting, with five ways to write an answer. In `sort_hard` a strict verifier accepts the plain one alone, in "
        "`sort_verifiable` a lenient one accepts three, in `sort_mixed` half of the problems have each. Success is "
        "the truth. Recall, precision and the share of wrong answers that are accepted are counted over the answers "
        "of the policy after its cold start, in the second half of the comparisons: of the regime's verifier, and of "
        "the reward model taken as a verifier that accepts what it scores by 1 above the mean. The source's table 1: "
        "recall 10.1 % (a strict verifier, precision 97.5 %, .3 % of wrong answers accepted), 68.4 % (a lenient one, "
        "100 %, 0), 91.7 % (a reward model with threshold 1, precision 67.7 %). Its table 2, on problems easy and "
        "hard to verify: trained on verifiable ones reward model 56.4 and 54.6, verifier 58.3 and 57.1, HERO 62.0 and "
        "66.3; on hard ones 55.1 and 53.7, 47.4 and 54.2, 56.8 and 56.5; on both 55.1 and 54.0, 56.1 and 58.9, 58.8 "
        "and 64.1. No claim is made about the three regimes."
    ),
    source=SOURCE,
    smoke=tier(
        REGIMES[1:2], ("hero",), 8, SMOKE, seeds=1, evals=2, eval_episodes=32, env_fields={REGIMES[1]: {"length": 3}},
    ),
    repro=tier(REGIMES, LABELS, 600, {}, seeds=5, evals=20, eval_episodes=512),
    paper=tier(
        REGIMES, LABELS, 3000, PAPER, seeds=5, evals=30, eval_episodes=512,
        env_fields={env: {"length": 16} for env in REGIMES},
    ),
    metrics=(
        "eval/success", "unseen/success", "verifier/recall", "verifier/precision", "verifier/false_yes", "rm/recall",
        "rm/precision", "rm/false_yes", "rm/auroc", "rm/rank", "groups/wrong", "groups/verified_wrong",
    ),
    pictures=("curves",),
)  # fmt: skip
