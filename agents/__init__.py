"""Agents in JAX. `from agents import Serene`; `agents.AGENTS` names them all; start reading at `agents.api`."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from agents.api import Agent
from agents.bc import BC
from agents.cma_me import CMAME
from agents.map_elites import MAPElites
from agents.novelty_search import NoveltySearch
from agents.nsga2 import NSGA2
from agents.random_search import RandomSearch
from agents.serene.serene import Serene
from agents.serene.study import EmitterStudy

__all__ = [
    "AGENTS",
    "BC",
    "CMAME",
    "NSGA2",
    "Agent",
    "EmitterStudy",
    "MAPElites",
    "NoveltySearch",
    "RandomSearch",
    "Serene",
    "make",
]

AGENTS: dict[str, type[Agent]] = {
    "bc": BC,
    "cma_me": CMAME,
    "emitter_study": EmitterStudy,
    "map_elites": MAPElites,
    "novelty_search": NoveltySearch,
    "nsga2": NSGA2,
    "random_search": RandomSearch,
    "serene": Serene,
}
"""Registered name -> class. A line here gives an agent its contract tests, its command line and its reports."""


def make(name: str, **fields: Any) -> Agent:
    """The agent registered as `name`, with these hyper-parameters.

    Raises ValueError with one line (and the nearest name) for an unknown name, field or value.
    """
    if name not in AGENTS:
        near = get_close_matches(name, AGENTS, 1, 0.4)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(AGENTS)}"
        raise ValueError(f"unknown agent {name!r}{hint}")
    try:
        return AGENTS[name](**fields)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None
