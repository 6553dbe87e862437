"""SMoSE and policies of equal size on MEX's sparse velocity tasks."""

from __future__ import annotations

from typing import Any

from prospect_rl.agents import Smose
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.papers.smose.common import (
    FLOORS,
    PAPER_BUDGET,
    READS,
    REDUCED,
    SMALL,
    SOURCE,
    linear,
    sac,
    small,
)

TASKS = ("mujoco/cheetah_vel_sparse", "mujoco/walker_vel_sparse")


def agents(**fields: Any) -> dict[str, Agent]:
    """Label -> agent, and the floors."""
    return {
        "smose": Smose(**fields), "sac": sac(**fields), "sac_s": sac(**fields), "linear": linear(**fields),
    } | FLOORS  # fmt: skip


EXPERIMENT = Experiment(
    name="smose_sparse",
    title="SMoSE on sparse velocity tasks",
    text=(
        "The tasks of `mex_velocity`: a robot is paid 2 - |v - v*| where its speed lies in a band around a target, "
        "else nothing, less a cost of control. The source has dense tasks only, hence no claims: the question is "
        "whether few linear experts find what a network finds. `sac_s` has an actor as large as the router and one "
        "expert, `linear` is one expert, `random` and `zero` are the floors."
    ),
    source=f"{SOURCE}; the tasks are those of Liu et al., NeurIPS 2023",
    smoke=Tier(
        {label: agent for label, agent in agents(**SMALL).items() if label in ("smose", "zero")}, TASKS[1:], seeds=1,
        budget=600, evals=1,
    ),
    repro=Tier(
        agents(**REDUCED), TASKS, seeds=5, budget=100_000, evals=10, eval_episodes=5, exams={"smose": READS},
        sized={"sac_s": small},
    ),
    paper=Tier(
        agents(), TASKS, seeds=5, budget=PAPER_BUDGET, evals=100, eval_episodes=10, exams={"smose": READS},
        sized={"sac_s": small},
    ),
    metrics=(
        "eval/return", "eval/linear/return", "reading/usage_entropy", "reading/main_experts", "reading/trees",
        "reading/best_expert", "trees/agreement", "trees/balanced",
    ),
    pictures=("curves",),
)  # fmt: skip
