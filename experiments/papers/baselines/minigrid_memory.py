"""A task that requires memory, MemoryS9, with and without a recurrent policy."""

from __future__ import annotations

from typing import Any

from prospect_rl.agents import PPO, NovelD
from prospect_rl.agents.api import Agent
from prospect_rl.agents.floor import Floor
from prospect_rl.experiments.api import Claim, Experiment, Tier
from prospect_rl.experiments.papers.baselines.minigrid_basics import METRICS, banks

TASK = ("minigrid/MemoryS9-v0",)


def agents(**fields: Any) -> dict[str, Agent]:
    """PPO with and without a GRU, and NovelD with one; recurrent agents use whole streams as minibatches."""
    settings: dict[str, Any] = {"entropy": 0.01, "learning_rate": 1e-3, **fields}
    return {
        "ppo": PPO(**settings),
        "ppo_gru": PPO(recurrent=64, **settings),
        "noveld_gru": NovelD(recurrent=64, centre=True, **settings),
        "random": Floor(),
    }


EXPERIMENT = Experiment(
    name="minigrid_memory",
    title="Memory in MiniGrid: PPO with and without a GRU",
    text=(
        "An object is seen at the start of a corridor, and at its end the same one must be chosen of two. In S9 one "
        "can look back from there and still see it, so that a policy without memory does better than chance by how it "
        "turns. Levels and evaluation as in `minigrid_basics`."
    ),
    source="MiniGrid's MemoryS9 (Chevalier-Boisvert et al. 2023)",
    smoke=Tier(
        agents(num_envs=8, length=64, minibatches=4, hidden=(32,), encoding=32), TASK, seeds=1, budget=2048, evals=2,
        eval_episodes=2, env_fields=banks(TASK, 64),
    ),
    repro=Tier(
        agents(), TASK, seeds={"ppo": 60, "ppo_gru": 60, "noveld_gru": 3, "random": 3}, budget=1_998_848, evals=61,
        eval_episodes=32, env_fields=banks(TASK), seen=3,
    ),
    paper=Tier(agents(), TASK, seeds=5, budget=10_002_432, evals=99, eval_episodes=32, env_fields=banks(TASK)),
    claims=(
        Claim(
            "G MemoryS9",
            "PPO with a GRU has a mean return above that of PPO without memory by more than .2 in MemoryS9, on levels "
            "that neither has seen.",
            "ours: what the task was made for", "unseen/return", TASK[0], "ppo_gru", "ppo", margin=0.2,
            paper_budget=10_002_432, kind="check",
        ),
    ),
    metrics=METRICS,
    pictures=("curves",),
)  # fmt: skip
