"""SERENE and the compared methods in curling: an arm pushes a ball into one of two discs, of which one is small."""

from __future__ import annotations

from prospect_rl.experiments.api import Claim, Experiment, Tier
from prospect_rl.experiments.papers.serene.common import CLIMBS, SOURCE, agents, claims, derived, metrics, some

ENV = "arm/curling"
HIDDEN = (5, 5, 5)
BUDGET = 500_000
RIVALS = {"novelty_search": "novelty search", "cma_me": "CMA-ME", "nsga2": "NSGA-II"}
FIGURE = f"{CLIMBS} (by eye: SERENE .81, novelty search .67, CMA-ME .61, NSGA-II .24)"


def _small_goal() -> tuple[Claim, ...]:
    """C1, under both metrics: what the archives hold, as the official analysis counts, and all evaluations."""
    found = []
    for label, name in RIVALS.items():
        text = f"SERENE reaches a higher reward in the small goal of curling than {name}, "
        found += [
            Claim(
                f"C1 {label} archive", text + "counting what the archives hold alone, as the official analysis does.",
                FIGURE, "ledger/stored_best_1", ENV, "serene", label, paper_budget=BUDGET, kind="paper",
            ),
            Claim(
                f"C1 {label}", text + "counting all evaluations.", f"our reading of {FIGURE}", "ledger/best_1", ENV,
                "serene", label, paper_budget=BUDGET, kind="check",
            ),
        ]  # fmt: skip
    return tuple(found)


EXPERIMENT = Experiment(
    name="serene_curling",
    title="SERENE in curling",
    text=(
        "An arm of two links pushes a ball on a table and is paid once, at the end of 500 steps, if the ball then lies "
        "in one of two discs, the large goal and the small goal; few policies reach either, and most balls end at the "
        "left wall. Policies have three hidden layers of five. Coverage and rewards are counted as in `serene_maze`."
    ),
    source=SOURCE,
    smoke=Tier(some("serene", "novelty_search", hidden=HIDDEN), (ENV,), seeds=1, budget=3000, evals=3),
    repro=Tier(some("serene", *RIVALS, hidden=HIDDEN), (ENV,), seeds=10, budget=BUDGET, evals=100),
    paper=Tier(agents(HIDDEN), (ENV,), seeds=15, budget=BUDGET, evals=100),
    claims=(*_small_goal(), *claims(ENV, areas=2, paper_budget=BUDGET)),
    derived=derived(2),
    metrics=metrics(2),
)
