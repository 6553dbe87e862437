"""POPGym's pure memory tasks, learned from perfect players: ELMUR and other agents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prospect_rl.agents import BC, BCGRU, BCTransformer, Elmur
from prospect_rl.agents.api import Agent
from prospect_rl.agents.floor import Floor
from prospect_rl.envs.memory.table import LEVELS, TASKS
from prospect_rl.experiments.api import Claim, Data, Experiment, Tier
from prospect_rl.experiments.search_space import Choice, LogUniform, Search

EXACT = ("RepeatFirst", "RepeatPrevious", "Autoencode", "CountRecall")
"""Families of tasks whose scripted players are perfect."""
SOURCE = "ELMUR 2025, arXiv 2510.07151, and its project page, table of POPGym"


def ids(families: Iterable[str], levels: Iterable[str]) -> tuple[str, ...]:
    """Environment ids for these levels of difficulty."""
    families = tuple(families)
    return tuple(f"popgym/{family}{level}" for level in levels for family in families)


def agents(**fields: Any) -> dict[str, Agent]:
    """All agents use the same windows: 8 segments of 26 steps hold an episode (of RepeatFirstMedium, its half)."""
    windows: dict[str, Any] = {"context": 26, "segments": 8, "learning_rate": 1e-3, **fields}
    return {
        "elmur": Elmur(slots=8, lam=0.5, **windows),
        "bc_gru": BCGRU(**windows),
        "transformer": BCTransformer(**windows),
        "bc_mlp": BC(hidden=(128, 128), learning_rate=1e-3, batch_size=512, updates=20),
        "random": Floor(),
    }


def data(tasks: Iterable[str], episodes: int) -> dict[str, Data]:
    """Environment id -> demonstrations of the task's scripted player."""
    return {env: Data(f"{env}/oracle", {"episodes": episodes}) for env in tasks}


SMOKE = ids(EXACT[:2], LEVELS[:1])
TASKS_RUN = ids(EXACT, LEVELS[:2])
ALL = tuple(f"popgym/{name}" for name in TASKS)


def above(number: int, task: str, left: str, right: str, margin: float, text: str, name: str = "P") -> Claim:
    """The claim that ELMUR has a higher return in a task."""
    return Claim(
        f"{name}{number} {task}", f"{text} in {task}.",
        f"our reading of {SOURCE} (sums over 48 tasks: ELMUR 10.4, BC-MLP -6.8)", "eval/return", f"popgym/{task}", left,
        right, margin=margin, kind="check",
    )  # fmt: skip


WITHOUT = "ELMUR has a mean return above that of a network without memory by more than .1"
AHEAD = "ELMUR has a mean return above that of {} by more than .1"
TASKS_GPU = (*ids(EXACT, LEVELS[:1]), *ids((EXACT[0], EXACT[3]), LEVELS[1:2]))
"""Tasks of the tier for a GPU: the easy ones, and two of medium size."""
MORE_SEEDS = dict.fromkeys(("elmur", "bc_mlp", "transformer"), 60)
"""Agents of the claims: returns between -1 and 1 of three seeds decide nothing."""
WINDOW = "ELMUR has at least the mean return of a transformer with a window of 26 steps, less .05,"
EXPERIMENT = Experiment(
    name="elmur_popgym",
    title="ELMUR in POPGym: repeat, recall, count",
    text=(
        "Behaviour cloning from 2000 perfect episodes a task (a perfect return is 1). ELMUR keeps 8 slots, so that its "
        "memory never fills in these episodes; gradients flow through all segments. The transformer sees the newest 26 "
        "steps. The source learned from a recurrent PPO's episodes, and reports sums over 48 tasks: its "
        "figures are no targets here. All 42 tasks without labyrinths are declared (`TIER=paper`)."
    ),
    source=SOURCE,
    smoke=Tier(
        {"elmur": Elmur(width=16, ffn=32, batch_size=8, context=13, segments=4),
         "bc_mlp": BC(hidden=(32,), batch_size=64), "random": Floor()},
        SMOKE, seeds=1, budget=100, evals=2, eval_episodes=4, datasets=data(SMOKE, 100),
    ),
    repro=Tier(
        agents(), TASKS_RUN, seeds=dict.fromkeys(agents(), 3) | MORE_SEEDS, budget=600, evals=6, eval_episodes=50,
        datasets=data(TASKS_RUN, 2000), seen=3,
    ),
    paper=Tier(agents(), ALL, seeds=3, budget=20_000, evals=50, eval_episodes=100, datasets=data(ALL, 3000)),
    claims=tuple(
        above(number, task, "elmur", right, margin, text)
        for number, (task, right, margin, text) in enumerate(
            [
                (f"{family}{level}", right, margin, text)
                for family in EXACT[:3]
                for level in LEVELS[:2]
                for right, margin, text in (
                    ("bc_mlp", 0.1, WITHOUT),
                    ("transformer", -0.05, WINDOW),
                )
            ],
            1,
        )
    ),
    gpu=Tier(
        {label: agent for label, agent in agents(batch_size=128).items() if label != "random"}, TASKS_GPU, seeds=10,
        budget=2000, evals=10, eval_episodes=100, datasets=data(TASKS_GPU, 2000),
    ),
    gpu_claims=tuple(
        above(number, task, "elmur", right, 0.1, text, "G")
        for number, (task, right, text) in enumerate(
            [
                *((env.partition("/")[2], "bc_mlp", WITHOUT) for env in TASKS_GPU),
                ("RepeatFirstMedium", "bc_gru", AHEAD.format("a GRU")),
                ("RepeatFirstMedium", "transformer", AHEAD.format("a transformer with a window of 26 steps")),
            ],
            1,
        )
    ),
    gpu_text=(
        "On a GPU: batches of 128 windows, 2000 updates, ten seeds together. The search is of ELMUR, on seeds from "
        "1000 on, which no verdict uses. Estimated at 20 minutes on one H200: a step of ELMUR through twelve segments "
        "of ten is meant to take 7.5 ms there, which has yet to be measured; through eight of 26, with ten seeds, 25 "
        "ms are taken for it and for the GRU, half for the transformer: two and a quarter minutes a task for the four "
        "agents, and one for compiling and evaluations."
    ),
    search=Search(
        "elmur", TASKS_GPU[1], {"learning_rate": LogUniform(3e-4, 3e-3), "batch_size": Choice((64, 128, 256))},
        budget=1000, trials=9, seeds=2, evals=5, grace=2, tier="gpu",
    ),
    metrics=("eval/return",),
    sums=("eval/return",),
    pictures=("curves",),
)  # fmt: skip
