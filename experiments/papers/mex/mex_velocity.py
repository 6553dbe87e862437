"""MEX compared with TD3 on the sparse velocity tasks of its model-free code."""

from __future__ import annotations

from prospect_rl.agents import MEX, TD3
from prospect_rl.agents.api import Agent
from prospect_rl.agents.floor import Floor
from prospect_rl.experiments.api import Claim, Experiment, Tier

SOURCE = "Liu et al., NeurIPS 2023 (Maximize to Explore)"
TASKS = ("mujoco/walker_vel_sparse", "mujoco/cheetah_vel_sparse", "mujoco/hopper_vel_sparse")
FLOORS: dict[str, Agent] = {"random": Floor(), "zero": Floor(action="zero")}
PAPER_BUDGET = 1_000_000


def learners(**fields: object) -> dict[str, Agent]:
    """Label -> agent: MEX, TD3 and the floors."""
    return {"td3": TD3(**fields), "mex": MEX(**fields)} | FLOORS  # type: ignore[arg-type]


def claim(env: str) -> Claim:
    """The claim that MEX exceeds TD3 in one task by a substantial margin."""
    task = env.rpartition("/")[2]
    return Claim(
        f"M {task}",
        f"MEX with eta .005 ends with a return above TD3's on {task} by more than 100, a twentieth of the best return.",
        f"{SOURCE}, abstract: ahead 'by a stable margin' on sparse MuJoCo tasks; the margin of 100 is ours",
        "eval/return", env, "mex", "td3", margin=100.0, paper_budget=PAPER_BUDGET, kind="paper",
    )  # fmt: skip


EXPERIMENT = Experiment(
    name="mex_velocity",
    title="MEX on sparse velocity tasks",
    text=(
        "A robot is paid 2 - |v - v*| where its speed v lies in a band around a target, else nothing, less a cost of "
        "control; it never terminates, and a perfect episode returns almost 2000. MEX is TD3 with one more term in "
        "the critics' loss, eta times how much better the policy's action looks than others. `random` and `zero` "
        "are the floors: random actions enter the band by chance, so these tasks are only mildly sparse, and standing "
        "still is a local optimum."
    ),
    source=SOURCE,
    smoke=Tier(
        learners(hidden=(32, 32), learning_starts=500, batch_size=64), TASKS[:1], seeds=1, budget=2000, evals=2,
    ),
    repro=Tier(
        learners(hidden=(128, 128), learning_starts=5000), TASKS, seeds=5, budget=100_000, evals=20, eval_episodes=5,
    ),
    paper=Tier(learners(), TASKS, seeds=5, budget=PAPER_BUDGET, evals=200, eval_episodes=10),
    claims=tuple(claim(env) for env in TASKS),
    metrics=("eval/return", "collect/return", "learn/value"),
    pictures=("curves",),
)  # fmt: skip
