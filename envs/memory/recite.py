"""POPGym's card games Autoencode, CountRecall and HigherLower; see `envs.memory.cards`."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Key, Spec, Step, static
from prospect_rl.envs.memory.cards import KINDS, CardGame, draw, full_deck, one_hot, removed

PLAY, WATCH = 0, 1


@struct.dataclass
class AutoencodeState:
    """The state of an episode of Autoencode."""

    left: Array
    """[4] int32 number of cards of each suit that are not yet dealt."""
    stack: Array
    """[cards] int8 suits that are still to be named, the next one first."""
    time: Array
    """[] int32 steps taken so far."""
    clean: Array
    """[] bool, whether no answer was wrong so far."""


@struct.dataclass
class Autoencode(CardGame):
    """Watch all cards, then name their suits from the last to the first.

    Observation [6], one-hot: 0 and 1, the phase (play, watch; the last card already comes with play); 2 to 5, the suit
    of the card just dealt (suit 0 in the playing phase). Action: a suit, 0 to 3. Reward: in the playing phase 1 / cards
    for a right answer, minus that for a wrong one; 0 before. The episode terminates after 2 cards - 1 steps. Success:
    no answer was wrong.
    """

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return self._spec(6, 4, 2 * self.cards - 1)

    def reset(self, key: Key) -> tuple[AutoencodeState, Array]:
        """Deal the first card."""
        return self.begin(draw(full_deck(4, self.decks), jax.random.bits(key)))

    def begin(self, card: Array) -> tuple[AutoencodeState, Array]:
        """Do as `reset`, with the given suit [] of the first card."""
        stack = jnp.zeros(self.cards, jnp.int8).at[0].set(card.astype(jnp.int8))
        state = AutoencodeState(removed(full_deck(4, self.decks), card), stack, jnp.int32(0), jnp.ones((), bool))
        return state, one_hot((jnp.int32(WATCH), 2), (card, 4))

    def step(self, state: AutoencodeState, action: Array, key: Key) -> tuple[AutoencodeState, Step]:
        """Deal a card; in the playing phase, judge the answer instead."""
        none = (jnp.sum(state.left) == 0).astype(jnp.int32)  # in the playing phase the draw is not used
        return self.resolve(state, action, draw(state.left + none, jax.random.bits(key)))

    def resolve(self, state: AutoencodeState, action: Array, card: Array) -> tuple[AutoencodeState, Step]:
        """Do as `step`, with the given suit [] of the next card (not used in the playing phase)."""
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
        left = jnp.where(play, state.left, removed(state.left, card))
        return AutoencodeState(left, jnp.where(play, popped, pushed), time, clean), step


@struct.dataclass
class CountRecallState:
    """The state of an episode of CountRecall."""

    left: Array
    """[kinds] int32 number of cards of each kind that are not yet dealt."""
    asked: Array
    """[kinds] int32 number of queries of each kind that are still to come."""
    query: Array
    """[] int32 kind that the current query asks for."""
    time: Array
    """[] int32 steps taken so far."""
    clean: Array
    """[] bool, whether no answer was wrong so far."""


@struct.dataclass
class CountRecall(CardGame):
    """Count how many cards of a kind have been dealt; every step deals a card and asks for the count of a kind.

    Observation [2 kinds], one-hot: the kind of the card just dealt, then the kind that is asked for, which is drawn
    from a second deck. Action: the count, from 0 to the number of cards of a kind. Reward: 1 / (cards - 1) for a right
    answer, minus that for a wrong one. The episode terminates when all cards are dealt, after cards - 1 steps. Success:
    no answer was wrong.
    """

    face: Literal["colors", "suits", "ranks"] = static("colors")
    """What makes the kind of a card: colors, suits or ranks."""

    @property
    def kinds(self) -> int:
        """The number of kinds of cards."""
        return KINDS[self.face]

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return self._spec(2 * self.kinds, self.cards // self.kinds + 1, self.cards - 1)

    def reset(self, key: Key) -> tuple[CountRecallState, Array]:
        """Deal the first card and query."""
        deck, bits = full_deck(self.kinds, self.decks), jax.random.bits(key, (2,))
        return self.begin(jnp.stack([draw(deck, bits[0]), draw(deck, bits[1])]))

    def begin(self, dealt: Array) -> tuple[CountRecallState, Array]:
        """Do as `reset`, with a given first card and query [2]."""
        deck, (card, query) = full_deck(self.kinds, self.decks), dealt
        state = CountRecallState(removed(deck, card), removed(deck, query), query, jnp.int32(0), jnp.ones((), bool))
        return state, one_hot((card, self.kinds), (query, self.kinds))

    def counts(self, state: CountRecallState) -> Array:
        """Return the number of cards of each kind dealt so far [kinds]."""
        return full_deck(self.kinds, self.decks) - state.left

    def step(self, state: CountRecallState, action: Array, key: Key) -> tuple[CountRecallState, Step]:
        """Judge the answer, then deal a card and a query."""
        bits = jax.random.bits(key, (2,))
        return self.resolve(state, action, jnp.stack([draw(state.left, bits[0]), draw(state.asked, bits[1])]))

    def resolve(self, state: CountRecallState, action: Array, dealt: Array) -> tuple[CountRecallState, Step]:
        """Do as `step`, with a given next card and query [2]."""
        card, query = dealt
        right = action == self.counts(state)[state.query]
        clean, time = state.clean & right, state.time + 1
        end = time >= self.cards - 1
        obs = one_hot((card, self.kinds), (query, self.kinds))
        step = self._step(obs, self._answer(right, self.cards - 1), end, end & clean)
        return CountRecallState(removed(state.left, card), removed(state.asked, query), query, time, clean), step


@struct.dataclass
class HigherLowerState:
    """The state of an episode of HigherLower."""

    left: Array
    """[13] int32 number of cards of each rank that are not yet dealt."""
    card: Array
    """[] int32 rank of the current card."""
    time: Array
    """[] int32 steps taken so far."""


@struct.dataclass
class HigherLower(CardGame):
    """Guess whether the next card has a higher rank (action 0) or a lower one (action 1).

    Observation [13], one-hot: the rank of the card just dealt. Reward: 1 / cards for a right guess, minus that for a
    wrong one, 0 for an equal rank. The episode terminates when all cards are dealt, after cards - 1 steps. `success`
    has no meaning here and is always False.
    """

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return self._spec(13, 2, self.cards - 1)

    def reset(self, key: Key) -> tuple[HigherLowerState, Array]:
        """Deal the first card."""
        return self.begin(draw(full_deck(13, self.decks), jax.random.bits(key)))

    def begin(self, card: Array) -> tuple[HigherLowerState, Array]:
        """Do as `reset`, with the given rank [] of the first card."""
        return HigherLowerState(removed(full_deck(13, self.decks), card), card, jnp.int32(0)), one_hot((card, 13))

    def step(self, state: HigherLowerState, action: Array, key: Key) -> tuple[HigherLowerState, Step]:
        """Deal a card and judge the guess."""
        return self.resolve(state, action, draw(state.left, jax.random.bits(key)))

    def resolve(self, state: HigherLowerState, action: Array, card: Array) -> tuple[HigherLowerState, Step]:
        """Do as `step`, with the given rank [] of the next card."""
        right = (card > state.card) == (action == 0)
        reward = jnp.where(card == state.card, 0.0, self._answer(right, self.cards))
        time = state.time + 1
        step = self._step(one_hot((card, 13)), reward, time >= self.cards - 1, jnp.zeros((), bool))
        return HigherLowerState(removed(state.left, card), card, time), step
