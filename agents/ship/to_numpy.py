"""From a network's layers to `agents.ship.portable.Policy`: what the families' `to_numpy` is made of.

An export is compared with the player before it is handed out. Shapes: A action components or choices.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from prospect_rl.agents.api import Agent, Box, Dict, Discrete, Spec, Tree, unwritable
from prospect_rl.agents.nn.encoder import codes_of, scale_of
from prospect_rl.agents.nn.networks import Layer, Layered
from prospect_rl.agents.ship.portable import Policy

TOLERANCE = 1e-5
"""How far an action may differ from the player's, in units of half the width of its bounds."""
Arrays = dict[str, Any]


def feed_forward(
    agent: Agent,
    layers: Sequence[Layer],
    *,
    activation: Literal["relu", "tanh"] = "relu",
    last: Literal["tanh", "none"] = "tanh",
    draws: bool = False,
    clip: float | None = None,
    parts: list[dict[str, Any]] | None = None,
    arrays: Arrays | None = None,
    gate: bool = False,
) -> Policy:
    """The policy of a bound agent: layers with an activation between them, and what comes after the last one.

    draws, clip, gate: see `portable`. parts: how an observation becomes a vector (see `encoder`), flat as it is where
    none are given. arrays: those of the parts, `mean` and `std` of observations, `log_std` of what is drawn, router and
    experts.
    """
    spec = agent.bound
    about = {
        "agent": type(agent).__name__, "env": spec.id, "activation": activation, "last": last, "draws": draws,
        "clip": clip, "choices": isinstance(spec.action, Discrete), "parts": parts or [part(spec.obs)],
        "start": getattr(spec.action, "start", 0), "gate": gate,
    }  # fmt: skip
    found = limits(spec.action) | (arrays or {})
    for i, (weight, bias) in enumerate(layers):
        found |= {f"layer{i}/weight": weight, f"layer{i}/bias": bias}
    return Policy({name: np.asarray(x) for name, x in {**found, "about": json.dumps(about)}.items()})


def layers_of(agent: Agent, network: Any, params: Tree) -> list[Layer]:
    """The layers of an agent's network. Raises ValueError where it does not say that it is made of these alone."""
    if not isinstance(network, Layered):
        raise unwritable(agent, f"its {type(network).__name__} is not made of dense layers one after the other")
    return network.dense_layers(params)


def behind_encoder(agent: Agent, network: Any, params: Tree, name: str, arrays: Arrays, **how: Any) -> Policy:
    """`feed_forward` for a network whose layers follow its `Encoder` `name`; they end without an activation."""
    layers = layers_of(agent, network, params)
    parts, more = encoder(agent.bound.obs, params["params"].get(name, {}))
    return feed_forward(agent, layers, last="none", parts=parts, arrays=more | arrays, **how)


# --- parts -------------------------------------------------------------------------------------------


def limits(space: Any) -> Arrays:
    """The arrays that scale a network's output [A] to the bounds of an action space; unchanged where there are none."""
    if not isinstance(space, Box):
        return {}
    ends, middle = space.bounds(space.outside), space.middle()
    return dict(zip(("low", "high", "centre", "half"), (*ends, *middle), strict=True))


def part(space: Any, path: tuple[str, ...] = (), divisor: float = 1.0) -> dict[str, Any]:
    """The description of an observation of plain numbers."""
    return {"kind": "numbers", "path": path, "shape": getattr(space, "shape", ()), "divisor": divisor}


def encoder(space: Any, params: Tree, path: tuple[str, ...] = (), at: int = 0) -> tuple[list[dict[str, Any]], Arrays]:
    """The parts of `agents.nn.encoder.Encoder`, numbered from `at`, and their arrays."""
    if isinstance(space, Dict):
        parts, arrays = [], {}
        for name, inner in space.items:
            found, more = encoder(inner, params.get(name, {}), (*path, name), at + len(parts))
            parts, arrays = parts + found, arrays | more
        return parts, arrays
    if isinstance(space, Discrete):
        return [{"kind": "codes", "path": path, "shape": (), "codes": (space.n,), "start": space.start}], {}
    codes = codes_of(space)
    if codes is None:
        return [part(space, path, scale_of(space))], {}
    one = {"kind": "codes", "path": path, "shape": space.shape, "codes": codes}
    if len(space.shape) < 3 or not params:  # without an embedding, if it is an image
        return [one], {}
    names = {"embedding": ("Dense_0", "kernel"), "weight": ("Dense_1", "kernel"), "bias": ("Dense_1", "bias")}
    return [one], {f"part{at}/{name}": params[layer][leaf] for name, (layer, leaf) in names.items()}


# --- the comparison ----------------------------------------------------------------------------------


def compare(policy: Policy, spec: Spec, act: Callable[[Tree], Any], count: int = 16) -> None:
    """Raise ValueError unless the policy does what `act` does at some random observations."""
    generator = np.random.default_rng(0)
    for _ in range(count):
        obs = sample(spec.obs, generator)
        wanted, out = act(obs), policy.output(obs)
        if isinstance(spec.action, Box):
            error = np.max(np.abs(policy(obs, deterministic=True) - wanted) / np.maximum(policy.arrays["half"], 1))
        else:
            error = np.max(out) - out[wanted - policy.about["start"]]  # of two choices alike, either will do
        if not error <= TOLERANCE * max(1.0, float(np.max(np.abs(out)))):
            raise ValueError(f"the policy of {policy.about['agent']} in NumPy does not act as the agent does")


def sample(space: Any, generator: np.random.Generator) -> Tree:
    """ONE observation as gymnasium gives it, uniform within its bounds, or standard normal where it has none."""
    if isinstance(space, Dict):
        return {name: sample(s, generator) for name, s in space.items}
    if isinstance(space, Discrete):
        return np.int32(space.start + generator.integers(space.n))
    low, high = (np.broadcast_to(np.asarray(x, np.float64), space.shape) for x in (space.low, space.high))
    if not np.all(np.isfinite(low) & np.isfinite(high)):
        return np.clip(generator.standard_normal(space.shape), low, high).astype(space.dtype)
    if np.issubdtype(np.dtype(space.dtype), np.integer):
        return generator.integers(low.astype(np.int64), high.astype(np.int64) + 1).astype(space.dtype)
    return generator.uniform(low, high).astype(space.dtype)
