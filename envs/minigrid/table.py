"""The table of MiniGrid tasks: names, sizes, time limits, families and missions. This module does not import JAX.

A name is Farama's id without its prefix: `DoorKey-8x8-v0` is Farama's `MiniGrid-DoorKey-8x8-v0`, and
`minigrid/DoorKey-8x8-v0` in `envs.ENVS`. Source: Farama minigrid 3.2.0.
"""

from __future__ import annotations

import re
from typing import NamedTuple

OBJECTS = ("unseen", "empty", "wall", "floor", "door", "key", "ball", "box", "goal", "lava", "agent")
"""Object types, by their number in the first channel of an observation."""
COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
"""Colours, by their number in the second channel of an observation."""
OPENINGS = ("get a", "go get a", "fetch a", "go fetch a", "you must fetch a")
"""Beginnings of Fetch's missions."""
WORDS = {"colour": COLOURS, "object": ("key", "ball", "box"), "opening": OPENINGS}
"""Kind of a mission's slot -> the words it can contain."""
FIRST = {"colour": 0, "object": OBJECTS.index("key"), "opening": 0}
"""Kind of a slot -> the id of its first word; ids of colours and objects are the same as in observations."""
SLOTS = 4
"""Maximum number of slots in a mission."""


class Family(NamedTuple):
    """Tasks that share their rules."""

    rule: str
    """Name of the rule in `envs.minigrid.rules.RULES`."""
    mission: str
    """Template of the mission, with slots as named in `WORDS`."""
    see_through: bool = False
    """Whether the agent sees through walls and doors."""
    actions: int = 7
    """Number of actions, counted from the first."""


class Task(NamedTuple):
    """The facts about one task."""

    family: str
    """Name of the family in `FAMILIES`."""
    width: int
    """Width of the map in cells."""
    height: int
    """Height of the map in cells."""
    max_steps: int
    """Maximum length of an episode in steps."""


GOAL = "get to the green goal square"
LAVA = "avoid the lava and get to the green goal square"
PICK = "pick up the {colour} {object}"

FAMILIES: dict[str, Family] = {
    "Empty": Family("goal", GOAL, see_through=True),
    "DistShift": Family("goal", GOAL, see_through=True),
    "DoorKey": Family("goal", "use the key to open the door and then get to the goal"),
    "MultiRoom": Family("goal", "traverse the rooms to get to the goal"),
    "FourRooms": Family("goal", "reach the goal"),
    "LavaCrossing": Family("goal", LAVA),
    "SimpleCrossing": Family("goal", "find the opening and get to the green goal square"),
    "LavaGap": Family("goal", LAVA),
    "LockedRoom": Family(
        "goal", "get the {colour} key from the {colour} room, unlock the {colour} door and go to the goal"
    ),
    "Playground": Family("goal", ""),
    "KeyCorridor": Family("pick", PICK),
    "ObstructedMaze": Family("pick", PICK),
    "UnlockPickup": Family("pick", PICK),
    "BlockedUnlockPickup": Family("pick", PICK),
    "Unlock": Family("unlock", "open the door"),
    "RedBlueDoors": Family("red_blue", "open the red door then the blue door"),
    "Memory": Family("memory", "go to the matching object at the end of the hallway"),
    "Fetch": Family("fetch", "{opening} {colour} {object}", see_through=True),
    "PutNear": Family("put_near", "put the {colour} {object} near the {colour} {object}", see_through=True),
    "GoToDoor": Family("go_to", "go to the {colour} door", see_through=True),
    "GoToObject": Family("go_to", "go to the {colour} {object}", see_through=True),
    "Dynamic-Obstacles": Family("obstacles", GOAL, see_through=True, actions=3),
}

