"""How many pictures of an episode STAX learns from: the arm, the same budget for all."""

from __future__ import annotations

from prospect_rl.agents import Stax
from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.papers.stax.common import BOUNDS, PAPER, SMOKE, SOURCE, beside, derived, metrics

ENV = "arm/redundant"
AGENTS = {
    "one": Stax(frames=1),
    "three": Stax(frames=3),
    "five": Stax(frames=5),
    "five_last": Stax(frames=5, features_of="last"),
}
OFFICIAL = {name: x for name, x in PAPER.items() if name != "frames"}

EXPERIMENT = Experiment(
    name="stax_frames",
    title="STAX's number of pictures",
    text=(
        "STAX gets pictures of one state of an episode, the last, or of three or five, evenly spaced; novelty and "
        "surprise are then of all of them. `five_last` trains on five and searches in the features of the last "
        f"alone. {BOUNDS} Random search is the floor."
    ),
    source=SOURCE,
    smoke=Tier(beside(AGENTS, "one", "three", **SMOKE), (ENV,), seeds=1, budget=3000, evals=3),
    repro=Tier(beside(AGENTS), (ENV,), seeds=5, budget=100_000, evals=50),
    paper=Tier(beside(AGENTS, **OFFICIAL), (ENV,), seeds=15, budget=500_000),
    derived=derived(3),
    metrics=metrics(3),
)
