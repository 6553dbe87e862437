"""STAX on the hard maze: behaviour learned from pictures of the robot, beside SERENE that knows its position."""

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

ENV = "maze/hard"
LARGE = {ENV: {"robot_drawn": 1 / 30}}
"""In small pictures the robot is drawn with a radius of 20 units: the original's 6 are a third of a pixel of 32."""

EXPERIMENT = Experiment(
    name="stax_maze",
    title="STAX on the hard maze",
    text=(
        "SERENE searches in the robot's true final position; STAX in features that an autoencoder learns from a "
        "picture of the last state. Beside them stand TAXONS (STAX without emitters), STAX with a network that is "
        "never trained (with and without a mistake of the official code, or drawn anew at each would-be training), "
        "AURORA (quality-diversity in such features), novelty search in pixels by a random projection, novelty search "
        "in the true position, and random search as the floor of every coverage. The paper's tier has the official "
        f"network, pictures and schedule; elsewhere pictures are centred. {BOUNDS}"
    ),
    source=SOURCE,
    smoke=Tier(some("stax", "random_search", **SMOKE), (ENV,), seeds=1, budget=6000, evals=3, env_fields=LARGE),
    repro=Tier(agents(), (ENV,), seeds=SEEDS, budget=200_000, evals=50, env_fields=LARGE),
    paper=Tier(agents(**PAPER), (ENV,), seeds=15, budget=500_000, evals=100),
    claims=claims(ENV, areas=2),
    derived=derived(2),
    metrics=metrics(2),
)
