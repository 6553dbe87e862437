"""CDE and OptiDICE with decreasing amounts of the large maze's data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prospect_rl.agents import CDE, OptiDICE
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Claim, Data, Experiment, Tier
from prospect_rl.experiments.papers.cde.common import (
    HEADLINE,
    LARGE,
    METRICS,
    SHORT,
    SMALL,
    SOURCE,
    above,
    data,
    dice,
    few,
)
from prospect_rl.experiments.papers.cde.scores import EPISODES, MAZE

PERCENTS = (100, 30, 10, 3, 1)
FEW = (100, 1)
"""Those of the tier for a GPU."""


def learners(budget: int, percents: tuple[int, ...], **fields: Any) -> dict[str, Agent]:
    """Label -> agent: CDE and OptiDICE, once for each share of the data."""
    kinds = {"cde": CDE, "optidice": OptiDICE}
    return {f"{name}_{p}": kind(**dice(budget, **fields)) for p in percents for name, kind in kinds.items()}


def subsets(made: Callable[..., Data], percents: tuple[int, ...]) -> dict[str, Data | Callable[[int], Data]]:
    """Label -> data: whole trajectories, drawn at random for each seed."""

    def of(percent: int) -> Data | Callable[[int], Data]:
        return made(LARGE) if percent == 100 else lambda seed: made(LARGE, share=percent / 100, subset_seed=seed)

    return {f"{name}_{p}": of(p) for p in percents for name in ("cde", "optidice")}


def keeps(name: str, left: str, part: float, text: str, **fields: Any) -> Claim:
    """The claim that an agent keeps a fraction of its score with all data."""
    whole = left.partition("_")[0] + "_100"
    return Claim(
        name, f"With 1 % of the trajectories {text} of the D4RL score that it has with all.",
        f"{SOURCE}, figure on scarce data, which prints no numbers: the bound is ours", "d4rl score", LARGE, left,
        whole, part=part, paper_budget=100_000, kind="paper", **fields,
    )  # fmt: skip


def beside(percent: int, name: str = "K3") -> Claim:
    """CDE above OptiDICE with the same data; the paper prints this for all data (table 1) and 1 % (a figure)."""
    part = "all" if percent == 100 else f"{percent} %"
    text = f"With {part} of the trajectories CDE has a higher D4RL score than OptiDICE in the large maze."
    figure = f"{SOURCE}, figure on scarce data"
    source = {100: HEADLINE, 1: figure}.get(percent, f"our reading of {figure}")
    return above(
        f"{name} {percent} %", f"cde_{percent}", f"optidice_{percent}", LARGE, text=text, source=source,
        kind="paper" if percent in (100, 1) else "check", paper_budget=100_000,
    )  # fmt: skip


RUN = Tier(
    learners(SHORT, PERCENTS), (LARGE,),
    seeds=dict.fromkeys(learners(SHORT, PERCENTS), 5) | {"cde_100": 40, "optidice_100": 40}, budget=SHORT, evals=10,
    eval_episodes=EPISODES, datasets=subsets(data, PERCENTS), seen=5,
)  # fmt: skip

EXPERIMENT = Experiment(
    name="cde_scarce",
    title="CDE and OptiDICE with few trajectories",
    text=(
        "The number in a label is the percentage of the large maze's four million rows that is learned from, in "
        "whole trajectories. Of 1 % the whole lot is a few that end at the goal, so that a draw decides much: each "
        "seed draws a subset of its own, the same for both agents, and both what ends at the goal and what does not "
        "are cut to the share (episodes of the data, and those with a reward at their end, which end at the goal; "
        "rewarded ones pass it too). Both learn for 3e4 updates, three in ten of the source's; "
        "statistics for normalisation are the subset's."
    ),
    source=SOURCE,
    smoke=Tier(
        learners(1000, (100, 10), **SMALL), (LARGE,), seeds=1, budget=1000, evals=2, eval_episodes=10,
        datasets=subsets(few, (100, 10)),
    ),
    repro=RUN,
    paper=Tier(
        learners(100_000, PERCENTS), (LARGE,), seeds=5, budget=100_000, evals=20, eval_episodes=EPISODES,
        datasets=subsets(data, PERCENTS),
    ),
    claims=(
        keeps("K1 cde", "cde_1", 0.7, "CDE has more than 70 %"),
        keeps("K2 optidice", "optidice_1", 0.5, "OptiDICE has less than 50 %", better="lower"),
        *(beside(percent) for percent in PERCENTS),
    ),
    gpu=Tier(
        learners(100_000, FEW), (LARGE,), seeds=10, budget=100_000, evals=10, eval_episodes=EPISODES,
        datasets=subsets(data, FEW),
    ),
    gpu_claims=(
        keeps("G1 cde", "cde_1", 0.7, "CDE has more than 70 %"),
        keeps("G2 optidice", "optidice_1", 0.5, "OptiDICE has less than 50 %", better="lower"),
        *(beside(percent, "G3") for percent in FEW),
    ),
    gpu_text=(
        "On a GPU: all of the data and 1 % of it, the source's 100,000 updates and settings, which are not searched, "
        "and ten seeds. With all data they are one program; of 1 % each seed has a draw of its own, hence a program. "
        "Estimated at 23 minutes on one H200, a third of that with WORKERS=4: 22 programs of a minute each, 48 s for "
        "100,000 updates of 512 rows if those of 256 come at 4200 a second, as they are meant to and as has yet to be "
        "measured, and a quarter of a minute for compiling and evaluations."
    ),
    derived=MAZE,
    metrics=(*METRICS, "data/episodes", "data/paid_last", "data/paid"),
    pictures=("curves",),
)  # fmt: skip
