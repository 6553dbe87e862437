"""Ablation of the parts of CDE in the large maze."""

from __future__ import annotations

from typing import Any

from prospect_rl.agents import CDE, OptiDICE
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Claim, Experiment, Tier
from prospect_rl.experiments.papers.cde.common import (
    LARGE,
    METRICS,
    PAPER_BUDGET,
    SHORT,
    SMALL,
    SOURCE,
    above,
    data,
    dice,
    few,
)
from prospect_rl.experiments.papers.cde.scores import EPISODES, MAZE

VARIANTS: dict[str, dict[str, Any]] = {
    "cde": {}, "zeta_1": {"zeta": 1.0}, "zeta_.999": {"zeta": 0.999}, "zeta_.8": {"zeta": 0.8},
    "zeta_.5": {"zeta": 0.5}, "epsilon_.1": {"epsilon": 0.1}, "epsilon_1": {"epsilon": 1.0},
    "all_rows": {"successes_only": False}, "each": {"rejection": "each"}, "raw": {"densities": "raw"},
    "official": {"rejection": "each", "densities": "raw"}, "arithmetic": {"mixing": "arithmetic"},
}  # fmt: skip
"""Label -> fields that differ from CDE with zeta .9 and epsilon .3."""
CLAIMED = ("cde", "optidice", "zeta_1", "zeta_.999", "zeta_.5", "all_rows")
"""Labels with five seeds or more; all others have three."""
SEEDS = {label: 5 if label in CLAIMED else 3 for label in ("optidice", *VARIANTS)}
MORE_SEEDS = dict.fromkeys(("cde", "optidice", "zeta_1"), 40)
"""Labels whose five seeds had decided nothing, though more of them would."""
ABOVE = "learn/outside_above"


def learners(budget: int, **fields: Any) -> dict[str, Agent]:
    """Label -> agent: OptiDICE, CDE and its variants."""
    made = {label: CDE(**dice(budget, **fields, **own)) for label, own in VARIANTS.items()}
    return {"optidice": OptiDICE(**dice(budget, **fields)), **made}


def tier(budget: int, evals: int, **fields: Any) -> Tier:
    """A tier with all agents on the full data."""
    return Tier(
        learners(budget), (LARGE,), budget=budget, evals=evals, eval_episodes=EPISODES, datasets={LARGE: data(LARGE)},
        **fields,
    )  # fmt: skip


HIGHER = "CDE has a higher D4RL score"


def outside(name: str, text: str, left: str, **fields: Any) -> Claim:
    """A claim about the share of drawn actions whose ratio exceeds epsilon."""
    text += " of the actions outside the data have a ratio above epsilon with CDE."
    source = f"our reading of {SOURCE}: what its constraint on the ratio outside the data is for"
    return Claim(
        name, text, source, ABOVE, LARGE, left, paper_budget=PAPER_BUDGET, kind="check", **fields
    )  # fmt: skip


def better(name: str, left: str, right: str, text: str, source: str = "") -> Claim:
    """The claim that one variant scores above another."""
    kind, source = ("paper", source) if source else ("check", f"our reading of {SOURCE}, which has no such ablation")
    text = f"In the large maze {text}."
    return above(name, left, right, LARGE, text=text, source=source, kind=kind, paper_budget=PAPER_BUDGET)


SMOKE = {label: agent for label, agent in learners(1000, **SMALL).items() if label in ("optidice", "cde", "official")}
EXPERIMENT = Experiment(
    name="cde_ablation",
    title="CDE, part by part",
    text=(
        "`cde` has zeta .9 and epsilon .3, compares densities of actions, takes an action for one outside the data "
        "where any component is far from the data's, and lets only trajectories that end at the goal count in the "
        "policy's loss. Each label changes what it says: with `zeta_1` nothing outside the data is looked at "
        "(`zeta_.999` hardly weighs it, and so shows what is there), `all_rows` counts all trajectories, `each` "
        "wants every component far away, `raw` compares densities before the tanh, and `official` is both, as the "
        "code has it; `arithmetic` mixes the data's policy and a uniform one as the paper says it. `optidice` is "
        "`zeta_1` and `all_rows` at once. The share of unseen actions above the limit is of those outside the data "
        "whose ratio is above epsilon. 3e4 updates, three in ten of the source's, which names the weight of "
        "trajectories that end at the goal in its appendix alone."
    ),
    source=SOURCE,
    smoke=Tier(
        SMOKE, (LARGE,), seeds=1, budget=1000, evals=2, eval_episodes=10, datasets={LARGE: few(LARGE)},
    ),
    repro=tier(SHORT, 10, seeds=SEEDS | MORE_SEEDS, seen=5),
    paper=tier(PAPER_BUDGET, 20, seeds=SEEDS),
    claims=(
        better("B1", "cde", "zeta_1", f"{HIGHER} with zeta .9 than with zeta 1, blind to what is outside the data"),
        better("B2", "zeta_1", "optidice", f"{HIGHER} than OptiDICE even with zeta 1"),
        better("B3", "cde", "zeta_.5", f"{HIGHER} with zeta .9 than with zeta .5", f"{SOURCE}, its study of zeta"),
        better("B4", "cde", "all_rows", f"{HIGHER} where the policy learns from successful trajectories than from all"),
        outside("B5", "With zeta .9, fewer than 5 %", "cde", margin=0.05, better="lower"),
        outside("B6", "With zeta .999, more than 10 %", "zeta_.999", margin=0.1),
    ),
    derived=MAZE,
    metrics=(*METRICS, ABOVE),
    pictures=("curves",),
)  # fmt: skip
