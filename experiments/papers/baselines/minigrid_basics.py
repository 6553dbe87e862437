"""PPO and exploration bonuses on MiniGrid's small tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prospect_rl.agents import ICM, PPO, RIDE, RND, Count, NovelD
from prospect_rl.agents.api import Agent
from prospect_rl.agents.floor import Floor
from prospect_rl.agents.online.exploration.bonus import Modelling
from prospect_rl.experiments.api import Claim, Experiment, Tier
from prospect_rl.experiments.search_space import Choice, LogUniform, Search

TASKS = tuple(f"minigrid/{name}-v0" for name in ("Empty-8x8", "DoorKey-5x5", "DoorKey-8x8", "MultiRoom-N2-S4"))
LEVELS = 8192
"""Number of training levels; the same number of other levels is used for evaluation."""
WEIGHTS: Mapping[str, Mapping[str, Any]] = {
    "count": {"beta": 0.005, "scope": "run"}, "icm": {"beta": 0.0003}, "ride": {"beta": 0.0003},
}  # fmt: skip
"""Weights for agents whose bonus at weight .01 exceeds the task's reward in a long episode: the best of a few values in
DoorKey-8x8 on seeds 100 and 101, which no experiment uses. They equal the agents' defaults but are fixed here."""
METRICS = ("eval/return", "unseen/return", "eval/success", "unseen/success", "collect/return")


def explorers(names: Sequence[str], **fields: Any) -> dict[str, Agent]:
    """Label -> agent, all with the same PPO settings, and the random floor.

    Model-based bonuses are centred (as by default, but fixed here), so that longer episodes do not earn more bonus.
    """
    known: dict[str, type[PPO]] = {"ppo": PPO, "count": Count, "rnd": RND, "icm": ICM, "noveld": NovelD, "ride": RIDE}
    made: dict[str, Agent] = {}
    for name in names:
        own = {"centre": True} if issubclass(known[name], Modelling) else {}
        made[name] = known[name](entropy=0.01, learning_rate=1e-3, **own, **WEIGHTS.get(name, {}), **fields)
    return made | {"random": Floor()}


def banks(tasks: Sequence[str], levels: int = LEVELS) -> Mapping[str, Mapping[str, Any]]:
    """Environment fields of every task: the number of levels."""
    return {task: {"levels": levels} for task in tasks}


EXPERIMENT = Experiment(
    name="minigrid_basics",
    title="PPO and exploration rivals on MiniGrid's small tasks",
    text=(
        "PPO alone, with counts of the run's states, with RND, ICM, NovelD and RIDE. Training draws from 8192 "
        "levels (Farama's seeds 0 to 8191); evaluations are on these, unseen levels have seeds from 1,000,000 on. "
        "Policies draw their actions in evaluation too. All see the partial view; the bonuses of `count` and `ride` "
        "and the first visits of `noveld` are of the full state, the models' of the partial view. With weights of .01, "
        "as NovelD and RND have here, counts in the episode, ICM and RIDE kept PPO from solving even Empty-8x8; theirs "
        "are .005 (counts of the run) and .0003, the best of at most five in DoorKey-8x8 on two other seeds. "
        "Published: DEIR's log has a mean return of .91 in DoorKey-8x8 after 122,880 frames."
    ),
    source="Chevalier-Boisvert et al. 2023 (MiniGrid); Zhang et al. 2021 (NovelD)",
    smoke=Tier(
        explorers(("ppo", "noveld"), num_envs=8, length=64, minibatches=4, hidden=(32,), encoding=32),
        TASKS[:2], seeds=1, budget=2048, evals=2, eval_episodes=4, env_fields=banks(TASKS[:2], 64),
    ),
    repro=Tier(
        explorers(("ppo", "count", "rnd", "icm", "noveld", "ride")), TASKS,
        seeds=dict.fromkeys(("ppo", "count", "rnd", "icm", "noveld", "ride", "random"), 5) | {"ppo": 85, "noveld": 85},
        budget=303_104, evals=37, eval_episodes=32, env_fields=banks(TASKS), seen=5,
    ),
    paper=Tier(
        explorers(("ppo", "count", "rnd", "icm", "noveld", "ride")), TASKS, seeds=5, budget=1_003_520, evals=49,
        eval_episodes=32, env_fields=banks(TASKS),
    ),
    claims=(
        Claim(
            "D DoorKey-8x8", "NovelD has a mean return above .9 in DoorKey-8x8 on levels it has not seen.",
            "ours, a sanity bound; the README of swan-utokyo/deir has a log of DEIR: .91 after 122,880 frames",
            "unseen/return", TASKS[2], "noveld", margin=0.9, paper_budget=122_880, kind="check",
        ),
        Claim(
            "E Empty-8x8", "PPO alone has a mean return above .9 in Empty-8x8.",
            "ours, a sanity bound", "unseen/return", TASKS[0], "ppo", margin=0.9, paper_budget=303_104, kind="check",
        ),
        Claim(
            "N MultiRoom-N2-S4", "NovelD has at least the mean return of PPO alone in MultiRoom-N2-S4, less .05.",
            "ours, a sanity bound: a bonus must not spoil an easy task", "unseen/return", TASKS[3], "noveld", "ppo",
            margin=-0.05, paper_budget=303_104, kind="check",
        ),
    ),
    metrics=METRICS,
    pictures=("curves",),
    search=Search(
        "noveld", TASKS[2], {"beta": LogUniform(1e-3, 1e-1), "alpha": Choice((0.0, 0.5, 1.0))}, budget=196_608,
        trials=12, evals=24, grace=4,
    ),
)  # fmt: skip
