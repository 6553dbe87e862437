"""Rivals with a hidden state: an LSTM, a GRU, and the latch, an oracle that keeps the first token of an episode.

The latch is no method but a control: it solves every task whose only secret is shown at the first step.
Source: Hochreiter and Schmidhuber 1997; Cho et al. 2014. Initial states are zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from prospect_rl.agents.api import Array, Key, Tree, hyper
from prospect_rl.agents.nn.trunk import Trunk
from prospect_rl.agents.sequence.attention import Dense
from prospect_rl.agents.sequence.imitation import SequenceBC, State


class Recurrent(Trunk):
    """An RNN; its memory is its carry."""

    cell: Any = nn.LSTMCell
    """Class of the cell."""

    def setup(self) -> None:
        """The parts."""
        self.unit = self.cell(self.width)

    def start(self, key: Key) -> Tree:
        """Zeros."""
        zeros = jnp.zeros(self.width)
        return (zeros, zeros) if self.cell is nn.LSTMCell else zeros

    def segment(self, carry: Tree, tokens: Array, length: Array | int | None = None) -> tuple[Array, Tree]:
        """The cell, step by step."""
        run = nn.scan(lambda cell, carry, x: cell(carry, x), variable_broadcast="params", split_rngs={"params": False})
        carry, features = run(self.unit, carry, tokens[:, 0])
        return features, carry

    def open(self, key: Key) -> Tree:
        """Zeros."""
        return self.start(key)

    def step(self, memory: Tree, token: Array) -> tuple[Array, Tree]:
        """The cell, once."""
        memory, features = self.unit(memory, token[0])
        return features, memory


class Latch(Trunk):
    """(the first token of the episode, whether there is one), and a layer over it and the present token."""

    def setup(self) -> None:
        """The parts."""
        self.hidden, self.out = Dense(2 * self.width), Dense(self.width)

    def start(self, key: Key) -> Tree:
        """Empty."""
        return jnp.zeros(self.width), jnp.zeros((), bool)

    def segment(self, carry: Tree, tokens: Array, length: Array | int | None = None) -> tuple[Array, Tree]:
        """All steps at once."""
        kept, full = carry
        kept = jnp.where(full, kept, tokens[0, 0])
        both = jnp.concatenate([tokens[:, 0], jnp.broadcast_to(kept, tokens[:, 0].shape)], axis=-1)
        return nn.relu(self.out(nn.relu(self.hidden(both)))), (kept, jnp.ones((), bool))

    def open(self, key: Key) -> Tree:
        """Empty."""
        return self.start(key)

    def step(self, memory: Tree, token: Array) -> tuple[Array, Tree]:
        """A segment of one step."""
        features, memory = self.segment(memory, token[None])
        return features[0], memory


@dataclass(frozen=True, kw_only=True)
class BCLSTM(SequenceBC):
    """Behaviour cloning with an LSTM."""

    forget_bias: float = hyper(1.0)
    """First bias of the forget gate; at 0 an untrained cell forgets half of what it holds at every step."""

    def init(self, key: Key) -> State:
        """Random weights, with that bias."""
        state = super().init(key)

        def put(path: tuple[Any, ...], leaf: Array) -> Array:
            names = [part.key for part in path[-2:]]
            return jnp.full_like(leaf, self.forget_bias) if names == ["hf", "bias"] else leaf

        return replace(state, params=jax.tree_util.tree_map_with_path(put, state.params))

    @property
    def trunk(self) -> Recurrent:
        """An LSTM."""
        return Recurrent(self.width, self.context, cell=nn.LSTMCell)


@dataclass(frozen=True, kw_only=True)
class BCGRU(SequenceBC):
    """Behaviour cloning with a GRU."""

    @property
    def trunk(self) -> Recurrent:
        """A GRU."""
        return Recurrent(self.width, self.context, cell=nn.GRUCell)


@dataclass(frozen=True, kw_only=True)
class LatchBC(SequenceBC):
    """Behaviour cloning with the first observation kept at hand: an oracle for tasks that show their cue there."""

    @property
    def trunk(self) -> Latch:
        """The latch."""
        return Latch(self.width, self.context)
