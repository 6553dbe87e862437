"""CDE and all compared agents in three mazes, with a number of updates that CQL can afford."""

from __future__ import annotations

from prospect_rl.agents import CQL
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.papers.cde.common import (
    MAZES,
    METRICS,
    PAPER_BUDGET,
    SHORT,
    SMALL,
    SOURCE,
    UMAZE,
    above,
    data,
    few,
    learners,
)
from prospect_rl.experiments.papers.cde.scores import EPISODES, MAZE

RIVALS = ("optidice", "cql", "iql", "bc", "bc_filtered")


def all_learners(budget: int, **fields: object) -> dict[str, Agent]:
    """The agents of `cde_maze` and CQL."""
    return {**learners(budget, **fields), "cql": CQL(**fields)}  # type: ignore[arg-type]


RUN = all_learners(SHORT)
EXPERIMENT = Experiment(
    name="cde_maze_short",
    title="CDE and its rivals in three mazes, 3e4 updates",
    text=(
        "All agents of `cde_maze`, and CQL with fewer seeds, in all three mazes, each after 3e4 "
        "updates: three in ten of the source's. `awac` stands here as the strong rival: no claim is about it. CORL's "
        "figures after a million updates in umaze, medium and large: AWAC 65.7, 84.6, 215.5; IQL 42.1, 34.9, 61.7; "
        "CQL -8.9, 86.1, 23.8; BC .4, .8, 2.3; 10 % BC 12.2, 14.3, 11.3."
    ),
    source=SOURCE,
    smoke=Tier(
        all_learners(1000, **SMALL), (UMAZE,), seeds=1, budget=1000, evals=2, eval_episodes=10,
        datasets={UMAZE: few(UMAZE)},
    ),
    repro=Tier(
        RUN, MAZES, seeds=dict.fromkeys(RUN, 5) | dict.fromkeys(("cde", *RIVALS), 40) | {"cql": 10}, budget=SHORT,
        evals=10, eval_episodes=EPISODES, datasets={env: data(env) for env in MAZES}, seen=5,
    ),
    paper=Tier(
        all_learners(PAPER_BUDGET), MAZES, seeds=5, budget=PAPER_BUDGET, evals=20, eval_episodes=EPISODES,
        datasets={env: data(env) for env in MAZES},
    ),
    claims=tuple(
        above(f"R{i} {right} {env.rpartition('/')[2]}", "cde", right, env, paper_budget=PAPER_BUDGET)
        for env in MAZES
        for i, right in enumerate(RIVALS, 1)
    ),
    derived=MAZE,
    metrics=METRICS,
    pictures=("curves",),
)  # fmt: skip
