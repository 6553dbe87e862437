"""A law as named coefficients, in JSON that is exact: every number is read back to the same bits.

env, agent               where it was learned, and by what
readings                 what acts, in words: `trained` as the agent was, `linear` as printed; or `choices`
gate                     whether the winner's probability scales what its expert gives
observation              names of the features, and parts: how an observation becomes them (see agents.ship.portable)
action                   names of the components with low, high and dtype, or of the choices with their start
router                   an expert each: bias, and weights by feature
experts                  an expert each: mean (or logits) and log_std by action, each with bias, and weights by feature
"""

from __future__ import annotations

import json
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.api import Box, Spec
from prospect_rl.agents.online.smose.names import names_of
from prospect_rl.agents.online.smose.policy import Law, is_finite
from prospect_rl.agents.ship.portable import Policy
from prospect_rl.agents.ship.to_numpy import Arrays, encoder, limits, part

Facts = dict[str, Any]
WORDS = {
    "trained": "the expert with the largest probability p acts: tanh(p * mean), scaled from [-1, 1] to low and high",
    "linear": "the expert with the largest probability acts: its mean, clipped to [-1, 1] and scaled to low and high",
    "choices": "the expert with the largest probability acts: the choice with its largest mean",
}
"""What a reading is."""


def written(law: Law, spec: Spec, agent: str) -> Facts:
    """A law as JSON. Raises ValueError, in one line, where a coefficient is not a finite number."""
    if not is_finite(law):
        raise ValueError(f"the law of this {agent} has coefficients that are not finite numbers")
    features, actions = names_of(spec)
    readings = ("trained", "linear") if isinstance(spec.action, Box) else ("choices",)
    router = [_line(law.router_kernel[:, m], law.router_bias[m], features) for m in range(len(law.router_bias))]
    return {
        "env": spec.id, "agent": agent, "readings": {name: WORDS[name] for name in readings}, "gate": law.gate,
        "observation": {"names": list(features), "parts": json.loads(json.dumps(parts_of(spec)))},
        "action": _action(spec, actions), "router": router,
        "experts": [_expert(law, m, features, actions) for m in range(len(router))],
    }  # fmt: skip


def parts_of(spec: Spec) -> list[Facts]:
    """How an observation becomes the features of a law."""
    plain = isinstance(spec.obs, Box) and isinstance(spec.action, Box)
    return [part(spec.obs)] if plain else encoder(spec.obs, {})[0]


def _line(kernel: Any, bias: Any, features: tuple[str, ...]) -> Facts:
    numbers = np.asarray(kernel).astype(float)
    return {"bias": float(bias), "weights": dict(zip(features, numbers.tolist(), strict=True))}


def _expert(law: Law, m: int, features: tuple[str, ...], actions: tuple[str, ...]) -> Facts:
    of = {"mean": (law.mean_kernel, law.mean_bias), "log_std": (law.log_std_kernel, law.log_std_bias)}
    return {
        name: {word: _line(kernel[m][:, a], bias[m][a], features) for a, word in enumerate(actions)}
        for name, (kernel, bias) in of.items() if kernel is not None and bias is not None
    }  # fmt: skip


def _action(spec: Spec, names: tuple[str, ...]) -> Facts:
    space = spec.action
    if not isinstance(space, Box):
        return {"names": list(names), "start": getattr(space, "start", 0)}
    low, high = (x.tolist() for x in space.bounds("float32"))
    return {"names": list(names), "low": low, "high": high, "dtype": space.outside or space.dtype}


# --- and back ----------------------------------------------------------------------------------------


def read(facts: Facts) -> Law:
    """The law of such JSON. Raises ValueError, in one line, where it is none."""
    try:
        features, action = facts["observation"]["names"], facts["action"]
        router = _table(facts["router"], features)
        tables = {
            name: [_table([expert[name][word] for word in action["names"]], features) for expert in facts["experts"]]
            for name in ("mean", "log_std") if name in facts["experts"][0]
        }  # fmt: skip
        stacked = {name: [jnp.asarray(np.stack(x)) for x in zip(*table, strict=True)] for name, table in tables.items()}
        bounds = [jnp.asarray(action[end], jnp.float32) for end in ("low", "high") if end in action]
        spread, (low, high) = stacked.get("log_std", (None, None)), bounds or (None, None)
        return Law(
            *map(jnp.asarray, router), *stacked["mean"], log_std_kernel=spread[0], log_std_bias=spread[1], low=low,
            high=high, start=action.get("start", 0), gate=bool(facts["gate"]),
        )  # fmt: skip
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise ValueError("this is no law as prospect export --json writes it") from None


def _table(lines: list[Facts], features: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(kernel [features, lines], bias [lines])."""
    kernel = [[line["weights"][name] for line in lines] for name in features]
    return np.array(kernel, np.float32), np.array([line["bias"] for line in lines], np.float32)


def policy_of(facts: Facts, reading: Literal["trained", "linear"] = "trained") -> Policy:
    """The policy in NumPy alone of such JSON."""
    law, action = read(facts), facts["action"]
    arrays = experts(law)
    if law.low is not None:
        arrays |= limits(
            Box((len(action["low"]),), tuple(action["low"]), tuple(action["high"]), outside=action["dtype"])
        )
    squashed = reading == "trained" and law.low is not None
    about = {
        "agent": facts["agent"], "env": facts["env"], "activation": "relu", "draws": False, "clip": None,
        "last": "tanh" if squashed else "none", "choices": law.low is None, "start": law.start,
        "parts": facts["observation"]["parts"], "gate": law.gate and reading != "linear",
    }  # fmt: skip
    return Policy({name: np.asarray(x) for name, x in {**arrays, "about": json.dumps(about)}.items()})


def experts(law: Law) -> Arrays:
    """The arrays of router and experts in a policy in NumPy."""
    return {
        "router/weight": law.router_kernel, "router/bias": law.router_bias,
        "expert/weight": law.mean_kernel, "expert/bias": law.mean_bias,
    }  # fmt: skip
