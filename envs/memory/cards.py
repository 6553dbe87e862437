"""POPGym's card games: RepeatFirst, RepeatPrevious, Autoencode, CountRecall, HigherLower.

A card is drawn when it is dealt, from those that are left: the same games as with a deck shuffled at the start, without
the deck. `begin` and `resolve` are `reset` and `step` with the cards handed in. Rules: popgym 1.0.7.

A card counts as its colour (2), suit (4) or rank (13), each kind as often as any other.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Box, Discrete, Env, Key, Spec, Step, static

KINDS = {"colors": 2, "suits": 4, "ranks": 13}
DECK = 52


def whole(kinds: int, decks: int) -> Array:
    """[kinds] int32: the cards of each kind before any is dealt."""
    return jnp.full(kinds, DECK * decks // kinds, jnp.int32)


def draw(left: Array, bits: Array) -> Array:
    """[] int32 the kind of a card drawn, by uint32 `bits` [], from those `left` [kinds], of which there must be one."""
    number = (bits % jnp.sum(left).astype(jnp.uint32)).astype(jnp.int32)  # uneven by less than cards / 2^32
    kind = passed = jnp.int32(0)
    for count in left:  # XLA on CPUs takes longer over a `cumsum` of so few
        passed += count
        kind += number >= passed
    return kind


def without(left: Array, card: Array) -> Array:
    """[kinds] what is left after `card` []."""
    return left - (jnp.arange(left.shape[0]) == card)


def one_hot(*parts: tuple[Array, int]) -> Array:
    """float32: the one-hot codes of (value, number of values) after each other, as gymnasium flattens them."""
    return jnp.concatenate([(jnp.arange(n) == value) for value, n in parts]).astype(jnp.float32)


@struct.dataclass
class CardGame(Env):
    """What the games share: decks of cards, a length that they fix, and rewards of +-1 / (answers)."""

    id: str = static("")
    """The registered name."""
    decks: int = static(1, least=1)
    """Decks of 52 cards."""

    @property
    def cards(self) -> int:
        """All of them."""
        return DECK * self.decks

    def _spec(self, obs: int, actions: int, horizon: int) -> Spec:
        return Spec(self.id, Box((obs,), 0.0, 1.0), Discrete(actions), horizon=horizon, fixed_length=True)

    def _step(self, obs: Array, reward: Array, end: Array, success: Array) -> Step:
        return Step(obs, reward, end, jnp.zeros((), bool), {"success": success})

    def _answer(self, right: Array, answers: int) -> Array:
        return jnp.where(right, 1.0, -1.0) * jnp.float32(1 / answers)


@struct.dataclass
class Repeated:
    """State of RepeatFirst and RepeatPrevious."""

    left: Array
    """[4] int32 cards of each suit that are not yet dealt."""
    memory: Array
    """int8 suits: [1] the first card, or [k] the last k ones, the oldest first."""
    time: Array
    """[] int32 steps so far."""
    clean: Array
    """[] bool: no answer was wrong."""


@struct.dataclass
class RepeatFirst(CardGame):
    """Name the suit of the first card at every step, while others are dealt.

    Observation [4]: the suit of the card just dealt; nothing marks the first one. Reward +-1 / (cards - 1) for a right
    and a wrong answer. Success: no wrong one.
    """

    @property
    def spec(self) -> Spec:
        """Static facts; actions are the four suits."""
        return self._spec(4, 4, self.cards - 1)

    def reset(self, key: Key) -> tuple[Repeated, Array]:
        """Deals a card."""
        return self.begin(draw(whole(4, self.decks), jax.random.bits(key)))

    def begin(self, card: Array) -> tuple[Repeated, Array]:
        """`reset` with the first card's suit []."""
        left = without(whole(4, self.decks), card)
        state = Repeated(left, card.astype(jnp.int8)[None], jnp.int32(0), jnp.ones((), bool))
        return state, one_hot((card, 4))

    def step(self, state: Repeated, action: Array, key: Key) -> tuple[Repeated, Step]:
        """Judges the answer and deals a card."""
        return self.resolve(state, action, draw(state.left, jax.random.bits(key)))

    def resolve(self, state: Repeated, action: Array, card: Array) -> tuple[Repeated, Step]:
        """`step` with the next card's suit []."""
        right = action == state.memory[0]
        clean, time = state.clean & right, state.time + 1
        end = time >= self.cards - 1
        step = self._step(one_hot((card, 4)), self._answer(right, self.cards - 1), end, end & clean)
        return Repeated(without(state.left, card), state.memory, time, clean), step


@struct.dataclass
class RepeatPrevious(CardGame):
    """Name the suit of the card dealt k - 1 steps before the one that is seen.

    Observation [4]: the suit of the card just dealt. Reward +-1 / (cards - k) for a right and a wrong answer, 0 until k
    cards are dealt. Success: no wrong answer.
    """

    k: int = static(4, least=1)
    """How far back, counted from the next card."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k >= self.cards:
            raise ValueError(f"k must be 1 to {self.cards - 1}, not {self.k}")

    @property
    def spec(self) -> Spec:
        """Static facts; actions are the four suits."""
        return self._spec(4, 4, self.cards - 1)

    def reset(self, key: Key) -> tuple[Repeated, Array]:
        """Deals a card."""
        return self.begin(draw(whole(4, self.decks), jax.random.bits(key)))

    def begin(self, card: Array) -> tuple[Repeated, Array]:
        """`reset` with the first card's suit []."""
        memory = jnp.zeros(self.k, jnp.int8).at[-1].set(card.astype(jnp.int8))
        state = Repeated(without(whole(4, self.decks), card), memory, jnp.int32(0), jnp.ones((), bool))
        return state, one_hot((card, 4))

    def step(self, state: Repeated, action: Array, key: Key) -> tuple[Repeated, Step]:
        """Judges the answer and deals a card."""
        return self.resolve(state, action, draw(state.left, jax.random.bits(key)))

    def resolve(self, state: Repeated, action: Array, card: Array) -> tuple[Repeated, Step]:
        """`step` with the next card's suit []."""
        asked = state.time + 1 >= self.k
        right = action == state.memory[0]
        reward = jnp.where(asked, self._answer(right, self.cards - self.k), 0.0)
        clean, time = state.clean & (right | ~asked), state.time + 1
        end = time >= self.cards - 1
        memory = jnp.concatenate([state.memory[1:], card.astype(jnp.int8)[None]])
        step = self._step(one_hot((card, 4)), reward, end, end & clean)
        return Repeated(without(state.left, card), memory, time, clean), step
