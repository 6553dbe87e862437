"""A trained policy in NumPy alone: one observation in, one action out. It needs no other file of Prospect.

    from policy import Policy
    policy = Policy("policy.npz")
    action = policy(obs)

Weights and their description are arrays of one .npz file, written by `prospect export RUN --numpy FOLDER`:

    about                       JSON: parts (how the observation becomes a vector), activation, last, choices and their
                                start, draws, clip (of normalised observations)
    part<i>/embedding, weight, bias       of a part that is an image of category codes
    mean, std                   of observations, if these are normalised
    router/weight, bias         [in, experts], [experts] of a policy of linear experts, of which the router's first acts
    expert/weight, bias         [experts, in, out], [experts, out]; `gate` of the description says whether what it gives
                                is multiplied by its probability
    layer<i>/weight, bias       [in, out], [out]
    low, high, centre, half     of vector actions, which have the type of low; log_std if actions are sampled
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ACTIVATIONS = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}
"""Activation functions by their name in the description."""


class Policy:
    """A feed-forward policy. Where the agent samples its actions, so does this, with NumPy's random numbers."""

    def __init__(self, weights: str | Path | Mapping[str, np.ndarray], seed: int | None = None) -> None:
        if isinstance(weights, str | Path):
            with np.load(weights, allow_pickle=False) as file:
                weights = dict(file)
        self.arrays = dict(weights)
        self.about: dict[str, Any] = json.loads(str(self.arrays["about"]))
        self.layers = sum(name.startswith("layer") for name in self.arrays) // 2
        self.activation = ACTIVATIONS[self.about["activation"]]
        self.generator = np.random.default_rng(seed)

    def save(self, path: str | Path) -> None:
        """Write the .npz file."""
        np.savez(path, allow_pickle=False, **self.arrays)

    def __call__(self, obs: Any, deterministic: bool = False) -> Any:
        """The action, an int or a vector within its bounds. deterministic: the most likely one even if it samples."""
        out, a = self.output(obs), self.arrays
        draws = self.about["draws"] and not deterministic
        if self.about["choices"]:
            drawn = out + self.generator.gumbel(size=out.shape) if draws else out
            return int(np.argmax(drawn)) + self.about.get("start", 0)
        if draws:
            out = out + np.exp(a["log_std"]) * self.generator.standard_normal(out.shape)
        return np.clip((a["centre"] + a["half"] * out).astype(a["low"].dtype), a["low"], a["high"])

    def output(self, obs: Any) -> np.ndarray:
        """The output [A]: logits of discrete actions, or the (mean) action before it is scaled to its bounds."""
        x = np.concatenate([self._encoded(i, part, obs) for i, part in enumerate(self.about["parts"])])
        if "router/weight" in self.arrays:
            x = self._expert(x)
        for i in range(self.layers):
            x = self._times(f"layer{i}", x)
            x = self.activation(x) if i < self.layers - 1 else x
        return np.tanh(x) if self.about["last"] == "tanh" else x

    def _expert(self, x: np.ndarray) -> np.ndarray:
        """What the expert gives that the router puts first."""
        a, logits = self.arrays, self._times("router", x)
        first = logits.argmax()
        out = x @ a["expert/weight"][first] + a["expert/bias"][first]
        return out / np.exp(logits - logits[first]).sum() if self.about["gate"] else out

    def _times(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.arrays[f"{name}/weight"] + self.arrays[f"{name}/bias"]

    def _encoded(self, number: int, part: dict[str, Any], obs: Any) -> np.ndarray:
        """One part of an observation as a vector."""
        for name in part["path"]:
            obs = obs[name]
        x = np.asarray(obs)
        if list(x.shape) != part["shape"]:
            raise ValueError(f"an observation must have shape {tuple(part['shape'])}, not {x.shape}")
        if part["kind"] == "numbers":
            x = x.astype(np.float32)
            if "mean" in self.arrays:
                x = (x - self.arrays["mean"]) / self.arrays["std"]
                x = x if self.about["clip"] is None else np.clip(x, -self.about["clip"], self.about["clip"])
            return x.ravel() / np.float32(part["divisor"])
        if not part["shape"]:  # a choice
            x = x.astype(np.int64) - part.get("start", 0)
            if not 0 <= x < part["codes"][0]:
                raise ValueError(f"an observation has numbers outside its space: {obs}")
        codes = [np.atleast_1d(x)[..., c, None] == np.arange(n) for c, n in enumerate(part["codes"])]
        hot = np.concatenate(codes, axis=-1).astype(np.float32)
        if (embedding := f"part{number}/embedding") not in self.arrays:
            return hot.ravel()
        return self.activation(self._times(f"part{number}", (hot @ self.arrays[embedding]).ravel()))
