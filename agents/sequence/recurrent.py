"""Baselines with a hidden state: an LSTM, a GRU, and a latch that stores the first token of an episode.

The latch is not a method but an oracle: it solves every task whose only hidden information is shown at the first step.
Source: Hochreiter and Schmidhuber 1997; Cho et al. 2014. Initial states are zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key, Tree, hyper
from prospect_rl.agents.cloning import State
from prospect_rl.agents.nn.trunk import Trunk
from prospect_rl.agents.sequence.attention import Dense
from prospect_rl.agents.sequence.imitation import SequenceBC


class Recurrent(Trunk):
    """A trunk of one recurrent cell; its memory is its carry."""

    cell: Any = nn.LSTMCell
    """Class of the recurrent cell (LSTM or GRU)."""

    def setup(self) -> None:
        """Make the recurrent cell."""
        self.unit = self.cell(self.width)

    def start(self, key: Key) -> Tree:
        """The initial state of zeros."""
        zeros = jnp.zeros(self.width)
        return (zeros, zeros) if self.cell is nn.LSTMCell else zeros

    def segment(self, carry: Tree, tokens: Array, length: Array | int | None = None) -> tuple[Array, Tree]:
        """The cell applied step by step."""
        run = nn.scan(lambda cell, carry, x: cell(carry, x), variable_broadcast="params", split_rngs={"params": False})
        carry, features = run(self.unit, carry, tokens[:, 0])
        return features, carry

    def open(self, key: Key) -> Tree:
        """The initial state of zeros."""
        return self.start(key)

    def step(self, memory: Tree, token: Array) -> tuple[Array, Tree]:
        """The cell applied once."""
        memory, features = self.unit(memory, token[0])
        return features, memory


class Latch(Trunk):
    """A trunk that stores the first token of the episode and applies a layer to it and the current token."""

    def setup(self) -> None:
        """Make the two layers."""
        self.hidden, self.out = Dense(2 * self.width), Dense(self.width)

    def start(self, key: Key) -> Tree:
        """An empty latch: (token, whether it is filled)."""
        return jnp.zeros(self.width), jnp.zeros((), bool)

    def segment(self, carry: Tree, tokens: Array, length: Array | int | None = None) -> tuple[Array, Tree]:
        """All steps of a segment at once."""
        stored, full = carry
        stored = jnp.where(full, stored, tokens[0, 0])
        both = jnp.concatenate([tokens[:, 0], jnp.broadcast_to(stored, tokens[:, 0].shape)], axis=-1)
        return nn.relu(self.out(nn.relu(self.hidden(both)))), (stored, jnp.ones((), bool))

    def open(self, key: Key) -> Tree:
        """An empty latch: (token, whether it is filled)."""
        return self.start(key)

    def step(self, memory: Tree, token: Array) -> tuple[Array, Tree]:
        """A segment with one step."""
        features, memory = self.segment(memory, token[None])
        return features[0], memory


@dataclass(frozen=True, kw_only=True)
class BCLSTM(SequenceBC):
    """Behaviour cloning with an LSTM."""

    forget_bias: float = hyper(1.0)
    """Initial bias of the forget gate; at 0 an untrained cell forgets half of its state at every step."""

    def init(self, key: Key) -> State:
        """A network with random weights and this forget bias."""
        state = super().init(key)

        def put(path: tuple[Any, ...], leaf: Array) -> Array:
            names = [part.key for part in path[-2:]]
            return jnp.full_like(leaf, self.forget_bias) if names == ["hf", "bias"] else leaf

        return replace(state, params=jax.tree_util.tree_map_with_path(put, state.params))

    @property
    def trunk(self) -> Recurrent:
        """A trunk with an LSTM cell."""
        return Recurrent(self.width, self.context, cell=nn.LSTMCell)


@dataclass(frozen=True, kw_only=True)
class BCGRU(SequenceBC):
    """Behaviour cloning with a GRU."""

    @property
    def trunk(self) -> Recurrent:
        """A trunk with a GRU cell."""
        return Recurrent(self.width, self.context, cell=nn.GRUCell)


@dataclass(frozen=True, kw_only=True)
class LatchBC(SequenceBC):
    """Behaviour cloning with the first observation stored: an oracle for tasks that show their cue at first."""

    @property
    def trunk(self) -> Latch:
        """The latch as a trunk."""
        return Latch(self.width, self.context)
