"""What the experiments of SERENE share: its rivals, derived metrics and claims (card A5, A8)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from agents import CMAME, NSGA2, MAPElites, NoveltySearch, RandomSearch, Serene
from agents.api import Agent
from experiments.api import Claim

SOURCE = "Paolo et al., GECCO 2021, arXiv 2102.03140"
FACTOR_TWO = math.log10(2.0)

Row = Mapping[str, float]


def agents() -> dict[str, Agent]:
    """SERENE and the rivals of its paper."""
    return {
        "serene": Serene(),
        "novelty_search": NoveltySearch(),
        "map_elites": MAPElites(),
        "cma_me": CMAME(),
        "nsga2": NSGA2(),
        "random_search": RandomSearch(),
    }


def some(*labels: str) -> dict[str, Agent]:
    """Those of the agents."""
    return {label: agent for label, agent in agents().items() if label in labels}


def climb(area: int, prefix: str) -> Callable[[Row], float]:
    """Evaluations from the first reward in an area to .9 there.

    NaN where it never paid; the rest of the budget, a lower bound, where .9 never came.
    """

    def value(row: Row) -> float:
        first, reached = row[f"ledger/{prefix}first_{area}"], row[f"ledger/{prefix}reached_{area}"]
        if not first >= 0:
            return math.nan
        return (reached if reached >= 0 else row["used"]) - first

    return value


def log_first(areas: tuple[int, ...]) -> Callable[[Row], float]:
    """log10 of the evaluations to the first reward in any of the areas; that of the whole budget where none came."""

    def value(row: Row) -> float:
        firsts = [row[f"ledger/first_{area}"] for area in areas]
        return math.log10(min([first for first in firsts if first >= 0], default=row["used"]))

    return value


def derived(areas: int) -> dict[str, Callable[[Row], float]]:
    """Metrics worked out from a final row."""
    found = {"log10_first": log_first(tuple(range(areas)))}
    for area in range(areas):
        found |= {f"log10_first_{area}": log_first((area,))}
        found |= {f"climb_{area}": climb(area, ""), f"stored_climb_{area}": climb(area, "stored_")}
    return found


def metrics(areas: int) -> tuple[str, ...]:
    """The columns of the table."""
    each = [
        (f"ledger/best_{a}", f"ledger/stored_best_{a}", f"ledger/first_{a}", f"climb_{a}", f"stored_climb_{a}")
        for a in range(areas)
    ]
    shared = ("ledger/coverage", "ledger/coverage_all", "ledger/uniformity", "log10_first")
    return (*shared, *(name for names in zip(*each, strict=True) for name in names), "archive/overflow")


def claims(env: str, areas: int, paper_budget: int) -> tuple[Claim, ...]:
    """C2, C4 and C5 of the card's A8 for one environment."""

    def claim(name: str, text: str, metric: str, **test: object) -> Claim:
        sides = {"left": "serene", "right": "novelty_search"} | test
        source = f"{SOURCE}; card A5, A8"
        return Claim(name, text, source, metric, env, paper_budget=paper_budget, **sides)  # type: ignore[arg-type]

    near = (-FACTOR_TWO, FACTOR_TWO)
    early = "SERENE finds the first reward as early as novelty search, within a factor of 2"
    fast = "From the first reward to .9 in area {}, SERENE needs fewer evaluations than novelty search"
    wide, narrow = "SERENE covers within .05 of novelty search", "NSGA-II covers at least .15 less than novelty search"
    found = [
        claim("C2a", wide, "ledger/coverage", margin=-0.05),
        claim("C2b", narrow, "ledger/coverage", left="novelty_search", right="nsga2", margin=0.15),
        claim("C4", early, "log10_first", within=near),
    ]
    for a in range(areas):
        stored = fast.format(a) + ", counting only what the archives hold (the official metric)"
        found += [
            claim(f"C4.{a}", f"{early}, in area {a}", f"log10_first_{a}", within=near),
            claim(f"C5.{a}", fast.format(a) + ", over all evaluations", f"climb_{a}", better="lower"),
            claim(f"C5.{a} archive", stored, f"stored_climb_{a}", better="lower"),
        ]
    return tuple(found)
