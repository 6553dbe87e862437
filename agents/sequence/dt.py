"""Rivals that are told what return to reach: the decision transformer, and RATE on a memory.

    tokens of a step: (the action before, the return still to come, the observation); the action is read off the last
    learning: the return still to come is that of the data.  Acting: `target_return` less the rewards so far

Source: Chen et al. 2021, arXiv 2106.01345; Cherepanov et al. 2024, arXiv 2306.09459. The layers:
`agents.sequence.transformer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.agents.api import Array, Dataset, Inputs, Key, Tree, hyper
from prospect_rl.agents.sequence.transformer import BCTransformer, Transformer


@struct.dataclass
class Memory:
    """Of an episode."""

    target: Array
    """[] the return still to come, before the last reward is known."""
    trunk: Any


@dataclass(frozen=True, kw_only=True)
class DT(BCTransformer):
    """The decision transformer: actions for a return that is asked for, over the newest `context` steps."""

    target_return: float = 1.0
    """Return that is asked for in evaluation."""
    return_scale: float = hyper(1.0, above=0)
    """Returns are divided by this before they are looked at."""

    looks: ClassVar[tuple[str, ...]] = ("action", "return", "obs")

    def prepare(self, dataset: Dataset) -> Dataset:
        """With the return still to come in every row."""
        reward = np.asarray(dataset.rows["reward"], np.float64)
        total = np.append(np.cumsum(reward), 0.0)  # the last one stands for "before row 0"
        firsts = np.asarray(dataset.firsts)
        ends = np.append(firsts[1:], len(reward))
        until_end = np.repeat(total[ends - 1], ends - firsts)
        to_come = jnp.asarray(until_end - total[np.arange(len(reward)) - 1], jnp.float32)
        return Dataset({**dataset.rows, "return": to_come}, dataset.firsts)

    def memory(self, behaviour: Tree, key: Key) -> Memory:
        """The target, and the trunk's memory."""
        return Memory(jnp.float32(self.target_return), super().memory(behaviour, key))

    def act(self, behaviour: Tree, memory: Memory, inputs: Inputs, key: Key) -> tuple[Array, Memory, Tree]:
        """As the data would for what is left of the target."""
        target = memory.target - inputs.reward
        seen = {
            "obs": inputs.obs, "action": inputs.action, "first": inputs.first, "return": target / self.return_scale,
        }  # fmt: skip
        out, trunk = self.stepped(behaviour, memory.trunk, seen)
        return self.choice(out, key), Memory(target, trunk), ()

    def seen(self, rows: dict[str, Tree]) -> dict[str, Tree]:
        """Also the return still to come."""
        return super().seen(rows) | {"return": rows["return"] / self.return_scale}


@dataclass(frozen=True, kw_only=True)
class RATE(DT):
    """The recurrent action transformer with memory: memory tokens, a cache, and a valve that retains the memory."""

    context: int = hyper(10, least=1)
    """Number of environment steps in a segment (L)."""
    segments: int = hyper(3, least=1)
    """Number of segments in a training window (S)."""
    memories: int = hyper(10, least=1)
    """Number of memory tokens (R)."""
    cache: int = hyper(30, least=0)
    """Number of tokens before a segment that each layer sees (C), three for each step."""
    valve: int = hyper(1, least=0)
    """Number of heads of the valve; 0 means without a valve."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.valve and self.width % self.valve:
            raise ValueError(f"valve must divide the width {self.width}, {self.valve} does not")

    @property
    def trunk(self) -> Transformer:
        """Segments between memory tokens, with a cache."""
        return self.transformer(memories=self.memories, cache=self.cache, valve=self.valve)
