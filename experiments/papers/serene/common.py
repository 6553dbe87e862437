"""Shared parts of SERENE's experiments: agents, derived metrics and claims."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from prospect_rl.agents import CMAME, NSGA2, MAPElites, NoveltySearch, RandomSearch, Serene
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Claim

SOURCE = "Paolo et al., GECCO 2021, arXiv 2102.03140"
COVERAGES = "the official repository GPaolo/SERENE, analysis/archive analysis.ipynb, coverage in Curling"
CLIMBS = "the official repository GPaolo/SERENE, analysis/archive analysis.ipynb, maximum reward by area in Curling"
OWN = f"our reading of {SOURCE}: until something pays, SERENE is novelty search"
OWN_CLIMB = f"our reading of {CLIMBS}: novelty search's archive holds a fortieth of what it evaluates"
PLACES = {
    "maze/hard": "on the hard maze",
    "arm/redundant": "on the redundant arm",
    "arm/curling": "in curling",
    "mujoco/ant_maze": "in the ant maze",
}
FACTOR_TWO = math.log10(2.0)

Row = Mapping[str, float]


def agents(hidden: tuple[int, ...] = (5, 5)) -> dict[str, Agent]:
    """Label -> agent: SERENE and the methods its paper compares, with policies of these hidden layers."""
    return {
        "serene": Serene(hidden=hidden),
        "novelty_search": NoveltySearch(hidden=hidden),
        "map_elites": MAPElites(hidden=hidden),
        "cma_me": CMAME(hidden=hidden),
        "nsga2": NSGA2(hidden=hidden),
        "random_search": RandomSearch(hidden=hidden),
    }


def some(*labels: str, hidden: tuple[int, ...] = (5, 5)) -> dict[str, Agent]:
    """The agents with these labels."""
    return {label: agent for label, agent in agents(hidden).items() if label in labels}


def climb(area: int, prefix: str) -> Callable[[Row], float]:
    """Number of evaluations from the first reward in an area to a reward of .9 there.

    NaN if the area was never rewarded; the remaining budget, a lower bound, if .9 was never reached.
    """

    def value(row: Row) -> float:
        first, reached = row[f"ledger/{prefix}first_{area}"], row[f"ledger/{prefix}reached_{area}"]
        if not first >= 0:
            return math.nan
        return (reached if reached >= 0 else row["used"]) - first

    return value


def log_first(areas: tuple[int, ...]) -> Callable[[Row], float]:
    """log10 of the evaluations to the first reward in any of the areas; of the whole budget if there was none."""

    def value(row: Row) -> float:
        firsts = [row[f"ledger/first_{area}"] for area in areas]
        return math.log10(min([first for first in firsts if first >= 0], default=row["used"]))

    return value


def derived(areas: int) -> dict[str, Callable[[Row], float]]:
    """Metric -> function that derives it from a final metrics row."""
    found = {"log10_first": log_first(tuple(range(areas)))}
    for area in range(areas):
        found |= {f"log10_first_{area}": log_first((area,))}
        found |= {f"climb_{area}": climb(area, ""), f"stored_climb_{area}": climb(area, "stored_")}
    return found


def metrics(areas: int) -> tuple[str, ...]:
    """The metrics of the report's table."""
    each = [
        (f"ledger/best_{a}", f"ledger/stored_best_{a}", f"ledger/first_{a}", f"climb_{a}", f"stored_climb_{a}")
        for a in range(areas)
    ]
    shared = ("ledger/coverage", "ledger/coverage_all", "ledger/uniformity", "log10_first")
    return (*shared, *(name for names in zip(*each, strict=True) for name in names), "archive/overflow")


def claims(env: str, areas: int, paper_budget: int) -> tuple[Claim, ...]:
    """Claims on coverage, time to the first reward, and time from there to .9, in one environment."""
    place = PLACES[env]

    def claim(name: str, text: str, source: str, metric: str, **test: Any) -> Claim:
        sides: dict[str, Any] = {"left": "serene", "right": "novelty_search"} | test
        return Claim(name, f"{text} {place}.", source, metric, env, paper_budget=paper_budget, **sides)

    def first(name: str, metric: str, area: str) -> Claim:
        text = f"SERENE finds the first reward{area} as early as novelty search, within a factor of 2,"
        return claim(name, text, OWN, metric, within=(-FACTOR_TWO, FACTOR_TWO), kind="check")

    wide = "SERENE reaches as much of the behaviour space as novelty search, less .05 of all cells at most,"
    narrow = "NSGA-II reaches less of the behaviour space than novelty search, by more than .15 of all cells,"
    share: dict[str, Any] = {"kind": "paper"}
    count: dict[str, Any] = {"better": "lower"}
    found = [
        claim("C2a", wide, COVERAGES, "ledger/coverage", margin=-0.05, **share),
        claim("C2b", narrow, COVERAGES, "ledger/coverage", left="novelty_search", right="nsga2", margin=0.15, **share),
        first("C4", "log10_first", ""),
    ]
    for a in range(areas):
        fast = f"From its first reward in goal area {a} to a reward of .9 there, SERENE needs fewer evaluations than "
        fast += "novelty search, "
        found += [
            first(f"C4.{a}", f"log10_first_{a}", f" in goal area {a}"),
            claim(f"C5.{a}", fast + "counting all evaluations,", OWN_CLIMB, f"climb_{a}", kind="check", **count),
            claim(
                f"C5.{a} archive",
                fast + "counting what the archives hold alone, as the official analysis does,",
                CLIMBS,
                f"stored_climb_{a}",
                kind="paper",
                **count,
            ),
        ]
    return tuple(found)
