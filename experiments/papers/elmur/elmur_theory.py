"""ELMUR's theory of forgetting: its reach by lambda and number of slots, with gradients stopped at segments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from prospect_rl.agents import Elmur
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Claim, Data, Experiment, Tier
from prospect_rl.experiments.papers.elmur.elmur_tmaze import ENV, LENGTHS, SETTING, SOURCE, exams

HALF_LIFE = f"our reading of {SOURCE}, its proposition on exponential forgetting: M L ln(1/2) / ln(1 - lambda)"
CELLS = ((0.05, 2), (0.1, 2), (0.2, 2), (0.5, 2), (0.79, 2), (0.1, 4), (0.2, 4))
"""Pairs (lambda, number of slots)."""


def label_of(lam: float, slots: int) -> str:
    """Label of a pair, e.g. `m2_.1`."""
    return f"m{slots}_{lam:g}".replace("0.", ".")


def agents(**fields: Any) -> dict[str, Agent]:
    """Label -> agent: two slots with every lambda, four with two of them; gradients stop at segments, as published."""
    return {
        label_of(lam, slots): Elmur(
            lam=lam, slots=slots, bptt_segments=1, **{**SETTING, "segments": 3 * slots // 2, **fields}
        )
        for lam, slots in CELLS
    }


def reach(row: Mapping[str, float]) -> float:
    """log2 of the steps at which success falls below .75, interpolated in log length; NaN without exams."""
    known = [(n, row[f"exam/{n}/success"]) for n in LENGTHS if f"exam/{n}/success" in row]
    if not known:
        return math.nan
    before = known[0]
    for now in known:
        if now[1] < 0.75:
            low, high = math.log2(before[0]), math.log2(now[0])
            fall = before[1] - now[1]
            return low if fall <= 0 else low + (high - low) * (before[1] - 0.75) / fall
        before = now
    return math.log2(known[-1][0])


def half_life(lam: float, slots: int, context: int = 10) -> float:
    """Number of steps after which half of a written value is left: M L ln(1/2) / ln(1 - lambda)."""
    return slots * context * math.log(0.5) / math.log(1 - lam)


def data(tier_agents: Mapping[str, Agent], episodes: int) -> dict[str, Data]:
    """Data with episodes that fill the memory one and a half times."""
    lengths = {label: 10 * agent.segments for label, agent in tier_agents.items() if isinstance(agent, Elmur)}
    return {
        label: Data("memory/tmaze/oracle", {"env_fields": (("length", n), ("shortest", 1)), "episodes": episodes})
        for label, n in lengths.items()
    }


AGENTS = agents()
EXPERIMENT = Experiment(
    name="elmur_theory",
    title="ELMUR: forgetting by lambda and slots",
    text=(
        "Blending into a slot with weight lambda halves what was there after M L ln(1/2) / ln(1 - lambda) steps: "
        + ", ".join(f"{label_of(lam, m)} {half_life(lam, m):.0f}" for lam, m in CELLS)
        + ". Claims compare log2 of the length of a T-Maze at which success falls below .75. Gradients stop at "
        "segments: nothing learns to write; training windows are M 3/2 segments, episodes as long. A network that "
        "reads a faint trace reaches beyond the half-life."
    ),
    source=SOURCE + ", its propositions on forgetting",
    smoke=Tier(
        agents(width=16, ffn=32, batch_size=16), (ENV,), seeds=1, budget=40, evals=1, eval_episodes=10,
        datasets=data(AGENTS, 200), exams={label: exams((30, 90), best=False) for label in ("m2_.1", "m2_.79")},
    ),
    repro=Tier(
        AGENTS, (ENV,), seeds=4, budget=600, evals=6, eval_episodes=100, datasets=data(AGENTS, 2000),
        exams={label: exams(LENGTHS, best=False) for label in AGENTS},
    ),
    paper=Tier(
        AGENTS, (ENV,), seeds=10, budget=38_000, evals=20, eval_episodes=100, datasets=data(AGENTS, 2000),
        exams={label: exams(LENGTHS, best=False) for label in AGENTS},
    ),
    claims=(
        *(
            Claim(
                f"F{i} lambda",
                f"With two slots, lambda {a:g} stays above .75 of success in longer corridors than lambda {b:g}.",
                HALF_LIFE, "reach", ENV, label_of(a, 2), label_of(b, 2), kind="check",
            )
            for i, (a, b) in enumerate(((0.05, 0.2), (0.1, 0.5), (0.2, 0.79)), 1)
        ),
        Claim(
            "F4 slots",
            "With lambda .1, four slots stay above .75 of success in corridors 2 times as long as two slots do, "
            "between 2 ** .5 and 2 ** 1.5 times.",
            HALF_LIFE, "reach", ENV, "m4_.1", "m2_.1", within=(0.5, 1.5), kind="check",
        ),
    ),
    derived={"reach": reach},
    metrics=("eval/success", *(f"exam/{n}/success" for n in LENGTHS)),
    pictures=("exams",),
)  # fmt: skip
