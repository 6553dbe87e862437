"""Tiny datasets: one as it stands, and two recipes that can be told to spoil theirs."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl import envs
from prospect_rl.envs.api import Dataset


def dataset() -> Dataset:
    obs = jax.random.rademacher(jax.random.key(5), (40, 2), float)
    ends = jnp.arange(40) % 10 == 9
    rows = {
        "obs": obs, "action": -obs, "reward": jnp.zeros(40), "terminated": jnp.zeros(40, bool),
        "truncated": ends,
    }  # fmt: skip
    return Dataset(rows=rows | {"next_obs": obs}, firsts=jnp.arange(0, 40, 10, dtype=jnp.int32))


@dataclass(frozen=True)
class Cues:
    """A recipe: whole episodes of `probe/memory`, with the right answer at the end."""

    delay: int = 2
    """Of the environment."""
    episodes: int = 8
    """How many."""
    seed: int = 0
    """Of the cues."""
    spoil: str = ""
    """What is wrong with the data."""

    def build(self) -> Dataset:
        length, rng = self.delay + 1, np.random.default_rng(self.seed)
        cue = rng.choice(np.float32([-1, 1]), self.episodes)
        obs = np.zeros((self.episodes, length, 2), np.float32)
        obs[:, 0, 0], obs[:, -1, 1] = cue, 1
        action = np.repeat((cue > 0).astype(np.int32), length)
        last = np.tile(np.arange(length) == self.delay, self.episodes)
        rows = {
            "obs": obs.reshape(-1, 2), "action": action, "reward": last.astype(np.float32), "terminated": last,
            "truncated": np.zeros_like(last),
        }  # fmt: skip
        firsts = np.arange(0, len(last), length, dtype=np.int32)
        if self.spoil in rows:
            del rows[self.spoil]
        elif self.spoil == "nan":
            rows["obs"][5, 1] = np.nan
        elif self.spoil == "length":
            rows["reward"] = rows["reward"][1:]
        elif self.spoil == "both":
            rows["truncated"] = last
        elif self.spoil == "empty":
            rows, firsts = {key: x[:0] for key, x in rows.items()}, firsts[:0]
        elif self.spoil == "firsts":
            firsts = firsts[::-1].copy()
        return Dataset(rows, firsts)


@dataclass(frozen=True)
class Steps:
    """A recipe: random episodes of an environment's spaces, each with its successors; the last ones are cut."""

    env: str = "point/sparse"
    """Its registered id."""
    seed: int = 0
    """Of all that is drawn."""
    successors: bool = True
    """Keep `next_obs`."""
    spoil: str = ""
    """What is wrong with the data."""

    def build(self) -> Dataset:
        lengths, spec = (4, 1, 3), envs.make(self.env).spec
        draw = [jax.vmap(x.sample)(jax.random.split(jax.random.key(self.seed), 11)) for x in (spec.obs, spec.action)]
        seen, action = map(np.asarray, draw)
        ends = np.cumsum(lengths) - 1
        first = np.arange(8) + np.repeat(np.arange(3), lengths)  # an episode of n rows has n + 1 observations
        last = np.isin(np.arange(8), ends)
        rows = {
            "obs": seen[first].copy(), "action": action[:8], "reward": np.linspace(0, 1, 8, dtype=np.float32),
            "terminated": last & (np.arange(8) < 5), "truncated": last & (np.arange(8) >= 5),
            "next_obs": seen[first + 1].copy(),
        }  # fmt: skip
        if not self.successors:
            del rows["next_obs"]
        elif self.spoil == "next":
            rows["next_obs"][0] += 1
        elif self.spoil == "more":
            rows["colour"] = np.zeros(8)
        elif self.spoil == "end":
            rows["truncated"] = np.zeros(8, bool)
        elif self.spoil == "nan":
            rows["obs"][1] = np.nan
        return Dataset(rows, (ends - np.array(lengths) + 1).astype(np.int32))
