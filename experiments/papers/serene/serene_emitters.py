"""Why SERENE's emitters are elitist: the authors' study on the sparse 2-D point, elitist emitters and CMA-ES."""

from __future__ import annotations

from typing import Literal

from prospect_rl.agents.api import Agent
from prospect_rl.agents.evolution.serene.study import EmitterStudy
from prospect_rl.experiments.api import Claim, Experiment, Tier
from prospect_rl.experiments.papers.serene.common import SOURCE

ENV = "point/sparse"
AGENTS: dict[str, Agent] = {
    "elitist": EmitterStudy(emitter="elitist", emitter_capacity=1),
    "cmaes": EmitterStudy(emitter="cmaes", emitter_capacity=1),
}


FIGURE = "the official repository GPaolo/STAX, analysis/Untitled.ipynb (elitist about 22 to 37, CMA-ES about 1 to 3)"


def _claim(name: str, text: str, metric: str, kind: Literal["paper", "check"], source: str) -> Claim:
    return Claim(
        name, text, source, metric, ENV, left="elitist", right="cmaes", paper_budget=50_000, kind=kind,
    )  # fmt: skip


EXPERIMENT = Experiment(
    name="serene_emitters",
    title="Elitist or CMA-ES emitters",
    text=(
        "A point moves in a square for 50 steps and earns 1 for each step inside one of four squares of side .05."
        " Novelty search finds five rewarding policies (the same for both kinds of emitter, seed by seed); their "
        "five emitters spend the rest of the budget side by side. The mean reward is that of all "
        "their members at the end, the best reward that of each emitter's best member."
    ),
    source=SOURCE,
    smoke=Tier(AGENTS, (ENV,), seeds=1, budget=6000, evals=3),
    repro=Tier(AGENTS, (ENV,), seeds=30, budget=50_000, evals=50, seen=10),
    paper=Tier(AGENTS, (ENV,), seeds=10, budget=50_000, evals=50),
    claims=(
        _claim(
            "C3",
            "Elitist emitters improve the mean reward of their members by more than CMA-ES emitters do.",
            "emitters/improvement",
            "check",
            f"our reading of {FIGURE}",
        ),
        _claim(
            "C3 mean",
            "At the end the members of elitist emitters have a higher mean reward than those of CMA-ES emitters.",
            "emitters/mean",
            "paper",
            FIGURE,
        ),
        _claim(
            "C3 best",
            "At the end the best members of elitist emitters have a higher mean reward than the best of "
            "CMA-ES emitters.",
            "emitters/best",
            "check",
            f"our reading of {FIGURE}",
        ),
    ),
    metrics=("emitters/mean", "emitters/best", "emitters/improvement", "emitters/steps", "archive/overflow"),
    pictures=("curves",),
)
