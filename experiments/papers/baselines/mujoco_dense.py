"""TD3 and SAC on dense tasks: a check of the agents on which others are based."""

from __future__ import annotations

from prospect_rl.agents import SAC, TD3
from prospect_rl.agents.api import Agent
from prospect_rl.agents.floor import Floor
from prospect_rl.experiments.api import Claim, Experiment, Tier

CHEETAH, REACHER = "mujoco/half_cheetah", "mujoco/reacher"
TASKS = (CHEETAH, REACHER)
PAPER_BUDGET = 1_000_000
BOUNDS = {CHEETAH: 2000.0, REACHER: -8.0}
"""Mean return that neither the floors nor a defective agent reaches."""


def learners(**fields: object) -> dict[str, Agent]:
    """Label -> agent: TD3, SAC and the two floors."""
    floors: dict[str, Agent] = {"random": Floor(), "zero": Floor(action="zero")}
    return {"td3": TD3(**fields), "sac": SAC(**fields)} | floors  # type: ignore[arg-type]


def claim(label: str, env: str) -> Claim:
    """The claim that an agent's mean return exceeds the bound."""
    task = env.rpartition("/")[2]
    return Claim(
        f"S {label} {task}", f"{label.upper()} ends with a mean return above {BOUNDS[env]:g} on {task}.",
        "ours, a sanity bound", "eval/return", env, label, margin=BOUNDS[env], paper_budget=PAPER_BUDGET,
        kind="check",
    )  # fmt: skip


EXPERIMENT = Experiment(
    name="mujoco_dense",
    title="TD3 and SAC on dense MuJoCo tasks",
    text=(
        "Gymnasium's HalfCheetah-v5 and Reacher-v5 with their dense rewards, as a check of the base agents. Published "
        "for HalfCheetah after a million steps with 256 units, other engines and versions: CleanRL's TD3 9583, "
        "Fujimoto's 9637, CleanRL's SAC 9635. The repro tier spends a tenth of that, with 128 units."
    ),
    source="Fujimoto et al. 2018 (TD3); Haarnoja et al. 2018 (SAC); CleanRL's benchmark",
    smoke=Tier(
        learners(hidden=(32, 32), learning_starts=500, batch_size=64), (REACHER,), seeds=1, budget=2000, evals=2,
    ),
    repro=Tier(
        learners(hidden=(128, 128), learning_starts=5000), TASKS, seeds=dict.fromkeys(learners(), 3) | {"td3": 12},
        budget={CHEETAH: 100_000, REACHER: 40_000}, evals=20, eval_episodes=10, seen=3,
    ),
    paper=Tier(learners(), TASKS, seeds=5, budget=PAPER_BUDGET, evals=100, eval_episodes=10),
    claims=tuple(claim(label, env) for env in TASKS for label in ("td3", "sac")),
    metrics=("eval/return", "collect/return", "learn/value"),
    pictures=("curves",),
)  # fmt: skip
