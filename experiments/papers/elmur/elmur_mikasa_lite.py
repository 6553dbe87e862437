"""Simplified versions of MIKASA-Robo's memory tasks, learned from scripted players: ELMUR and other agents."""

from __future__ import annotations

from typing import Any, Literal

from prospect_rl.agents import BC, Elmur
from prospect_rl.agents.floor import Floor
from prospect_rl.experiments.api import Claim, Experiment, Tier
from prospect_rl.experiments.papers.elmur.elmur_popgym import agents, data

COLOUR = "memory/remember_color_3"
BACK = "memory/take_it_back"
TASKS = (COLOUR, "memory/remember_color_5", "memory/remember_color_9", BACK)
SOURCE = "ELMUR 2025, arXiv 2510.07151, and its project page, table of MIKASA-Robo"


SETTING: dict[str, Any] = {"context": 20, "segments": 9, "warm_up": 100}
"""Settings with windows long enough for any episode. Without a warm-up, ELMUR gets stuck moving blindly."""

MORE_SEEDS = {"elmur": 60, "bc_mlp": 60, "transformer": 20}
"""Agents of the claims: success rates of three seeds decide nothing."""


def above(name: str, env: str, task: str, figures: str, kind: Literal["paper", "check"]) -> Claim:
    """The claim that ELMUR succeeds more often than a network without memory in a task."""
    text = f"ELMUR has a success rate above that of a network without memory by more than .1 in {task}-lite."
    source = f"{SOURCE} ({figures} in {task})"
    source = source if kind == "paper" else f"our reading of {source}"
    return Claim(name, text, source, "eval/success", env, "elmur", "bc_mlp", margin=0.1, kind=kind)


EXPERIMENT = Experiment(
    name="elmur_mikasa_lite",
    title="ELMUR on a table: which colour was it, and where was it from?",
    text=(
        "Behaviour cloning from 1000 episodes a task of a scripted player that always succeeds. These are lite "
        "rebuilds (a point in native MuJoCo, numbers seen), not MIKASA-Robo (an arm, two cameras): its figures are no "
        "targets here. The source reports success for ELMUR and for BC-MLP of .89 and .27 in RememberColor3, .19 and "
        ".12 in RememberColor5, .23 and .12 in RememberColor9, .78 and .33 in TakeItBack. ELMUR keeps 8 slots and has "
        "gradients through all segments; the transformer sees the newest 20 steps. Who goes to any cube and stays is "
        "right with 1/3, 1/5 and 1/9."
    ),
    source=SOURCE,
    smoke=Tier(
        {"elmur": Elmur(width=16, ffn=32, batch_size=8, context=20, segments=3),
         "bc_mlp": BC(hidden=(32,), batch_size=64), "random": Floor()},
        (COLOUR,), seeds=1, budget=100, evals=1, eval_episodes=20, datasets=data((COLOUR,), 100),
    ),
    repro=Tier(
        agents(**SETTING), TASKS, seeds=dict.fromkeys(agents(), 3) | MORE_SEEDS, budget=600, evals=6, eval_episodes=50,
        datasets=data(TASKS, 1000), seen=3,
    ),
    paper=Tier(
        agents(**SETTING), TASKS, seeds=3, budget=20_000, evals=50, eval_episodes=100, datasets=data(TASKS, 1000),
    ),
    claims=(
        above("M1 colour 3", COLOUR, "RememberColor3", ".89 against .27", "paper"),
        above("M2 colour 5", TASKS[1], "RememberColor5", ".19 against .12", "check"),
        above("M3 colour 9", TASKS[2], "RememberColor9", ".23 against .12", "paper"),
        above("M4 back", BACK, "TakeItBack", ".78 against .33", "paper"),
        Claim(
            "M5 window",
            "ELMUR has a success rate above that of a transformer with a window of 20 steps by more than .1 in "
            "RememberColor3-lite.",
            f"our reading of {SOURCE}, which has no such transformer", "eval/success", COLOUR, "elmur", "transformer",
            margin=0.1, kind="check",
        ),
    ),
    metrics=("eval/success",),
    pictures=("curves",),
)  # fmt: skip
