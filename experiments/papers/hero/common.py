"""Shared parts of HERO's experiments: the arms, by the label of what they learn from, and their budgets in answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prospect_rl.agents import HERO

SOURCE = "HERO, 2025, arXiv 2510.07242"
PAPER_BUDGET = 245_760
"""Answers of the source's training: 60 batches of 512 problems x 8."""
ARMS: Mapping[str, Mapping[str, Any]] = {
    "verifier": {"reward": "verifier"},
    "verifier_std": {"reward": "verifier", "norm_adv_by_std": True},
    "rm": {"reward": "rm"},
    "mix": {"reward": "mix"},
    "gated": {"reward": "gated"},
    "hero": {},
    "hero_plain": {"weights": False},
    "hero_std": {"norm_adv_by_std": True},
    "hero_std_plain": {"norm_adv_by_std": True, "weights": False},
}
"""Label -> fields. `std`: advantages divided by their group's deviation; `plain`: groups without weights."""
COLD = 20
"""Iterations of cold start after which 1 to 2 % of the answers in `text/sort` are right (seeds 100 to 102)."""
SMOKE: Mapping[str, Any] = {
    "cold": 4, "fit": 4, "prompts": 8, "group": 4, "layers": 2, "width": 32, "ffn": 64, "model_width": 16
}  # fmt: skip
"""A small decoder and few answers: they test the machinery, no more."""
PAPER: Mapping[str, Any] = {"cold": 80, "group": 16, "layers": 6, "width": 256, "heads": 8, "ffn": 768}
METRICS = (
    "eval/success", "unseen/success", "groups/wrong", "groups/right", "groups/advantage_none", "groups/advantage_some",
    "groups/advantage_all", "rm/auroc", "rm/rank", "rm/hacked", "groups/weight_mean", "groups/weight_most",
)  # fmt: skip


def arm(label: str, **fields: Any) -> HERO:
    """The agent of a label, with other fields."""
    return HERO(**{"cold": COLD, **ARMS[label], **fields})


def answers(agent: HERO, updates: int) -> int:
    """The budget with which an agent makes so many updates, after its cold start and the fitting of its judge."""
    return (agent.cold + (agent.fit if agent.learns_model else 0) + updates) * agent.prompts * agent.group


def arms(labels: Iterable[str], updates: int, **fields: Any) -> tuple[dict[str, HERO], dict[str, int]]:
    """(label -> agent, label -> its budget) of so many updates each."""
    agents = {label: arm(label, **fields) for label in labels}
    return agents, {label: answers(agent, updates) for label, agent in agents.items()}
