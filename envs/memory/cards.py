"""POPGym's card games RepeatFirst and RepeatPrevious, and what all card games share (the others are in recite.py).

A card is drawn from the remaining ones when it is dealt. This has the same distribution as shuffling a deck at the
start, but the state does not contain the deck. `begin` and `resolve` are `reset` and `step` with given cards. The rules
are those of popgym 1.0.7.

Only the kind of a card matters: its colour (2 kinds), suit (4) or rank (13); all kinds are equally frequent.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, Box, Discrete, Env, Key, Spec, Step, static

KINDS = {"colors": 2, "suits": 4, "ranks": 13}
"""Number of kinds of cards."""
DECK = 52
"""Cards in a deck."""


def full_deck(kinds: int, decks: int) -> Array:
    """Return the number of cards of each kind before any is dealt, int32 [kinds]."""
    return jnp.full(kinds, DECK * decks // kinds, jnp.int32)


def draw(left: Array, bits: Array) -> Array:
    """Draw a card from the remaining ones.

    Args:
        left: Int32 [kinds], remaining cards of each kind; there must be at least one.
        bits: Uint32 [], random bits.

    Returns:
        The kind of the card, int32 [].
    """
    number = (bits % jnp.sum(left).astype(jnp.uint32)).astype(jnp.int32)  # the bias is below cards / 2^32
    kind = passed = jnp.int32(0)
    for count in left:  # on CPUs this is faster than a `cumsum` of so few numbers
        passed += count
        kind += number >= passed
    return kind


def removed(left: Array, card: Array) -> Array:
    """Return the remaining cards [kinds] without `card` []."""
    return left - (jnp.arange(left.shape[0]) == card)


def one_hot(*parts: tuple[Array, int]) -> Array:
    """Concatenate one-hot vectors of (value, number of values), float32, as gymnasium flattens them."""
    return jnp.concatenate([(jnp.arange(n) == value) for value, n in parts]).astype(jnp.float32)


@struct.dataclass
class CardGame(Env):
    """Base class of the card games: decks of cards, a fixed length, and rewards of +-1 / (number of answers)."""

    id: str = static("")
    """The registered id of the task."""
    decks: int = static(1, least=1)
    """Number of decks of 52 cards."""

    @property
    def cards(self) -> int:
        """The total number of cards."""
        return DECK * self.decks

    def _spec(self, obs: int, actions: int, horizon: int) -> Spec:
        return Spec(self.id, Box((obs,), 0.0, 1.0), Discrete(actions), horizon=horizon, fixed_length=True)

    def _step(self, obs: Array, reward: Array, end: Array, success: Array) -> Step:
        return Step(obs, reward, end, jnp.zeros((), bool), {"success": success})

    def _answer(self, right: Array, answers: int) -> Array:
        return jnp.where(right, 1.0, -1.0) * jnp.float32(1 / answers)


@struct.dataclass
class RepeatState:
    """The state of an episode of RepeatFirst or RepeatPrevious."""

    left: Array
    """[4] int32 number of cards of each suit that are not yet dealt."""
    memory: Array
    """int8 suits: [1] of the first card, or [k] of the last k cards, oldest first."""
    time: Array
    """[] int32 steps taken so far."""
    clean: Array
    """[] bool, whether no answer was wrong so far."""


@struct.dataclass
class RepeatFirst(CardGame):
    """Name the suit of the first card at every step, while other cards are dealt.

    Observation [4], one-hot: the suit of the card just dealt; nothing marks the first card. Action: a suit, 0 to 3.
    Reward: 1 / (cards - 1) for a right answer, minus that for a wrong one. The episode terminates when all cards are
    dealt, after cards - 1 steps. Success: no answer was wrong.
    """

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return self._spec(4, 4, self.cards - 1)

    def reset(self, key: Key) -> tuple[RepeatState, Array]:
        """Deal the first card."""
        return self.begin(draw(full_deck(4, self.decks), jax.random.bits(key)))

    def begin(self, card: Array) -> tuple[RepeatState, Array]:
        """Do as `reset`, with the given suit [] of the first card."""
        left = removed(full_deck(4, self.decks), card)
        state = RepeatState(left, card.astype(jnp.int8)[None], jnp.int32(0), jnp.ones((), bool))
        return state, one_hot((card, 4))

    def step(self, state: RepeatState, action: Array, key: Key) -> tuple[RepeatState, Step]:
        """Judge the answer and deal a card."""
        return self.resolve(state, action, draw(state.left, jax.random.bits(key)))

    def resolve(self, state: RepeatState, action: Array, card: Array) -> tuple[RepeatState, Step]:
        """Do as `step`, with the given suit [] of the next card."""
        right = action == state.memory[0]
        clean, time = state.clean & right, state.time + 1
        end = time >= self.cards - 1
        step = self._step(one_hot((card, 4)), self._answer(right, self.cards - 1), end, end & clean)
        return RepeatState(removed(state.left, card), state.memory, time, clean), step


@struct.dataclass
class RepeatPrevious(CardGame):
    """Name the suit of the card that was dealt k - 1 steps before the current one.

    Observation [4], one-hot: the suit of the card just dealt. Action: a suit, 0 to 3. Reward: 1 / (cards - k) for a
    right answer, minus that for a wrong one, 0 until k cards are dealt. The episode terminates when all cards are
    dealt, after cards - 1 steps. Success: no answer was wrong.
    """

    k: int = static(4, least=1)
    """The card to name is the k-th last one dealt (1: the current card)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k >= self.cards:
            raise ValueError(f"k must be 1 to {self.cards - 1}, not {self.k}")

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        return self._spec(4, 4, self.cards - 1)

    def reset(self, key: Key) -> tuple[RepeatState, Array]:
        """Deal the first card."""
        return self.begin(draw(full_deck(4, self.decks), jax.random.bits(key)))

    def begin(self, card: Array) -> tuple[RepeatState, Array]:
        """Do as `reset`, with the given suit [] of the first card."""
        memory = jnp.zeros(self.k, jnp.int8).at[-1].set(card.astype(jnp.int8))
        state = RepeatState(removed(full_deck(4, self.decks), card), memory, jnp.int32(0), jnp.ones((), bool))
        return state, one_hot((card, 4))

    def step(self, state: RepeatState, action: Array, key: Key) -> tuple[RepeatState, Step]:
        """Judge the answer and deal a card."""
        return self.resolve(state, action, draw(state.left, jax.random.bits(key)))

    def resolve(self, state: RepeatState, action: Array, card: Array) -> tuple[RepeatState, Step]:
        """Do as `step`, with the given suit [] of the next card."""
        asked = state.time + 1 >= self.k
        right = action == state.memory[0]
        reward = jnp.where(asked, self._answer(right, self.cards - self.k), 0.0)
        clean, time = state.clean & (right | ~asked), state.time + 1
        end = time >= self.cards - 1
        memory = jnp.concatenate([state.memory[1:], card.astype(jnp.int8)[None]])
        step = self._step(one_hot((card, 4)), reward, end, end & clean)
        return RepeatState(removed(state.left, card), memory, time, clean), step
