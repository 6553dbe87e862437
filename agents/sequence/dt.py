"""Return-conditioned baselines: the decision transformer, and RATE with a memory.

    tokens of a step: (the previous action, the return to go, the observation); the action is predicted from the last
    learning: the return to go is that of the data.  Acting: `target_return` minus the rewards so far

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
    """The memory of an episode."""

    target: Array
    """[] return to go, before the last reward is known."""
    trunk: Any
    """Memory of the trunk (the network's layers)."""


@dataclass(frozen=True, kw_only=True)
class DT(BCTransformer):
    """The decision transformer: predicts actions for a requested return, over the last `context` steps."""

    target_return: float = 1.0
    """Return that the policy is asked to reach in evaluation."""
    return_scale: float = hyper(1.0, above=0)
    """Divisor of returns before they enter the network."""

    token_names: ClassVar[tuple[str, ...]] = ("action", "return", "obs")
    """Inputs of a step that become tokens."""

    def prepare(self, dataset: Dataset) -> Dataset:
        """The dataset with the return to go in every row."""
        reward = np.asarray(dataset.rows["reward"], np.float64)
        total = np.append(np.cumsum(reward), 0.0)  # index -1: the sum before row 0
        firsts = np.asarray(dataset.firsts)
        ends = np.append(firsts[1:], len(reward))
        until_end = np.repeat(total[ends - 1], ends - firsts)
        to_come = jnp.asarray(until_end - total[np.arange(len(reward)) - 1], jnp.float32)
        return Dataset({**dataset.rows, "return": to_come}, dataset.firsts)

    def memory(self, behaviour: Tree, key: Key) -> Memory:
        """The target return, and the trunk's memory."""
        return Memory(jnp.float32(self.target_return), super().memory(behaviour, key))

    def act(self, behaviour: Tree, memory: Memory, inputs: Inputs, key: Key) -> tuple[Array, Memory, Tree]:
        """The action predicted for the remaining target return."""
        target = memory.target - inputs.reward
        seen = {
            "obs": inputs.obs, "action": inputs.action, "first": inputs.first, "return": target / self.return_scale,
        }  # fmt: skip
        out, trunk = self.stepped(behaviour, memory.trunk, seen)
        return self.choice(out, key), Memory(target, trunk), ()

    def inputs_of(self, rows: dict[str, Tree]) -> dict[str, Tree]:
        """The network's inputs, with the return to go."""
        return super().inputs_of(rows) | {"return": rows["return"] / self.return_scale}


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
    """Number of tokens before a segment that each layer attends to (C), three for each step."""
    valve: int = hyper(1, least=0)
    """Number of heads of the memory retention valve; 0 means no valve."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.valve and self.width % self.valve:
            raise ValueError(f"valve must divide the width {self.width}, {self.valve} does not")

    @property
    def trunk(self) -> Transformer:
        """A transformer with segments between memory tokens, and a cache."""
        return self.transformer(memories=self.memories, cache=self.cache, valve=self.valve)