TASKS: dict[str, Task] = {
    **{f"Empty-{n}x{n}-v0": Task("Empty", n, n, 4 * n * n) for n in (5, 6, 8, 16)},
    **{f"Empty-Random-{n}x{n}-v0": Task("Empty", n, n, 4 * n * n) for n in (5, 6)},
    **{f"DistShift{i}-v0": Task("DistShift", 9, 7, 252) for i in (1, 2)},
    **{f"DoorKey-{n}x{n}-v0": Task("DoorKey", n, n, 10 * n * n) for n in (5, 6, 8, 16)},
    "MultiRoom-N2-S4-v0": Task("MultiRoom", 25, 25, 40),
    "MultiRoom-N4-S5-v0": Task("MultiRoom", 25, 25, 120),  # six rooms, despite its name
    "MultiRoom-N4-S5-v1": Task("MultiRoom", 25, 25, 80),
    "MultiRoom-N6-v0": Task("MultiRoom", 25, 25, 120),
    "FourRooms-v0": Task("FourRooms", 19, 19, 100),
    **{
        f"{kind}CrossingS{n}N{k}-v0": Task(f"{kind}Crossing", n, n, 4 * n * n)
        for kind in ("Lava", "Simple")
        for n, k in ((9, 1), (9, 2), (9, 3), (11, 5))
    },
    **{f"LavaGapS{n}-v0": Task("LavaGap", n, n, 4 * n * n) for n in (5, 6, 7)},
    "LockedRoom-v0": Task("LockedRoom", 19, 19, 190),
    "Playground-v0": Task("Playground", 19, 19, 100),
    **{
        f"KeyCorridorS{s}R{r}-v0": Task("KeyCorridor", 3 * (s - 1) + 1, r * (s - 1) + 1, 30 * s * s)
        for s, r in ((3, 1), (3, 2), (3, 3), (4, 3), (5, 3), (6, 3))
    },
    **{f"ObstructedMaze-{kind}-v0": Task("ObstructedMaze", 11, 6, 288) for kind in ("1Dl", "1Dlh", "1Dlhb")},
    **{f"ObstructedMaze-{kind}-v0": Task("ObstructedMaze", 16, 16, 576) for kind in ("2Dl", "2Dlh", "2Dlhb")},
    **{
        f"ObstructedMaze-{kind}-v{version}": Task("ObstructedMaze", 16, 16, 144 * rooms)
        for kind, rooms, versions in (("2Dlhb", 4, (1,)), ("1Q", 5, (0, 1)), ("2Q", 11, (0, 1)), ("Full", 25, (0, 1)))
        for version in versions
    },
    "UnlockPickup-v0": Task("UnlockPickup", 11, 6, 288),
    "BlockedUnlockPickup-v0": Task("BlockedUnlockPickup", 11, 6, 576),
    "Unlock-v0": Task("Unlock", 11, 6, 288),
    **{f"RedBlueDoors-{n}x{n}-v0": Task("RedBlueDoors", 2 * n, n, 20 * n * n) for n in (6, 8)},
    **{f"MemoryS{n}-v0": Task("Memory", n, n, 5 * n * n) for n in (7, 9, 11, 13)},
    **{f"MemoryS{n}Random-v0": Task("Memory", n, n, 5 * n * n) for n in (13, 17)},
    **{f"Fetch-{n}x{n}-N{k}-v0": Task("Fetch", n, n, 5 * n * n) for n, k in ((5, 2), (6, 2), (8, 3))},
    **{f"PutNear-{n}x{n}-N{k}-v0": Task("PutNear", n, n, 5 * n) for n, k in ((6, 2), (8, 3))},
    **{f"GoToDoor-{n}x{n}-v0": Task("GoToDoor", n, n, 4 * n * n) for n in (5, 6, 8)},
    **{f"GoToObject-{n}x{n}-N2-v0": Task("GoToObject", n, n, 5 * n * n) for n in (6, 8)},
    **{f"Dynamic-Obstacles-{n}x{n}-v0": Task("Dynamic-Obstacles", n, n, 4 * n * n) for n in (5, 6, 8, 16)},
    **{f"Dynamic-Obstacles-Random-{n}x{n}-v0": Task("Dynamic-Obstacles", n, n, 4 * n * n) for n in (5, 6)},
}
"""All ids of Farama's minigrid except those of BabyAI and wave function collapse."""


def slots(mission: str) -> list[str]:
    """Return the kinds of a template's slots, in order."""
    return re.findall(r"\{(\w+)\}", mission)


def say(mission: str, ids: list[int]) -> str:
    """Return the text of a mission whose slots have these ids (surplus ids are ignored)."""
    words = iter(WORDS[kind][i - FIRST[kind]] for kind, i in zip(slots(mission), ids, strict=False))
    return re.sub(r"\{\w+\}", lambda _: next(words), mission)


def read(mission: str, text: str) -> list[int]:
    """Return the ids [SLOTS] of the words in a mission's text, padded with zeros.

    Args:
        mission: The template.
        text: The text.

    Raises:
        ValueError: If the text does not match the template.
    """
    kinds = slots(mission)
    pattern = re.sub(r"\{(\w+)\}", lambda slot: f"({'|'.join(WORDS[slot[1]])})", mission)
    found = re.fullmatch(pattern, text)
    if found is None:
        raise ValueError(f"the mission {text!r} does not match {mission!r}")
    ids = [FIRST[kind] + WORDS[kind].index(word) for kind, word in zip(kinds, found.groups(), strict=True)]
    return ids + [0] * (SLOTS - len(ids))
