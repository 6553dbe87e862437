"""SERENE and the compared methods on the hard maze: two distant goals that are rewarded at the last of 2000 steps."""

from __future__ import annotations

from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.papers.serene.common import SOURCE, agents, claims, derived, metrics, some

ENV = "maze/hard"
SEEDS = {"serene": 10, "novelty_search": 10, "map_elites": 5, "cma_me": 5, "nsga2": 5, "random_search": 5}

EXPERIMENT = Experiment(
    name="serene_maze",
    title="SERENE on the hard maze",
    text=(
        "A robot starts at the left of a maze and is paid once, at the end of its 2000 steps, if it stands in one"
        " of two discs, the far goal and the near goal; the far one lies deep in the top room. Novelty search finds "
        "them; SERENE spends half of the same budget on emitters that climb what was found. Coverage counts the final "
        "positions of exploring evaluations on a 50 x 50 grid (the official metric leaves emitters out); with trials "
        "of emitters included it counts every evaluation. The best reward in an area is given over all evaluations "
        "and, as the official analysis does, over the archives alone."
    ),
    source=SOURCE,
    smoke=Tier(some("serene", "novelty_search", "random_search"), (ENV,), seeds=1, budget=3000, evals=3),
    repro=Tier(agents(), (ENV,), seeds=SEEDS, budget=500_000, evals=100),
    paper=Tier(agents(), (ENV,), seeds=15, budget=500_000, evals=100),
    claims=claims(ENV, areas=2, paper_budget=500_000),
    derived=derived(2),
    metrics=metrics(2),
)
