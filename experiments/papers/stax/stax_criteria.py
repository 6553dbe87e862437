"""By what STAX selects its population, and what its network gets to see: the arm, the same budget for all."""

from __future__ import annotations

from dataclasses import replace

from prospect_rl.agents import Stax
from prospect_rl.experiments.api import Claim, Experiment
from prospect_rl.experiments.papers.stax.common import ARM, BOUNDS, OWN, SOURCE, derived, metrics, study

NOVELTY = Stax(criterion="novelty")
AGENTS = {
    "fronts": Stax(),
    "drawn": Stax(criterion="drawn"),
    "novelty": NOVELTY,
    "surprise": Stax(criterion="surprise"),
    "fronts_raw": Stax(input="raw"),
    "novelty_raw": replace(NOVELTY, input="raw"),
}

EXPERIMENT = Experiment(
    name="stax_criteria",
    title="STAX's criteria and input",
    text=(
        "The population is selected by Pareto fronts of novelty and surprise, by one of the two as drawn in each "
        "generation, by novelty alone or by surprise alone. Pictures are centred by their mean and scaled by their "
        "spread, or raw as in the official code; from raw pictures the network may learn no more than their mean, "
        f"which the spread of the features and the unexplained share show. {BOUNDS} Random search is the floor."
    ),
    source=SOURCE,
    **study(AGENTS, "fronts", "novelty", without="input"),
    claims=(
        Claim(
            "S6", "On the arm STAX covers more by fronts of novelty and surprise than by novelty alone.", OWN,
            "ledger/coverage", ARM, left="fronts", right="novelty", paper_budget=500_000, kind="check",
        ),
    ),
    derived=derived(3),
    metrics=metrics(3),
)  # fmt: skip
