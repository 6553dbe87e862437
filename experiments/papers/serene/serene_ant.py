"""SERENE in its robotic ant maze, at a hundredth of the paper's budget: simulating more would take days."""

from __future__ import annotations

from prospect_rl.agents import RandomSearch, Serene
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.papers.serene.common import SOURCE, agents, claims, derived, metrics, some

ENV = "mujoco/ant_maze"
HIDDEN = (10, 10, 10)
BUDGET = 500_000
FIELDS = {ENV: {"integrator": "implicitfast"}}
LABELS = ("serene", "novelty_search", "random_search")
SMOKE: dict[str, Agent] = {
    "serene": Serene(hidden=HIDDEN, population=20, chunk=80),
    "random_search": RandomSearch(hidden=HIDDEN, population=24),
}

EXPERIMENT = Experiment(
    name="serene_ant",
    title="SERENE in the ant maze",
    text=(
        "A robot with four legs starts in a corner of an arena of 70 x 70 m with three inner walls, and is paid once, "
        "after 1000 steps, if it stands in a disc in one of two other corners, the lower right goal and the upper left "
        "goal. The simulation is MuJoCo's, with an implicit integrator. Coverage counts as in `serene_maze`."
    ),
    source=SOURCE,
    smoke=Tier(SMOKE, (ENV,), seeds=1, budget=240, evals=2, env_fields={ENV: FIELDS[ENV] | {"horizon": 100}}),
    repro=Tier(some(*LABELS, hidden=HIDDEN), (ENV,), seeds=3, budget=5000, evals=10, env_fields=FIELDS),
    paper=Tier(agents(HIDDEN), (ENV,), seeds=15, budget=BUDGET, evals=100, env_fields={ENV: {"horizon": 3000}}),
    claims=tuple(claim for claim in claims(ENV, areas=2, paper_budget=BUDGET) if claim.name in ("C2a", "C4")),
    derived=derived(2),
    metrics=metrics(2),
)
