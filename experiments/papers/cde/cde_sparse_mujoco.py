"""CDE on a robot with a sparse reward: 1 per step once the episode's dense return exceeds a threshold."""

from __future__ import annotations

from typing import Any

from prospect_rl.agents import CQL
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Data, Experiment, Tier
from prospect_rl.experiments.papers.cde.common import METRICS, SHORT, SMALL, SOURCE, above, learners
from prospect_rl.experiments.papers.cde.scores import EPISODES, MUJOCO

ENV = "mujoco/hopper"
PAPER_BUDGET = 500_000
THRESHOLD = 3178.95
"""Third quartile of the returns in the dataset of the results; on another processor the data may differ slightly."""
FIELDS = {ENV: {"version": "v4", "threshold": THRESHOLD}}
DATA = {ENV: Data("mujoco/hopper/medium", {"sparse": True})}
FEW = {
    "sparse": True, "rows": 20_000, "low": -100.0, "high": 100.0, "budget": 2000, "every": 1000, "eval_episodes": 2,
    "agent": (("hidden", (32, 32)), ("learning_starts", 500), ("batch_size", 64)),
}  # fmt: skip
"""Fields of the smoke tier's data: from a robot that has hardly learned anything."""
RIVALS = ("optidice", "cql", "iql", "bc", "bc_filtered")


def of_robots(budget: int, **fields: Any) -> dict[str, Agent]:
    """Label -> agent, with the settings of their sources for robots."""
    cql = {"hidden": (256, 256), "lagrange": False, **fields}
    return {**learners(budget, alpha=0.1, temperature=1.0, **fields), "cql": CQL(**cql)}


RUN = of_robots(SHORT)
EXPERIMENT = Experiment(
    name="cde_sparse_mujoco",
    title="CDE and its rivals on sparse Hopper",
    text=(
        "A million rows of SAC's policy from the middle of its training. They are paid 1 for each step once the "
        "return of the trajectory so far exceeds the third quartile of all returns, else 0, so that the reward is "
        "one for the past and not for what is seen. The success rate is the share of episodes whose dense return "
        f"exceeds that threshold ({THRESHOLD:g}), as the source counts; return and D4RL score are of the dense reward "
        "too, which nobody learns from. The source's figures for Hopper could not be read (half-cheetah, medium: CDE "
        "82.0 ± 8.6 %, CQL 97.6 ± 4.1 %). Here are 3e4 updates of its 5e5 (CQL: three seeds, without Lagrange's "
        "multiplier), on data made anew by an agent of ours: a check that all of it works and of who is ahead, not a "
        "reproduction."
    ),
    source=SOURCE,
    smoke=Tier(
        of_robots(1000, **SMALL), (ENV,), seeds=1, budget=1000, evals=2, eval_episodes=10, env_fields=FIELDS,
        datasets={ENV: Data("mujoco/hopper/medium", FEW)},
    ),
    repro=Tier(
        RUN, (ENV,), seeds={label: 3 if label == "cql" else 5 for label in RUN}, budget=SHORT, evals=10,
        eval_episodes=EPISODES, env_fields=FIELDS, datasets=DATA,
    ),
    paper=Tier(
        of_robots(PAPER_BUDGET), (ENV,), seeds=5, budget=PAPER_BUDGET, evals=50, eval_episodes=EPISODES,
        env_fields=FIELDS, datasets=DATA,
    ),
    claims=tuple(
        above(
            f"H{i} {right}", "cde", right, ENV, "eval/success", paper_budget=PAPER_BUDGET,
            source=f"our reading of {SOURCE}, table 2, whose figures for Hopper were not to be had",
        )  # fmt: skip
        for i, right in enumerate(RIVALS, 1)
    ),
    derived=MUJOCO,
    metrics=(*METRICS, "data/episodes", "data/paid_last"),
    pictures=("curves",),
)  # fmt: skip
