"""POPGym's Autoencode, CountRecall and HigherLower: card games as in `envs.memory.cards`."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key, Spec, Step, static
from prospect_rl.envs.memory.cards import KINDS, CardGame, draw, one_hot, whole, without

PLAY, WATCH = 0, 1


@struct.dataclass
class Recited:
    """State of Autoencode."""

    left: Array
    """[4] int32 cards of each suit that are not yet dealt."""
    stack: Array
    """[cards] int8 suits that are still to be named, the next one first."""
    time: Array
    """[] int32 steps so far."""
    clean: Array
    """[] bool: no answer was wrong."""


@struct.dataclass
class Autoencode(CardGame):
    """Watch all cards, then name their suits from the last one to the first.

    Observation [6]: play or watch (the last card comes with play), then the suit of the card just dealt (0 in play).
    Reward +-1 / cards for a right and a wrong answer in play, 0 before. Success: no wrong answer.
    """

    @property
    def spec(self) -> Spec:
        """Static facts; actions are the four suits."""
        return self._spec(6, 4, 2 * self.cards - 1)

    def reset(self, key: Key) -> tuple[Recited, Array]:
        """Deals a card."""
        return self.begin(draw(whole(4, self.decks), jax.random.bits(key)))

    def begin(self, card: Array) -> tuple[Recited, Array]:
        """`reset` with the first card's suit []."""
        stack = jnp.zeros(self.cards, jnp.int8).at[0].set(card.astype(jnp.int8))
        state = Recited(without(whole(4, self.decks), card), stack, jnp.int32(0), jnp.ones((), bool))
        return state, one_hot((jnp.int32(WATCH), 2), (card, 4))

    def step(self, state: Recited, action: Array, key: Key) -> tuple[Recited, Step]:
        """Deals a card; in play judges the answer instead."""
        none = (jnp.sum(state.left) == 0).astype(jnp.int32)  # in play a draw is made, and forgotten, of a whole deck
        return self.resolve(state, action, draw(state.left + none, jax.random.bits(key)))

    def resolve(self, state: Recited, action: Array, card: Array) -> tuple[Recited, Step]:
        """`step` with the next card's suit [] (of no account in play)."""
        time = state.time + 1
        play = time >= self.cards
        right = action == state.stack[0]
        card = jnp.where(play, 0, card)
        pushed = jnp.concatenate([card.astype(jnp.int8)[None], state.stack[:-1]])
        popped = jnp.concatenate([state.stack[1:], jnp.zeros(1, jnp.int8)])
        clean = state.clean & (right | ~play)
        end = time >= 2 * self.cards - 1
        mode = jnp.where(time >= self.cards - 1, PLAY, WATCH)
        reward = jnp.where(play, self._answer(right, self.cards), 0.0)
        step = self._step(one_hot((mode, 2), (card, 4)), reward, end, end & clean)
        left = jnp.where(play, state.left, without(state.left, card))
        return Recited(left, jnp.where(play, popped, pushed), time, clean), step


@struct.dataclass
class Counted:
    """State of CountRecall."""

    left: Array
    """[kinds] int32 cards of each kind that are not yet dealt."""
    asked: Array
    """[kinds] int32 queries of each kind that are still to come."""
    query: Array
    """[] int32 the kind that is asked for."""
    time: Array
    """[] int32 steps so far."""
    clean: Array
    """[] bool: no answer was wrong."""


@struct.dataclass
class CountRecall(CardGame):
    """Say how many cards of a kind have been dealt, while a card and a query come at every step.

    Observation [2 kinds]: the card just dealt, and the kind that is asked for. Action: the number, 0 to all cards of a
    kind. Reward +-1 / (cards - 1) for a right and a wrong answer. Success: no wrong one. Queries come from a deck too.
    """

    face: Literal["colors", "suits", "ranks"] = static("colors")
    """What kinds are: colors, suits or ranks."""

    @property
    def kinds(self) -> int:
        """How many."""
        return KINDS[self.face]

    @property
    def spec(self) -> Spec:
        """Static facts."""
        return self._spec(2 * self.kinds, self.cards // self.kinds + 1, self.cards - 1)

    def reset(self, key: Key) -> tuple[Counted, Array]:
        """Deals a card and a query."""
        deck, bits = whole(self.kinds, self.decks), jax.random.bits(key, (2,))
        return self.begin(jnp.stack([draw(deck, bits[0]), draw(deck, bits[1])]))

    def begin(self, dealt: Array) -> tuple[Counted, Array]:
        """`reset` with the first card and query [2]."""
        deck, (card, query) = whole(self.kinds, self.decks), dealt
        state = Counted(without(deck, card), without(deck, query), query, jnp.int32(0), jnp.ones((), bool))
        return state, one_hot((card, self.kinds), (query, self.kinds))

    def counts(self, state: Counted) -> Array:
        """[kinds] the cards dealt so far."""
        return whole(self.kinds, self.decks) - state.left

    def step(self, state: Counted, action: Array, key: Key) -> tuple[Counted, Step]:
        """Judges the answer, then deals."""
        bits = jax.random.bits(key, (2,))
        return self.resolve(state, action, jnp.stack([draw(state.left, bits[0]), draw(state.asked, bits[1])]))

    def resolve(self, state: Counted, action: Array, dealt: Array) -> tuple[Counted, Step]:
        """`step` with the next card and query [2]."""
        card, query = dealt
        right = action == self.counts(state)[state.query]
        clean, time = state.clean & right, state.time + 1
        end = time >= self.cards - 1
        obs = one_hot((card, self.kinds), (query, self.kinds))
        step = self._step(obs, self._answer(right, self.cards - 1), end, end & clean)
        return Counted(without(state.left, card), without(state.asked, query), query, time, clean), step


@struct.dataclass
class Guessed:
    """State of HigherLower."""

    left: Array
    """[13] int32 cards of each rank that are not yet dealt."""
    card: Array
    """[] int32 the rank that is seen."""
    time: Array
    """[] int32 steps so far."""


@struct.dataclass
class HigherLower(CardGame):
    """Guess whether the next card is of a higher (0) or a lower rank (1).

    Observation [13]: the rank of the card just dealt. Reward +-1 / cards for a right and a wrong guess, 0 for an equal
    rank. Success has no meaning here and is never set.
    """

    @property
    def spec(self) -> Spec:
        """Static facts."""
        return self._spec(13, 2, self.cards - 1)

    def reset(self, key: Key) -> tuple[Guessed, Array]:
        """Deals a card."""
        return self.begin(draw(whole(13, self.decks), jax.random.bits(key)))

    def begin(self, card: Array) -> tuple[Guessed, Array]:
        """`reset` with the first card's rank []."""
        return Guessed(without(whole(13, self.decks), card), card, jnp.int32(0)), one_hot((card, 13))

    def step(self, state: Guessed, action: Array, key: Key) -> tuple[Guessed, Step]:
        """Deals a card and judges the guess."""
        return self.resolve(state, action, draw(state.left, jax.random.bits(key)))

    def resolve(self, state: Guessed, action: Array, card: Array) -> tuple[Guessed, Step]:
        """`step` with the next card's rank []."""
        right = (card > state.card) == (action == 0)
        reward = jnp.where(card == state.card, 0.0, self._answer(right, self.cards))
        time = state.time + 1
        step = self._step(one_hot((card, 13)), reward, time >= self.cards - 1, jnp.zeros((), bool))
        return Guessed(without(state.left, card), card, time), step
