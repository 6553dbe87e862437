"""STAX on the redundant arm: behaviour learned from pictures of the arm, beside SERENE that knows where its hand is."""

from __future__ import annotations

from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.papers.stax.common import (
    BOUNDS,
    PAPER,
    SEEDS,
    SMOKE,
    SOURCE,
    agents,
    claims,
    derived,
    metrics,
    some,
)  # fmt: skip

ENV = "arm/redundant"

EXPERIMENT = Experiment(
    name="stax_arm",
    title="STAX on the redundant arm",
    text=(
        "As `stax_maze`, on the arm of `serene_arm`. A published figure shows STAX trained and untrained here; in the "
        "official code the population of the untrained one is never updated, so it stands here with and without "
        "that mistake. In goal area 0 SERENE's own seeds are spread by .28, hence the wide margin. "
        f"{BOUNDS}"
    ),
    source=SOURCE,
    smoke=Tier(some("stax", "random_search", **SMOKE), (ENV,), seeds=1, budget=6000, evals=3),
    repro=Tier(agents(), (ENV,), seeds=SEEDS, budget=200_000, evals=50),
    paper=Tier(agents(**PAPER), (ENV,), seeds=15, budget=500_000, evals=100),
    claims=claims(ENV, areas=3),
    derived=derived(3),
    metrics=metrics(3),
)
