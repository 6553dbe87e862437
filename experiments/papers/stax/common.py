"""Shared parts of STAX's experiments: agents at three sizes, derived metrics and claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from prospect_rl.agents import Aurora, NoveltySearch, RandomSearch, Serene, Stax, Taxons, UntrainedStax
from prospect_rl.agents.api import Agent
from prospect_rl.experiments.api import Claim, Tier
from prospect_rl.experiments.papers.serene.common import PLACES

SOURCE = "Paolo et al., Evolutionary Computation 32(3), arXiv 2111.01919"
ABLATION = "the official repository GPaolo/STAX, analysis/archive analysis.ipynb, ablation on the arm"
OWN = f"our reading of {SOURCE}"
SMOKE: dict[str, Any] = {"size": 16, "width": 8, "features": 4, "epochs": 5, "train_cap": 1024}
"""A small network on 16 x 16 grey pictures: it tests the machinery, no more."""
PAPER: dict[str, Any] = {"size": 64, "colour": True, "frames": 5, "epochs": 101, "train_cap": 0, "input": "raw"}
"""The official layers, pictures and schedule; the number of frames is not in the repository."""
BOUNDS = (
    "Below the paper's tier a training has at most 20 epochs on at most 4096 policies, whose pictures are 32 x 32 and "
    "grey (smoke: 5 epochs, 1024 policies, 16 x 16)."
)
"""What bounds the cost of training, which every page says."""
ARM = "arm/redundant"
SEEDS = {
    "stax": 10, "serene": 10, "taxons": 10, "untrained": 10, "untrained_official": 10, "redrawn": 5, "pixels": 5,
    "aurora": 5, "novelty_search": 5, "random_search": 5,
}  # fmt: skip

Row = Mapping[str, float]


def agents(**fields: Any) -> dict[str, Agent]:
    """Label -> agent; `fields` are of all that see pictures."""
    seeing = {
        "stax": Stax(),
        "taxons": Taxons(),
        "untrained": UntrainedStax(),
        "untrained_official": UntrainedStax(compat="official"),
        "redrawn": UntrainedStax(training="redrawn"),
        "pixels": Stax(space="pictures", criterion="novelty", emits=False),
        "aurora": Aurora(),
    }
    made: dict[str, Agent] = {label: replace(agent, **fields) for label, agent in seeing.items()}
    made["pixels"] = replace(seeing["pixels"], **fields | {"features": 64})
    return made | {"serene": Serene(), "novelty_search": NoveltySearch(), "random_search": RandomSearch()}


def some(*labels: str, **fields: Any) -> dict[str, Agent]:
    """The agents with these labels."""
    return {label: agent for label, agent in agents(**fields).items() if label in labels}


def beside(agents: Mapping[str, Agent], *labels: str, **fields: Any) -> dict[str, Agent]:
    """The agents with these labels, or all, with other fields, and random search."""
    made = {label: replace(agent, **fields) for label, agent in agents.items() if label in (labels or agents)}
    return made | {"random_search": RandomSearch()}


def study(agents: Mapping[str, Agent], *few: str, without: str) -> dict[str, Any]:
    """The three tiers of a study on the arm, the first of a few labels.

    without: the field that is studied, which the agents set themselves in the paper's tier too.
    """
    official = {name: x for name, x in PAPER.items() if name != without}
    return {
        "smoke": Tier(beside(agents, *few, **SMOKE), (ARM,), seeds=1, budget=3000, evals=3),
        "repro": Tier(beside(agents), (ARM,), seeds=5, budget=100_000, evals=50),
        "paper": Tier(beside(agents, **official), (ARM,), seeds=15, budget=500_000),
    }


def best(areas: int, prefix: str) -> Callable[[Row], float]:
    """The best reward, mean over the areas; an area without a reward counts 0."""

    def value(row: Row) -> float:
        return sum(max(0.0, row[f"ledger/{prefix}best_{area}"] or 0.0) for area in range(areas)) / areas

    return value


def derived(areas: int) -> dict[str, Callable[[Row], float]]:
    """Metric -> function that derives it from a final metrics row."""
    return {"best": best(areas, ""), "stored_best": best(areas, "stored_")}


def metrics(areas: int) -> tuple[str, ...]:
    """The metrics of the report's table."""
    each = (f"ledger/{prefix}best_{area}" for prefix in ("", "stored_") for area in range(areas))
    features = ("features/spread", "features/nearness", "features/unexplained", "features/blank", "learn/trainings")
    return ("ledger/coverage", "ledger/coverage_all", "best", "stored_best", *each, *features, "archive/overflow")


def claims(env: str, areas: int) -> tuple[Claim, ...]:
    """Claims in one environment: coverage, training, rewards, and pixels."""

    def claim(name: str, text: str, right: str, metric: str, **test: Any) -> Claim:
        sides: dict[str, Any] = {"source": OWN, "kind": "check", "left": "stax"} | test
        return Claim(name, f"{text} {PLACES[env]}.", metric=metric, env=env, right=right, paper_budget=500_000, **sides)

    near = "STAX reaches more than .9 of the coverage that SERENE reaches with the true descriptor"
    trained = "STAX covers .1 of all cells more than with an untrained network"
    slip = "whose population, by a mistake of the official code, is never updated,"
    shown: dict[str, Any] = {"margin": 0.1, "source": ABLATION, "kind": "paper"}
    own = {"margin": 0.1, "source": f"our reading of {ABLATION}", "kind": "check"}
    official = shown if env == "arm/redundant" else own
    found = [
        claim("S1", near, "serene", "ledger/coverage", part=0.9, source=f"{SOURCE}, abstract", kind="paper"),
        claim("S2 official", f"{trained} {slip}", "untrained_official", "ledger/coverage", **official),
        claim("S2", f"{trained} whose population is updated,", "untrained", "ledger/coverage", **own),
        claim("S5", "Novelty search in pixels covers less than STAX", "pixels", "ledger/coverage"),
    ]
    if env == "arm/redundant":
        for area, margin in enumerate((-0.3, -0.05, -0.05)):
            text = f"In goal area {area} STAX's best reward is at most {-margin:g} below SERENE's"
            source = {"margin": margin, "source": f"{SOURCE}, abstract; figure in {ABLATION}: .99, .98, 1.00"}
            found.append(claim(f"S3.{area}", text, "serene", f"ledger/best_{area}", kind="paper", **source))
        text = "STAX's best reward, mean over the areas, is above TAXONS',"
        found.append(claim("S4", f"{text} counting all evaluations,", "taxons", "best"))
        found.append(claim("S4 archive", f"{text} counting what the archives hold alone,", "taxons", "stored_best"))
    return tuple(found)
