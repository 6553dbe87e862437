"""What keeps SMoSE's experts in use: the weight of the auxiliary loss, and the gate."""

from __future__ import annotations

from typing import Any

from prospect_rl.agents import Smose
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Claim, Experiment, Tier
from prospect_rl.experiments.papers.smose.common import PAPER_BUDGET, READS, REDUCED, SMALL, SOURCE

CHEETAH, REACHER = "mujoco/half_cheetah", "mujoco/reacher"
WEIGHTS = (0.0, 0.01, 0.1, 1.0)


def agents(**fields: Any) -> dict[str, Agent]:
    """Label -> SMoSE with a weight of the auxiliary loss, and without the gate."""
    weighted = {f"smose_{weight:g}": Smose(w_aux=weight, **fields) for weight in WEIGHTS}
    return {**weighted, "gate_off": Smose(gate=False, **fields)}


def tier(every: dict[str, Agent], env: str, **size: Any) -> Tier:
    """A tier whose agents are all read at the end."""
    return Tier(every, (env,), exams={label: READS for label in every}, **size)


EXPERIMENT = Experiment(
    name="smose_balance",
    title="SMoSE: what keeps experts in use",
    text=(
        "The auxiliary loss makes importance and load of the experts alike; its weight, the number in a label, is .1 "
        "on the poster and .01 in the released settings. `gate_off` is a control: without the winner's probability as "
        "a factor of the action no return reaches the router, which then learns from the auxiliary loss alone (weight "
        ".1). The entropy of the experts' shares is that over the steps of the finished policy's own episodes: ln 8 is "
        "2.08, where all act alike."
    ),
    source=SOURCE,
    smoke=tier(
        {label: agent for label, agent in agents(**SMALL).items() if label in ("smose_0.1", "gate_off")}, REACHER,
        seeds=1, budget=600, evals=2,
    ),
    repro=tier(agents(**REDUCED), CHEETAH, seeds=5, budget=100_000, evals=10, eval_episodes=10),
    paper=tier(agents(), CHEETAH, seeds=5, budget=PAPER_BUDGET, evals=100, eval_episodes=10),
    claims=(
        Claim(
            "U usage", "With weight .1 the experts' shares of the steps have more entropy than without the loss.",
            f"{SOURCE}, what the loss is for; the figure is ours", "reading/usage_entropy", CHEETAH, "smose_0.1",
            "smose_0", paper_budget=PAPER_BUDGET, kind="check",
        ),
        Claim(
            "G gate", "A router that returns train through the gate ends above one without the gate.",
            "ours, and open", "eval/return", CHEETAH, "smose_0.1", "gate_off", paper_budget=PAPER_BUDGET, kind="check",
        ),
    ),
    metrics=(
        "eval/return", "eval/linear/return", "reading/usage_entropy", "reading/main_experts", "reading/linear",
        "reading/trees", "reading/best_expert", "trees/agreement", "learn/loss_aux",
    ),
    pictures=("curves",),
)  # fmt: skip
