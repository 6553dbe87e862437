"""The table of POPGym tasks: each level is one of our classes with certain values of its fields.

This module does not import JAX. Names are those of popgym's classes, e.g. `popgym/RepeatFirstEasy` in `envs.ENVS`.
Source: popgym 1.0.7.
"""

from __future__ import annotations

from typing import Any

LEVELS = ("Easy", "Medium", "Hard")

FAMILIES: dict[str, tuple[str, tuple[dict[str, Any], ...]]] = {
    "RepeatFirst": ("prospect_rl.envs.memory.cards:RepeatFirst", ({"decks": 1}, {"decks": 8}, {"decks": 16})),
    "RepeatPrevious": (
        "prospect_rl.envs.memory.cards:RepeatPrevious",
        ({"decks": 1, "k": 4}, {"decks": 2, "k": 32}, {"decks": 3, "k": 64}),
    ),
    "Autoencode": ("prospect_rl.envs.memory.recite:Autoencode", ({"decks": 1}, {"decks": 2}, {"decks": 3})),
    "CountRecall": (
        "prospect_rl.envs.memory.recite:CountRecall",
        ({"decks": 1, "face": "colors"}, {"decks": 2, "face": "suits"}, {"decks": 4, "face": "ranks"}),
    ),
    "HigherLower": ("prospect_rl.envs.memory.recite:HigherLower", ({"decks": 1}, {"decks": 2}, {"decks": 3})),
    "Concentration": (
        "prospect_rl.envs.memory.pairs:Concentration",
        ({"decks": 1, "face": "colors"}, {"decks": 2, "face": "colors"}, {"decks": 1, "face": "ranks"}),
    ),
    "Battleship": ("prospect_rl.envs.memory.boards:Battleship", ({"width": 8}, {"width": 10}, {"width": 12})),
    "MineSweeper": (
        "prospect_rl.envs.memory.boards:MineSweeper",
        ({"width": 4, "mines": 2}, {"width": 6, "mines": 6}, {"width": 8, "mines": 10}),
    ),
    "MultiarmedBandit": (
        "prospect_rl.envs.memory.bandit:MultiarmedBandit",
        ({"arms": 10, "horizon": 200}, {"arms": 20, "horizon": 400}, {"arms": 30, "horizon": 600}),
    ),
    "PositionOnlyCartPole": (
        "prospect_rl.envs.memory.control:CartPole",
        ({"horizon": 200}, {"horizon": 400}, {"horizon": 600}),
    ),
    "VelocityOnlyCartPole": (
        "prospect_rl.envs.memory.control:CartPole",
        tuple({"sees": "velocity", "horizon": horizon} for horizon in (200, 400, 600)),
    ),
    "NoisyPositionOnlyCartPole": (
        "prospect_rl.envs.memory.control:CartPole",
        ({"sigma": 0.1}, {"sigma": 0.2}, {"sigma": 0.3}),
    ),
    "PositionOnlyPendulum": (
        "prospect_rl.envs.memory.control:Pendulum",
        ({"horizon": 200}, {"horizon": 150}, {"horizon": 100}),
    ),
    "NoisyPositionOnlyPendulum": (
        "prospect_rl.envs.memory.control:Pendulum",
        ({"sigma": 0.1}, {"sigma": 0.2}, {"sigma": 0.3}),
    ),
}
"""Family -> ("module:class", the field values of its three levels)."""

TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    f"{family}{level}": (place, fields)
    for family, (place, presets) in FAMILIES.items()
    for level, fields in zip(LEVELS, presets, strict=True)
}
"""Name of popgym's class -> ("module:class", field values)."""
