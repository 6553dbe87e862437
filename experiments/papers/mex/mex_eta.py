"""MEX's weight of the value term, eta, on the walker."""

from __future__ import annotations

from prospect_rl.agents import MEX, TD3
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Experiment, Tier
from prospect_rl.experiments.papers.mex.mex_velocity import FLOORS, PAPER_BUDGET, SOURCE
from prospect_rl.experiments.search_space import LogUniform, Search

ENV = "mujoco/walker_vel_sparse"
ETAS = (5e-4, 1e-3, 5e-3, 5e-2)


def agents(**fields: object) -> dict[str, Agent]:
    """Label -> agent for each eta; TD3 stands for eta = 0."""
    family = {f"mex_{eta:g}": MEX(eta=eta, **fields) for eta in ETAS}  # type: ignore[arg-type]
    return {"td3": TD3(**fields), **family} | FLOORS  # type: ignore[arg-type]


EXPERIMENT = Experiment(
    name="mex_eta",
    title="MEX: how strong the value term",
    text=(
        "The walker of `mex_velocity` with other weights of the value term; TD3 is eta = 0. The term is unbounded "
        "above: where eta is too large, gaps between values grow and the actor saturates."
    ),
    source=SOURCE,
    smoke=Tier(agents(hidden=(32, 32), learning_starts=500, batch_size=64), (ENV,), seeds=1, budget=2000, evals=2),
    repro=Tier(
        agents(hidden=(128, 128), learning_starts=5000),
        (ENV,),
        seeds=3,
        budget=100_000,
        evals=20,
        eval_episodes=5,
    ),
    paper=Tier(agents(), (ENV,), seeds=5, budget=PAPER_BUDGET, evals=200, eval_episodes=10),
    metrics=("eval/return", "collect/return", "learn/value"),
    pictures=("curves",),
    search=Search("mex_0.005", ENV, {"eta": LogUniform(1e-4, 1e-1)}, budget=60_000, trials=12, evals=12),
)
