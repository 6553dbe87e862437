"""From a player to `agents.ship.portable.Policy`: which agents are feed-forward networks, and what their layers are.

Every export is compared with the player before it is handed out. Shapes: A action components or choices.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from prospect_rl.agents.api import Box, Dict, Discrete, Tree
from prospect_rl.agents.evolution.neuroevolution import Neuroevolution
from prospect_rl.agents.nn import mlp
from prospect_rl.agents.nn.encoder import codes_of, scale_of
from prospect_rl.agents.nn.networks import MLP
from prospect_rl.agents.offline.base import Offline
from prospect_rl.agents.offline.bc import BC
from prospect_rl.agents.offline.cde.base import AnyAction
from prospect_rl.agents.offline.weighted import Weighted
from prospect_rl.agents.online.ppo import PPO
from prospect_rl.agents.online.sac import GaussianActor, SACUpdates
from prospect_rl.agents.online.td3 import TD3Updates
from prospect_rl.agents.ship.player import Player
from prospect_rl.agents.ship.portable import Policy

TOLERANCE = 1e-5
"""How far an action may differ from the player's, in units of half the width of its bounds."""
Arrays = dict[str, np.ndarray]


def policy_of(player: Player) -> Policy:
    """The player's policy in NumPy. Raises ValueError where it is no feed-forward network known here."""
    agent, behaviour = player.agent, player.behaviour
    about: dict[str, Any] = {
        "agent": type(agent).__name__, "env": player.spec.id, "activation": "relu", "last": "tanh", "draws": False,
        "clip": None, "choices": isinstance(player.spec.action, Discrete), "parts": [part(player.spec.obs)],
        "start": getattr(player.spec.action, "start", 0),
    }  # fmt: skip
    arrays = limits(player.spec.action)
    if isinstance(agent, Neuroevolution):
        about["activation"] = "tanh"
        # tanh((x W + b) / 2), b the same for all: halve both
        layers = [(w * 0.5, np.full(w.shape[1], b * 0.5)) for w, b in mlp.unpack(behaviour, agent.sizes)]
    elif isinstance(agent, Weighted) or (
        isinstance(agent, TD3Updates | SACUpdates) and isinstance(agent.actor_network, MLP | GaussianActor)
    ):
        about["last"] = "none" if isinstance(agent, Weighted) and not agent.squashed_mean else "tanh"
        layers = dense(behaviour.actor["params"].get("MLP_0", behaviour.actor["params"]))
        size = agent.sizes[1]
        layers[-1] = (layers[-1][0][:, :size], layers[-1][1][:size])  # a Gaussian's deviation comes after its mean
    elif isinstance(agent, PPO) and not agent.remembers:
        weights = behaviour.params["params"]
        layers = dense(weights["policy"])
        about |= {"activation": agent.activation, "last": "none", "draws": not bool(behaviour.greedy)}
        about["parts"], more = encoder(player.spec.obs, weights.get("encoder", {}))
        arrays |= more | ({"log_std": weights["log_std"]} if "log_std" in weights else {})
        if behaviour.seen is not None:
            arrays |= {"mean": behaviour.seen.mean, "std": behaviour.seen.std}
            about["clip"] = 10
    elif isinstance(agent, BC):
        layers = dense(behaviour["params"])
        about["last"] = "none" if agent.scale is None else "tanh"
    elif isinstance(agent, AnyAction):
        more, layers, kept = learned_offline(player, agent)
        about, arrays = about | more, arrays | kept
    else:
        why = "it keeps a memory" if getattr(agent, "remembers", False) else "it is no feed-forward network known here"
        raise ValueError(f"the policy of {type(agent).__name__} cannot be written in NumPy: {why}")
    if isinstance(agent, Offline) and isinstance(player.spec.obs, Box) and behaviour.mean.size:
        arrays |= {name: getattr(behaviour, name).reshape(player.spec.obs.shape) for name in ("mean", "std")}
    for i, (weight, bias) in enumerate(layers):
        arrays |= {f"layer{i}/weight": weight, f"layer{i}/bias": bias}
    policy = Policy({name: np.asarray(x) for name, x in {**arrays, "about": json.dumps(about)}.items()})
    check(policy, player)
    return policy


def learned_offline(player: Player, agent: AnyAction) -> tuple[dict[str, Any], list[tuple[Any, Any]], Arrays]:
    """(what is said of it, layers, arrays besides) of OptiDICE's and CDE's policies."""
    space, behaviour = player.spec.obs, player.behaviour
    weights, arrays = behaviour.actor["params"], {}
    about: dict[str, Any] = {"last": "tanh" if agent.squash else "none"}
    if agent.chooses:
        parts, arrays = encoder(space, weights.get("Encoder_0", {}))
        about, weights = {"last": "none", "parts": parts}, weights["Critic_0"]
    # a Gaussian's mean comes before its deviation
    return about, dense(weights["Body_0"]) + dense({"Dense_0": weights["Dense_0"]}), arrays


def check(policy: Policy, player: Player, count: int = 16) -> None:
    """Raise ValueError unless both do the same at some random observations."""
    generator, space = np.random.default_rng(0), player.spec.action
    for _ in range(count):
        obs = sample(player.spec.obs, generator)
        wanted, out = player.predict(obs, deterministic=True)[0], policy.output(obs)
        if isinstance(space, Box):
            error = np.max(np.abs(policy(obs, deterministic=True) - wanted) / np.maximum(policy.arrays["half"], 1))
        else:
            error = np.max(out) - out[wanted - policy.about["start"]]  # of two choices alike, either will do
        if not error <= TOLERANCE * max(1.0, float(np.max(np.abs(out)))):
            raise ValueError(f"the policy of {type(player.agent).__name__} in NumPy does not act as the agent does")


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


# --- parts -------------------------------------------------------------------------------------------


def limits(space: Any) -> Arrays:
    """What brings a network's output [A] into the bounds of an action space: as it is where there are none."""
    if not isinstance(space, Box):
        return {}
    low, high = space.bounds()
    ends = dict(zip(("low", "high"), space.bounds(space.outside), strict=True))
    if not np.all(np.isfinite(low) & np.isfinite(high)):
        return ends | {"centre": np.zeros_like(low), "half": np.ones_like(low)}
    return ends | {"centre": (low + high) / 2, "half": (high - low) / 2}


def dense(params: Tree) -> list[tuple[Any, Any]]:
    """(weight, bias) of the layers of a linen MLP or head, in order."""
    return [(params[f"Dense_{i}"]["kernel"], params[f"Dense_{i}"]["bias"]) for i in range(len(params))]


def part(space: Any, path: tuple[str, ...] = (), divisor: float = 1.0) -> dict[str, Any]:
    """An observation as plain numbers."""
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
    if len(space.shape) < 3:
        return [one], {}
    names = {"embedding": ("Dense_0", "kernel"), "weight": ("Dense_1", "kernel"), "bias": ("Dense_1", "bias")}
    return [one], {f"part{at}/{name}": params[layer][leaf] for name, (layer, leaf) in names.items()}
