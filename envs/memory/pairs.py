"""POPGym's Concentration: find pairs among face-down cards, with the rules of popgym 1.0.7."""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Box, Discrete, Key, Spec, Step, static
from prospect_rl.envs.memory.cards import KINDS, CardGame, draw, full_deck, removed

UNSEEN = -1
"""Stands for a card that was not turned yet, or for no place."""


@struct.dataclass
class ConcentrationState:
    """The state of an episode of Concentration."""

    kinds: Array
    """[cards] int8 kind of the card in each place; -1 if it is not known yet."""
    left: Array
    """[kinds] int32 number of cards of each kind that were not turned yet."""
    up: Array
    """[cards] bool, whether the card is matched and stays face up."""
    first: Array
    """[] int32 place of the first card of the current pair, or -1."""
    time: Array
    """[] int32 steps taken so far."""


@struct.dataclass
class Concentration(CardGame):
    """Turn two cards, one after the other; a matching pair stays face up.

    Observation [cards x (kinds + 1)]: for each place, one-hot, the kind of the card that is face up there, or the last
    number if it is face down. Action: a place. Reward, with T the time limit in steps: 2 / cards for a pair, -2 / T for
    two cards that do not match; turning a card that is already face up ends the attempt and costs 1 / T for each card
    turned in it. The episode terminates when all cards are face up, which is success; it is truncated after T steps.

    The card in a place is drawn from the remaining cards when the place is first turned.
    """

    face: Literal["colors", "ranks"] = static("colors")
    """What must match in a pair: colors or ranks (13 cards per suit would leave one over)."""

    @property
    def kinds(self) -> int:
        """The number of kinds of cards."""
        return KINDS[self.face]

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        n = self.cards
        horizon = math.ceil(2 * n - n / (2 * n - 1))
        return Spec(self.id, Box((n * (self.kinds + 1),), 0.0, 1.0), Discrete(n), horizon=horizon)

    def reset(self, key: Key) -> tuple[ConcentrationState, Array]:
        """Start with all cards face down; nothing is random."""
        down = jnp.zeros(self.cards, bool)
        kinds = jnp.full(self.cards, UNSEEN, jnp.int8)
        state = ConcentrationState(kinds, full_deck(self.kinds, self.decks), down, jnp.int32(UNSEEN), jnp.int32(0))
        return state, self._observe(state, down)

    def _observe(self, state: ConcentrationState, seen: Array) -> Array:
        shown = jnp.where(seen, state.kinds.astype(jnp.int32), self.kinds)
        return (shown[:, None] == jnp.arange(self.kinds + 1)).astype(jnp.float32).reshape(-1)

    def step(self, state: ConcentrationState, action: Array, key: Key) -> tuple[ConcentrationState, Step]:
        """Turn a card."""
        some = (jnp.sum(state.left) == 0).astype(jnp.int32)  # if all cards are known, the draw is not used
        return self.resolve(state, action, draw(state.left + some, jax.random.bits(key)))

    def resolve(self, state: ConcentrationState, action: Array, card: Array) -> tuple[ConcentrationState, Step]:
        """Do as `step`, with the given kind [] of the card in that place (not used if the card is known)."""
        here = jnp.arange(self.cards) == action
        known = jnp.max(jnp.where(here, state.kinds, UNSEEN)).astype(jnp.int32)
        card = jnp.where(known == UNSEEN, card, known)
        left = jnp.where(known == UNSEEN, removed(state.left, card), state.left)
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
        after = ConcentrationState(kinds, left, up, first, time)
        truncated = (time >= self.spec.horizon) & ~success
        return after, Step(self._observe(after, state.up | turned), reward, success, truncated, {"success": success})
