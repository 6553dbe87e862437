"""POPGym's Concentration: find pairs among cards that lie face down. Rules: popgym 1.0.7."""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Box, Discrete, Key, Spec, Step, static
from prospect_rl.envs.memory.cards import KINDS, CardGame, draw, whole, without

UNSEEN = -1


@struct.dataclass
class Table:
    """State of Concentration."""

    kinds: Array
    """[cards] int8 what lies in each place; -1 where no card was turned yet."""
    left: Array
    """[kinds] int32 cards of each kind in those places."""
    up: Array
    """[cards] bool: found, and face up for good."""
    first: Array
    """[] int32 the place turned in the step before, or -1."""
    time: Array
    """[] int32 steps so far."""


@struct.dataclass
class Concentration(CardGame):
    """Turn two cards after each other; a pair of one kind stays face up.

    Observation [cards x (kinds + 1)]: for each place, one-hot, the kind that is up there, or the last number for none.
    Action: a place. A pair pays 2 / cards; two cards that are none cost 2 / T; a card that is up already ends the try
    and costs 1 / T for each card of it. Ends when all are up, or after T steps. Success: all are up.

    What lies in a place is drawn when it is first turned, from the cards that are left.
    """

    face: Literal["colors", "ranks"] = static("colors")
    """What must match: colors or ranks (of 13 suits' cards one would be left over)."""

    @property
    def kinds(self) -> int:
        """How many."""
        return KINDS[self.face]

    @property
    def spec(self) -> Spec:
        """Static facts."""
        n = self.cards
        horizon = math.ceil(2 * n - n / (2 * n - 1))
        return Spec(self.id, Box((n * (self.kinds + 1),), 0.0, 1.0), Discrete(n), horizon=horizon)

    def reset(self, key: Key) -> tuple[Table, Array]:
        """All cards face down; nothing is drawn."""
        down = jnp.zeros(self.cards, bool)
        kinds = jnp.full(self.cards, UNSEEN, jnp.int8)
        state = Table(kinds, whole(self.kinds, self.decks), down, jnp.int32(UNSEEN), jnp.int32(0))
        return state, self._observe(state, down)

    def _observe(self, state: Table, seen: Array) -> Array:
        shown = jnp.where(seen, state.kinds.astype(jnp.int32), self.kinds)
        return (shown[:, None] == jnp.arange(self.kinds + 1)).astype(jnp.float32).reshape(-1)

    def step(self, state: Table, action: Array, key: Key) -> tuple[Table, Step]:
        """Turns a card."""
        some = (jnp.sum(state.left) == 0).astype(jnp.int32)  # all are known: a draw is made, and forgotten
        return self.resolve(state, action, draw(state.left + some, jax.random.bits(key)))

    def resolve(self, state: Table, action: Array, card: Array) -> tuple[Table, Step]:
        """`step` with the kind [] of the card in that place (of no account where it is known)."""
        here = jnp.arange(self.cards) == action
        known = jnp.max(jnp.where(here, state.kinds, UNSEEN)).astype(jnp.int32)
        card = jnp.where(known == UNSEEN, card, known)
        left = jnp.where(known == UNSEEN, without(state.left, card), state.left)
        kinds = jnp.where(here, card.astype(jnp.int8), state.kinds)
        second = state.first != UNSEEN
        there = jnp.arange(self.cards) == state.first
        turned = here | there
        partner = jnp.max(jnp.where(there, state.kinds, UNSEEN)).astype(jnp.int32)

        again = jnp.any(here & state.up)
        pair = second & ~again & (card == partner) & (action != state.first)
        over = again | second
        cost = jnp.where(over & ~pair, jnp.where(second, 2.0, 1.0), 0.0) * jnp.float32(1 / self.spec.horizon)
        reward = jnp.where(pair, jnp.float32(2 / self.cards), -cost)
        up = state.up | (pair & turned)
        time = state.time + 1
        success = jnp.all(up)
        first = jnp.where(over, UNSEEN, action).astype(jnp.int32)
        after = Table(kinds, left, up, first, time)
        truncated = (time >= self.spec.horizon) & ~success
        return after, Step(self._observe(after, state.up | turned), reward, success, truncated, {"success": success})
