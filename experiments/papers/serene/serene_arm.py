"""SERENE and the compared methods on the redundant arm: twenty joints, walls, and three small goals for the hand."""

from __future__ import annotations

from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.papers.serene.common import SOURCE, agents, claims, derived, metrics, some

ENV = "arm/redundant"
SEEDS = {"serene": 30, "novelty_search": 30, "map_elites": 5, "cma_me": 5, "nsga2": 5, "random_search": 5}

EXPERIMENT = Experiment(
    name="serene_arm",
    title="SERENE on the redundant arm",
    text=(
        "A planar arm of twenty joints among four walls; an episode ends when it touches itself, a wall or the "
        "border, and pays if its hand is then in one of three discs. An episode that survives to the cut at 100 "
        "steps pays nothing (the official rule). Coverage and rewards are counted as in `serene_maze`."
    ),
    source=SOURCE,
    smoke=Tier(some("serene", "novelty_search", "random_search"), (ENV,), seeds=1, budget=3000, evals=3),
    repro=Tier(agents(), (ENV,), seeds=SEEDS, budget=200_000, evals=100, seen=10),
    paper=Tier(agents(), (ENV,), seeds=15, budget=500_000, evals=100),
    claims=claims(ENV, areas=3, paper_budget=500_000),
    derived=derived(3),
    metrics=metrics(3),
)
