"""How STAX divides its budget between exploring and exploiting: the arm, the same budget for all."""

from __future__ import annotations

from typing import get_args, get_type_hints

from prospect_rl.agents import Stax
from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.papers.stax.common import BOUNDS, PAPER, SMOKE, SOURCE, beside, derived, metrics

ENV = "arm/redundant"
AGENTS = {name: Stax(scheduler=name) for name in get_args(get_type_hints(Stax)["scheduler"])}
FEW, MANY = 3000, 500_000

EXPERIMENT = Experiment(
    name="stax_schedulers",
    title="STAX's schedulers",
    text=(
        "After a chunk of exploring or exploiting comes the other one (`alternating`), either with equal chance "
        "(`fixed`), exploring with the chance of the budget that is left (`time`), or the arm of a bandit that is paid "
        f"for emitters found and spent (`bandit`). {BOUNDS} Random search is the floor."
    ),
    source=SOURCE,
    smoke=Tier(beside(AGENTS, schedule_budget=FEW, **SMOKE), (ENV,), seeds=1, budget=FEW, evals=3),
    repro=Tier(beside(AGENTS, schedule_budget=100_000), (ENV,), seeds=5, budget=100_000, evals=50),
    paper=Tier(beside(AGENTS, schedule_budget=MANY, **PAPER), (ENV,), seeds=15, budget=MANY),
    derived=derived(3),
    metrics=metrics(3),
)
