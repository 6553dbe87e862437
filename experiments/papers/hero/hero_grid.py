"""HERO in control, an extension of ours: groups of short episodes from the same start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from prospect_rl.agents import HERO, PPO, HeroPPO
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import SHARE, Claim, Experiment, Tier

EMPTY, DOORKEY, MULTIROOM, REACHER = (
    f"verified/{name}" for name in ("Empty-Random-6x6", "DoorKey-5x5", "MultiRoom-N2-S4", "reacher")
)
STEPS = {EMPTY: 100_000, DOORKEY: 300_000, MULTIROOM: 300_000, REACHER: 300_000}
HORIZONS = {EMPTY: 40, DOORKEY: 60, MULTIROOM: 40, REACHER: 50}
"""Most steps of an episode: the budgets in episodes are those in steps divided by it."""
STARVED = (DOORKEY, MULTIROOM, REACHER)
"""Tasks in which nearly all groups are without a success at first."""
OWN = "ours: the source has no control"


def learners(**fields: Any) -> dict[str, Agent]:
    """Label -> agent: what is learned from, from least to most, and PPO."""
    common: dict[str, Any] = {
        "prompts": 8, "group": 8, "epochs": 4, "entropy": 0.01, "fit": 10, "model_steps": 20, **fields
    }  # fmt: skip
    return {
        "verifier": HERO(reward="verifier", **common), "return": HERO(reward="return", **common),
        "proxy": HERO(reward="rm", model="proxy", **common), "learned": HERO(reward="rm", **common),
        "hero": HERO(**common), "hero_ppo": HeroPPO(**common), "ppo": PPO(entropy=0.01, learning_rate=1e-3),
    }  # fmt: skip


def tier(agents: Mapping[str, Agent], envs: tuple[str, ...], part: float = 1.0, **sizes: Any) -> Tier:
    """These agents with a part of the steps, PPO's counted one by one and the others' as episodes of full length."""
    steps = {env: int(STEPS[env] * part) for env in envs}
    episodes = {env: steps[env] // HORIZONS[env] for env in envs}
    budget = {label: steps if label == "ppo" else episodes for label in agents}
    return Tier(agents, envs, budget=budget, **sizes)


def until(row: Mapping[str, Any]) -> float:
    """Episodes until the share of groups without a success was below a half; the budget where it never was."""
    found = row.get("groups/until", math.nan)
    return row["budget"] if found == -1 else min(found, row["budget"])


def until_share(row: Mapping[str, Any]) -> float:
    """The same as a share of the budget."""
    return until(row) / row["budget"]


def reached(row: Mapping[str, Any]) -> float:
    """1 if the share of groups without a success was ever below a half, else 0."""
    found = row.get("groups/until", math.nan)
    return math.nan if math.isnan(found) else float(found >= 0)


def sooner(env: str) -> Claim:
    """HERO needs fewer episodes than the verifier. Runs that do not get there count with the budget."""
    task = env.rpartition("/")[2]
    return Claim(
        f"E {task}", "Until the share of groups without a success, over ten updates, is below a half, HERO needs fewer "
        f"episodes in {task} than the verifier alone; a run that never gets there counts with its budget.", OWN,
        "until_share", env, "hero", "verifier", better="lower", kind="check", scores=SHARE,
    )  # fmt: skip


def hackable(env: str) -> Claim:
    """The proxy alone ends below HERO."""
    task = env.rpartition("/")[2]
    return Claim(
        f"P {task}", f"In {task} HERO ends with a success rate above that of the proxy alone by more than .2.", OWN,
        "eval/success", env, "hero", "proxy", margin=0.2, kind="check",
    )  # fmt: skip


SMALL = {
    "prompts": 4, "group": 4, "hidden": (16,), "encoding": 16, "model_width": 8, "fit": 2, "model_steps": 2, "epochs": 1
}  # fmt: skip
EXPERIMENT = Experiment(
    name="hero_grid",
    title="HERO in control",
    text=(
        "An extension of ours: a group is eight episodes from one level, or one pose of the arm, and the verifier "
        "misses three successes in ten. Three tasks of MiniGrid, cut short, and Gymnasium's Reacher, whose fingertip "
        "must be at the target when 50 steps are over. Levels are new in each iteration and the same for all arms of a "
        "seed but PPO. Arms of one policy gradient without values differ in what they learn from: `verifier`; "
        "`return`, the environment's own, which no success is missing from; `proxy`, a rating that can be deceived "
        "(the way to the goal as the crow flies; the speed of the joints); `learned`, a reward model fitted on 640 "
        "episodes of the first policy, whose budget counts them; `hero`, that model and the verifier. `hero_ppo`, also "
        "ours, is HERO's reward at the end of an episode under PPO with a value function. `ppo` learns from the return "
        "step by step. Budgets of groups are in episodes, as many as the steps of PPO would be if all were of full "
        "length, so that theirs are never more steps. A time until a level that is not reached in the budget counts "
        "as the budget; the share of seeds that got there stands beside it."
    ),
    source="ours, after HERO, 2025, arXiv 2510.07242; tasks of MiniGrid (Chevalier-Boisvert et al. 2023) and Gymnasium",
    smoke=tier(
        {
            "hero": learners(**SMALL)["hero"],
            "ppo": PPO(num_envs=8, length=32, minibatches=4, hidden=(16,), encoding=16),
        },
        (DOORKEY,), 0.02, seeds=1, evals=2, eval_episodes=4, env_fields={DOORKEY: {"levels": 16}},
    ),
    repro=tier(learners(), tuple(STEPS), seeds=5, evals=20, eval_episodes=128),
    paper=tier(learners(), tuple(STEPS), 4.0, seeds=10, evals=40, eval_episodes=256),
    claims=(
        *map(sooner, STARVED),
        Claim(
            "N Empty", "In Empty-Random-6x6, where some success is in most groups, HERO ends no more than .05 below "
            "the verifier alone.", OWN, "eval/success", EMPTY, "hero", "verifier", margin=-0.05, kind="check",
        ),
        *map(hackable, STARVED),
    ),
    derived={"episodes_until": until, "until_share": until_share, "reached": reached},
    metrics=(
        "eval/success", "unseen/success", "eval/return", "groups/wrong", "groups/right", "groups/length",
        "groups/advantage_none", "groups/advantage_some", "groups/advantage_all", "rm/auroc", "rm/rank", "rm/hacked",
    ),
    pictures=("curves",),
)  # fmt: skip
