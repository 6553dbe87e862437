"""The text tasks: sorting, reversing, sums, and the letters of words."""

from __future__ import annotations

import string

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array, static
from prospect_rl.envs.text.task import TextTask

DIGITS = tuple(string.digits)


def decimal(number: Array, most: int) -> tuple[Array, Array]:
    """The decimal digits of a number [] as int32 [most], the first one first, and how many there are []."""
    powers = jnp.asarray([10**i for i in range(most)], jnp.int32)
    count = jnp.maximum(1, jnp.sum(number >= powers))
    place = jnp.clip(count - 1 - jnp.arange(most), 0)
    return number // powers[place] % 10, count


@struct.dataclass
class Numbers(TextTask):
    """A row of digits to be put in another order."""

    length: int = static(8, least=1, most=256)
    """Number of digits in a problem."""
    base: int = static(10, least=2, most=10)
    """Number of different digits, from 0."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The digits."""
        return DIGITS[: self.base]

    @property
    def choices(self) -> tuple[int, ...]:
        """Every digit is drawn independently."""
        return (self.base,) * self.length

    @property
    def answer_length(self) -> int:
        """As many digits as the problem has."""
        return self.length

    def pose(self, chosen: Array) -> Array:
        """The digits as they were drawn."""
        return chosen


@struct.dataclass
class Sort(Numbers):
    """Sort digits in ascending order: `3 1 2 = 1 2 3`."""

    def solve(self, problem: Array) -> tuple[Array, Array]:
        """The digits in ascending order."""
        return jnp.sort(problem), jnp.int32(self.length)


@struct.dataclass
class Reverse(Numbers):
    """Repeat digits from the last to the first: `3 1 2 = 2 1 3`."""

    def solve(self, problem: Array) -> tuple[Array, Array]:
        """The digits from the last to the first."""
        return problem[::-1], jnp.int32(self.length)


@struct.dataclass
class Sum(TextTask):
    """Add numbers: `1 7 + 2 5 = 4 2`. No number begins with 0, unless it has one digit; neither does the answer."""

    length: int = static(2, least=2, most=64)
    """How many numbers are added."""
    digits: int = static(2, least=1, most=7)
    """Number of digits of each number."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The digits and the plus sign."""
        return (*DIGITS, "+")

    @property
    def choices(self) -> tuple[int, ...]:
        """Each number's digits; the first one is not 0."""
        return (9 if self.digits > 1 else 10, *(10,) * (self.digits - 1)) * self.length

    @property
    def answer_length(self) -> int:
        """As many digits as the largest sum has."""
        return len(str(self.length * (10**self.digits - 1)))

    def pose(self, chosen: Array) -> Array:
        """The numbers' digits with plus signs between them."""
        rows = chosen.reshape(self.length, self.digits)
        rows = rows.at[:, 0].add(self.digits > 1)
        return jnp.pad(rows, ((0, 0), (0, 1)), constant_values=10).reshape(-1)[:-1]

    def solve(self, problem: Array) -> tuple[Array, Array]:
        """The digits of the sum."""
        rows = jnp.append(problem, 10).reshape(self.length, self.digits + 1)[:, :-1]
        powers = np.asarray([10**i for i in range(self.digits)][::-1])
        return decimal(jnp.sum(rows * powers), self.answer_length)


@struct.dataclass
class Spell(TextTask):
    """Spell a word backward, or count a letter in it: `back - c a b = b a c`, `count a a b a = 2`."""

    length: int = static(5, least=2, most=99)
    """Number of letters in a word."""
    letters: int = static(8, least=2, most=26)
    """Number of different letters, from a."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The letters, the digits, the two questions and a dash."""
        return (*string.ascii_lowercase[: self.letters], *DIGITS, "back", "count", "-")

    @property
    def choices(self) -> tuple[int, ...]:
        """The question, the letter that is asked for, and those of the word."""
        return (2, *(self.letters,) * (1 + self.length))

    @property
    def answer_length(self) -> int:
        """As many letters as the word has, which is no fewer than a count has digits."""
        return self.length

    def pose(self, chosen: Array) -> Array:
        """The question, the letter that is to be counted (or a dash), and the word."""
        counts, first = chosen[0] == 1, self.letters + 10
        letter = jnp.where(counts, chosen[1], first + 2)
        return jnp.concatenate([jnp.stack([first + chosen[0], letter]), chosen[2:]])

    def solve(self, problem: Array) -> tuple[Array, Array]:
        """The word from its last letter to the first, or the digits of the count."""
        word, counts = problem[2:], problem[0] == self.letters + 11
        number, digits = decimal(jnp.sum(word == problem[1]), min(self.length, 9))
        number = jnp.pad(number, (0, self.length - number.size)) + self.letters
        return jnp.where(counts, number, word[::-1]), jnp.where(counts, digits, self.length)
