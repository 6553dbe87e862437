"""The theory behind MEX: exactly maximising value plus likelihood explores a combination lock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prospect_rl.agents import TabularMEX
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Claim, Experiment, Tier

ENV = "lock/combination"
SOURCE = "Liu et al., NeurIPS 2023 (Maximize to Explore)"
EPISODES = 150
WEIGHTS = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0)
AGENTS: dict[str, Agent] = {
    **{f"mex_{weight:g}": TabularMEX(weight=weight) for weight in WEIGHTS},
    **{f"single_{weight:g}": TabularMEX(weight=weight, starts="single") for weight in WEIGHTS[1:]},
    "skipping_30": TabularMEX(weight=30.0, jump=6),
    "skipping_single_10": TabularMEX(weight=10.0, jump=6, starts="single"),
    "count_bonus": TabularMEX(weight=0.0, bonus=1.0),
    "epsilon_greedy": TabularMEX(weight=0.0, epsilon=0.1),
    "random": TabularMEX(weight=0.0, epsilon=1.0, steps=1),
}
EXTREMES = ("mex_0", "mex_30", *(f"single_{weight:g}" for weight in WEIGHTS[1:]))
"""Agents of which a claim says that nearly all or nearly none of their seeds open the lock. That none of n does shows
less than 5 % from n = 83 on: ten seeds could not have decided it."""


def solved(row: Mapping[str, float]) -> float:
    """1 if the final policy opens the lock in at least a quarter of its episodes, else 0.

    The correct actions open it in .53 of the episodes, and a single wrong one in none: no value lies in between.
    """
    return float(row["eval/success"] >= 0.25)


def _claim(name: str, text: str, left: str, **test: Any) -> Claim:
    source = f"ours, a test at this scale of the objective of {SOURCE}, Algorithm 1"
    return Claim(
        name, text, source, "solved", ENV, left, paper_budget=EPISODES, kind="check", **test,
    )  # fmt: skip


def _never(name: str, text: str, label: str) -> Claim:
    return _claim(name, text, label, margin=0.05, better="lower")


def _stuck(weight: float) -> Claim:
    text = f"Sought from the previous model alone, MEX with weight {weight:g} solves the lock on under 5 % of seeds."
    return _never(f"L4 {weight:g}", text, f"single_{weight:g}")


EXPERIMENT = Experiment(
    name="mex_lock",
    title="Tabular MEX on a combination lock",
    text=(
        "Six states in a row; in each, one of three arms leads on with probability .9, one pays .05 and stays, one "
        "leads back to the start. Behind them waits a goal worth 1 a step, in reach of an episode of seven steps "
        "only if nothing goes wrong: the optimum is .6206, playing safe .35. MEX plays the greedy policy of the "
        "model that maximises `weight` x (value of the first state) + log-likelihood - .005 |logits|^2; the number "
        "in a label is that weight. `mex` seeks the maximum by 60 Adam steps from each of three starts (the "
        "previous model, the smoothed counts, and the counts with 3 more logits on the next state), `single` from "
        "the previous model alone. Both know that no state can be skipped; `skipping` does not, and its ignorance "
        "is itself optimistic. Rivals without the value term: `mex_0`, `count_bonus` (1 / sqrt(visits)) and "
        "`epsilon_greedy` (.1); `random` is the floor. Rewards are known, transitions are learned. A seed "
        "opens the lock where its final policy does so in at least a quarter of 100 episodes. The value that the agent "
        "expects is what the chosen model promises; there are 21 pairs of state and action to try. The lock, the three "
        "starts and the successors that a model may have are choices of this project."
    ),
    source=SOURCE,
    smoke=Tier(
        {label: AGENTS[label] for label in ("mex_0", "mex_30", "single_30", "random")}, (ENV,), seeds=1, budget=30,
        evals=3, eval_episodes=100,
    ),
    repro=Tier(
        AGENTS, (ENV,), seeds={label: 85 if label in EXTREMES else 10 for label in AGENTS}, budget=EPISODES, evals=30,
        eval_episodes=100, seen=10,
    ),
    paper=Tier(AGENTS, (ENV,), seeds=10, budget=EPISODES, evals=30, eval_episodes=100),
    claims=(
        _claim("L1", "With weight 30 MEX solves the lock on more than 95 % of seeds.", "mex_30", margin=0.95),
        _never("L2", "From the same three starts without the value term MEX solves it on under 5 % of seeds.", "mex_0"),
        _claim("L3", "With weight 30 MEX solves the lock on more seeds than with weight 1.", "mex_30", right="mex_1"),
        *(_stuck(weight) for weight in WEIGHTS[1:]),
    ),
    derived={"solved": solved},
    metrics=("eval/return", "eval/success", "learn/value", "learn/visited", "solved"),
    pictures=("curves",),
)  # fmt: skip
