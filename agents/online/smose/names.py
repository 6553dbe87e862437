"""Names of the components of observations and actions, for laws, trees and pages.

Those of gymnasium's six robots are their own (envs/mujoco documents them); a category code is named by its place and
its value; all others by their number.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from prospect_rl.agents.api import Box, Dict, Discrete, Spec
from prospect_rl.agents.nn.encoder import codes_of

LEGS = {
    "cheetah": ("back thigh", "back shin", "back foot", "front thigh", "front shin", "front foot"),
    "hopper": ("thigh", "leg", "foot"),
    "walker": ("right thigh", "right leg", "right foot", "left thigh", "left leg", "left foot"),
    "swimmer": ("joint 1", "joint 2"),
    "reacher": ("joint 1", "joint 2"),
}
"""The joints of a robot, in the order of its motors."""
ANT = tuple(f"{leg} {joint}" for leg in ("front left", "front right", "back left", "back right")
            for joint in ("hip", "ankle"))  # fmt: skip
"""The joints of the Ant as it sees them; its motors begin with the last leg."""
TORSO = ("torso x", "torso y", "torso z")
BODIES = 13
"""Bodies of the Ant that a contact can push."""


def angles(joints: Iterable[str]) -> tuple[str, ...]:
    """Names of joint angles."""
    return tuple(f"{joint} angle" for joint in joints)


def rates(joints: Iterable[str]) -> tuple[str, ...]:
    """Names of joint velocities."""
    return tuple(f"{joint} speed" for joint in joints)


def planar(joints: tuple[str, ...]) -> tuple[str, ...]:
    """Observations of HalfCheetah, Hopper and Walker2d."""
    torso = "speed x", "speed z", "torso turn"
    return ("height", "torso angle", *angles(joints), *torso, *rates(joints))


def robots() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Word of an environment's id -> the longest list of its observations, and its actions."""
    swimmer = "front link", *LEGS["swimmer"]
    reach = "target x", "target y", *rates(LEGS["reacher"]), "offset x", "offset y", "offset z"
    joint = [f"{part} joint {i}" for part in ("cos", "sin") for i in (1, 2)]
    contacts = (
        f"contact {body} {kind} {axis}"
        for body in range(1, BODIES + 1) for kind in ("torque", "force") for axis in "xyz"
    )  # fmt: skip
    turns = (f"{kind} {axis}" for kind in ("speed", "torso turn") for axis in "xyz")
    pose = "height", *(f"orientation {part}" for part in "wxyz")
    return {
        **{word: (planar(LEGS[word]) + TORSO * (word == "cheetah"), LEGS[word])
           for word in ("cheetah", "hopper", "walker")},
        "swimmer": ((*angles(swimmer), "speed x", "speed y", *rates(swimmer)), LEGS["swimmer"]),
        "reacher": ((*joint, *reach), LEGS["reacher"]),
        "ant": ((*pose, *angles(ANT), *turns, *rates(ANT), *contacts), (*ANT[-2:], *ANT[:-2])),
    }  # fmt: skip


def names_of(spec: Spec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(names of the features of an observation, names of the action's components or of its choices)."""
    if isinstance(spec.action, Discrete):
        first = spec.action.start
        actions = tuple(f"action {i}" for i in range(first, first + spec.action.n))
    else:
        actions = numbered("action", spec.action)
    features = numbered("obs", spec.obs)
    found = [names for word, names in robots().items() if spec.id.startswith("mujoco/") and word in spec.id]
    if found and len(found[0][0]) >= len(features) and len(found[0][1]) == len(actions):
        return found[0][0][: len(features)], found[0][1]
    return features, actions


def numbered(word: str, space: Box | Discrete | Dict) -> tuple[str, ...]:
    """Names of a space's features, as `agents.nn.encoder.Encoder` without an embedding orders them."""
    if isinstance(space, Dict):
        return tuple(name for key, part in space.items for name in numbered(key, part))
    if isinstance(space, Discrete):
        return tuple(f"{word} = {space.start + k}" for k in range(space.n))
    places = [f"{word} {' '.join(map(str, at))}".strip() for at in product(*map(range, space.shape))]
    codes = codes_of(space)
    if codes is None:
        return tuple(places)
    return tuple(f"{place} = {k}" for i, place in enumerate(places) for k in range(codes[i % len(codes)]))
