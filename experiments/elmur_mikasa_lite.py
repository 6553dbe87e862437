"""Light rebuilds of MIKASA-Robo's memory tasks, learned from scripted players: ELMUR and its rivals."""

from __future__ import annotations

from typing import Any

from agents import BC, Elmur
from agents.floor import Floor
from experiments.api import Claim, Experiment, Tier
from experiments.elmur_popgym import agents, data

COLOUR = "memory/remember_color_3"
BACK = "memory/take_it_back"
TASKS = (COLOUR, "memory/remember_color_5", "memory/remember_color_9", BACK)
SOURCE = "ELMUR 2025, arXiv 2510.07151, project page (MIKASA-Robo)"


SETTING: dict[str, Any] = {"context": 20, "segments": 9, "warm_up": 100}
"""Windows that hold any episode. Without a warm-up ELMUR stays where it moves blindly."""


def above(name: str, env: str, right: str, text: str) -> Claim:
    """ELMUR succeeds more often in a task."""
    return Claim(name, text, SOURCE, "eval/success", env, "elmur", right, margin=0.1)


WITHOUT = "ELMUR is clearly above a network without memory in"
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
    repro=Tier(agents(**SETTING), TASKS, seeds=3, budget=600, evals=6, eval_episodes=50, datasets=data(TASKS, 1000)),
    paper=Tier(
        agents(**SETTING), TASKS, seeds=3, budget=20_000, evals=50, eval_episodes=100, datasets=data(TASKS, 1000),
    ),
    claims=(
        above("M1 colour 3", COLOUR, "bc_mlp", f"{WITHOUT} RememberColor3-lite (source: .89 against .27)"),
        above("M2 colour 5", TASKS[1], "bc_mlp", f"{WITHOUT} RememberColor5-lite (source: .19 against .12)"),
        above("M3 colour 9", TASKS[2], "bc_mlp", f"{WITHOUT} RememberColor9-lite (source: .23 against .12)"),
        above("M4 back", BACK, "bc_mlp", f"{WITHOUT} TakeItBack-lite (source: .78 against .33)"),
        above("M5 window", COLOUR, "transformer", "ELMUR is clearly above a window of 20 steps in RememberColor3-lite"),
    ),
    metrics=("eval/success",),
    pictures=("curves",),
)  # fmt: skip
