"""How many pictures of an episode STAX learns from: the arm, the same budget for all."""

from __future__ import annotations

from prospect_rl.agents import Stax
from prospect_rl.experiments.api import Experiment
from prospect_rl.experiments.papers.stax.common import BOUNDS, SOURCE, derived, metrics, study

AGENTS = {
    "one": Stax(frames=1),
    "three": Stax(frames=3),
    "five": Stax(frames=5),
    "five_last": Stax(frames=5, features_of="last"),
}

EXPERIMENT = Experiment(
    name="stax_frames",
    title="STAX's number of pictures",
    text=(
        "STAX gets pictures of one state of an episode, the last, or of three or five, evenly spaced; novelty and "
        "surprise are then of all of them. `five_last` trains on five and searches in the features of the last "
        f"alone. {BOUNDS} Random search is the floor."
    ),
    source=SOURCE,
    **study(AGENTS, "one", "three", without="frames"),
    derived=derived(3),
    metrics=metrics(3),
)
