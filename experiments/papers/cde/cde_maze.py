"""CDE's main result: the large maze, with data of a noisy controller, compared with other offline agents."""

from __future__ import annotations

from dataclasses import replace

from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.papers.cde.common import (
    LARGE,
    METRICS,
    PAPER_BUDGET,
    SMALL,
    SOURCE,
    above,
    data,
    few,
    learners,
)
from prospect_rl.experiments.papers.cde.scores import EPISODES, MAZE

RIVALS = ("optidice", "iql", "bc", "bc_filtered")
RUN = Tier(
    learners(PAPER_BUDGET), (LARGE,), seeds=5, budget=PAPER_BUDGET, evals=10, eval_episodes=EPISODES,
    datasets={LARGE: data(LARGE)},
)  # fmt: skip

EXPERIMENT = Experiment(
    name="cde_maze",
    title="CDE and its rivals in the large maze",
    text=(
        "Four million rows of a noisy controller that walks to random goals, paid for one goal: about one trajectory "
        "in fifty ends there. `bc_filtered` clones the tenth of the trajectories with the highest returns, `random` "
        "draws its actions. Rivals are at their sources' settings (IQL, AWAC and CQL at CORL's for mazes) with "
        "batches of 256 rows; CDE and OptiDICE have 512. The source reports D4RL scores, means of the last five "
        "evaluations of 20 episodes over five seeds, on D4RL's file: CDE 210.0 ± 13.5, OptiDICE 155.7 ± 33.4. Here "
        "it is the last evaluation, of 100 episodes, on data made anew. A score of 100 is a weak controller; a clean "
        "one has 207, and the controller ratio is the return as a part of its. AWAC stands here as the strong "
        "rival that the source lacks: CORL's reaches 215.5 after a million updates, where its IQL has 61.7 and its "
        "BC 2.3. So no claim says that CDE is above AWAC. CQL, whose updates are expensive, is in `cde_maze_short`."
    ),
    source=SOURCE,
    smoke=Tier(
        learners(1000, **SMALL), (LARGE,), seeds=1, budget=1000, evals=2, eval_episodes=10,
        datasets={LARGE: few(LARGE)},
    ),
    repro=RUN,
    paper=RUN,
    claims=tuple(
        above(f"M{i} {right}", "cde", right, LARGE, paper_budget=PAPER_BUDGET) for i, right in enumerate(RIVALS, 1)
    ),
    gpu=replace(RUN, agents={name: agent for name, agent in RUN.agents.items() if name != "random"}, seeds=20),
    gpu_claims=tuple(
        above(f"G{i} {right}", "cde", right, LARGE, paper_budget=PAPER_BUDGET) for i, right in enumerate(RIVALS, 1)
    ),
    gpu_text=(
        "On a GPU: the same settings, which are the sources' and are not searched, and twenty seeds, a program for "
        "each agent. Estimated at 15 minutes on one H200: if five seeds of IQL make 4200 updates a second together, "
        "as they are meant to and as has yet to be measured, twenty make a quarter of that at worst: 95 s for 100,000 "
        "updates with 256 rows, twice that with CDE's 512, and half a minute each for compiling and evaluations."
    ),
    derived=MAZE,
    metrics=METRICS,
    pictures=("curves",),
)  # fmt: skip
