"""The base of all text tasks: a problem is posed token by token, then answered token by token.

    step          0 ... P - 1                                P ... P + A - 1
    the action    counts for nothing                         is the next token of the answer
    observation   the problem's next token, `=` at last      the token just spoken (the end once it has been spoken)

A text task of one's own is a subclass with `symbols`, `choices`, `answer_length`, `pose` and `solve`.
Shapes: P tokens of the problem and its mark, A tokens of room for the answer and its end, V tokens of the vocabulary.
"""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.core import Tracer

from prospect_rl.envs.api import Array, Discrete, Env, Key, Spec, Step, static

END, MARK = 0, 1
"""The token that ends an answer (and is observed before a text begins), and the one between problem and answer."""
OPENINGS = ("is", "so", "thus", "clearly")
"""Words that may stand before an answer without changing it."""
HELD_OUT = 8
"""One problem in so many, chosen by a hash, is never posed in training."""
SMALL = 4096
"""Tasks of at most so many problems are looked through for whether both parts of the split have some."""


@struct.dataclass
class TextState:
    """The state of an episode."""

    text: Array
    """[P + A] int32 the problem, and the answer so far (the end where nothing has been spoken)."""
    answer: Array
    """[answer_length + 1] int32 the right answer, filled up with ends."""
    form: Array
    """[] int32 how the scripted expert writes it: 0 plain, else after the opening word of this number."""
    ended: Array
    """[] bool whether the end has been spoken."""
    time: Array
    """[] int32 steps taken so far."""


@struct.dataclass
class TextTask(Env):
    """A problem in text with one right answer, which may be written in several ways.

    Observation: the token just spoken. Action: the next token; it counts from the mark on. What comes after the end
    token changes nothing, and every episode lasts P + A steps. Reward: `verified` at the last step. Info: `success`,
    whether the answer is right; `verified`, what the verifier says of it (both False before the last step); `mine`,
    whether this step's action counted; `expert`, the token that a scripted expert would have spoken in this step;
    `progress`, the share of the right answer's tokens and its end that stand in their places.
    """

    verifier: Literal["exact", "strict", "noisy"] = static("exact")
    """Who judges an answer: exact knows the truth, strict accepts the plain form alone, noisy errs at random."""
    forms: int = static(1, least=1, most=1 + len(OPENINGS))
    """Number of ways in which an answer may be written: plain, or after one of the opening words."""
    false_no: float = static(0.3, least=0, most=1)
    """Probability with which the noisy verifier rejects a right answer."""
    false_yes: float = static(0.0, least=0, most=1)
    """Probability with which the noisy verifier accepts a wrong answer."""
    held_out: Array = struct.field(default_factory=lambda: jnp.zeros((), bool))
    """Bool [], whether the problems are those that training never poses."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.verifier == "strict" and self.forms == 1:
            raise ValueError("a strict verifier needs answers of several forms: set forms to at least 2")
        count, made_anew = math.prod(self.choices), isinstance(self.held_out, Tracer)  # inside a program
        if count <= SMALL and not made_anew:
            every = jnp.asarray(np.stack(np.unravel_index(np.arange(count), self.choices), axis=1), jnp.int32)
            apart = np.asarray(is_held_out(jax.vmap(self.pose)(every)))
            if apart.all() or not apart.any():
                raise ValueError(f"only {count} problems: too few to keep some for evaluation; make the task larger")

    # --- what a task defines -------------------------------------------------------------------------

    @property
    def symbols(self) -> tuple[str, ...]:
        """The task's own tokens as strings, each of which is one token."""
        raise NotImplementedError

    @property
    def choices(self) -> tuple[int, ...]:
        """How many values each of the independent choices has that make a problem."""
        raise NotImplementedError

    @property
    def answer_length(self) -> int:
        """The most symbols that an answer has."""
        raise NotImplementedError

    def pose(self, chosen: Array) -> Array:
        """The problem as indices into `symbols`, int32 [P - 1], from the choices made; each below its `choices`."""
        raise NotImplementedError

    def solve(self, problem: Array) -> tuple[Array, Array]:
        """The answer to a problem: indices into `symbols`, int32 [answer_length], and how many of them count, []."""
        raise NotImplementedError

    # --- the environment -----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The registered id."""
        return f"text/{type(self).__name__.lower()}"

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All tokens as strings: the end, the mark, the opening words in use, the task's symbols."""
        return (".", "=", *OPENINGS[: self.forms - 1], *self.symbols)

    @property
    def first_symbol(self) -> int:
        """The token of the first symbol."""
        return 2 + self.forms - 1

    @property
    def problem_length(self) -> int:
        """P, the number of tokens of a problem and its mark."""
        return jax.eval_shape(self.pose, jax.ShapeDtypeStruct((len(self.choices),), jnp.int32)).shape[0] + 1

    @property
    def room(self) -> int:
        """A, the number of tokens that may be spoken: an opening word, the answer, the end."""
        return (self.forms > 1) + self.answer_length + 1

    @property
    def spec(self) -> Spec:
        """The spaces and the time limit."""
        tokens = Discrete(len(self.vocabulary))
        return Spec(
            id=self.id, obs=tokens, action=tokens, horizon=self.problem_length + self.room,
            info=("success", "verified", "mine", "expert", "progress"), fixed_length=True,
        )  # fmt: skip

    def unseen(self) -> TextTask:
        """The same task with the problems that training never poses."""
        return self.replace(held_out=jnp.ones((), bool))  # type: ignore[attr-defined]

    def reset(self, key: Key) -> tuple[TextState, Array]:
        """Pose a problem of the right part of the split."""
        return self.reset_if(jnp.ones((), bool), key)

    def reset_if(self, needed: Array, key: Key) -> tuple[TextState, Array]:
        """Do as `reset` where `needed` [] is True."""
        k_form, k_problem = jax.random.split(key)
        most = jnp.asarray(self.choices, jnp.int32)

        def draw(key: Key) -> Array:
            return self.pose(jax.random.randint(key, most.shape, 0, most))

        def again(carry: tuple[Key, Array]) -> tuple[Key, Array]:
            key = jax.random.fold_in(carry[0], 1)
            return key, draw(key)

        _, problem = jax.lax.while_loop(
            lambda carry: needed & (is_held_out(carry[1]) != self.held_out), again, (k_problem, draw(k_problem))
        )
        answer, count = self.solve(problem)
        answer = jnp.where(jnp.arange(self.answer_length) < count, answer + self.first_symbol, END)
        silence = jnp.full(self.room, END, jnp.int32)
        text = jnp.concatenate([problem + self.first_symbol, jnp.array([MARK], jnp.int32), silence])
        form = jax.random.randint(k_form, (), 0, self.forms)
        state = TextState(text, jnp.append(answer, END), form, jnp.zeros((), bool), jnp.int32(0))
        return state, jnp.int32(END)

    def step(self, state: TextState, action: Array, key: Key) -> tuple[TextState, Step]:
        """Speak the problem's next token, or the action."""
        slot = state.time - self.problem_length
        mine = (slot >= 0) & ~state.ended
        token = jnp.where(mine, action.astype(jnp.int32), state.text[state.time])  # ends, after the end
        after = TextState(
            state.text.at[state.time].set(token), state.answer, state.form,
            state.ended | (mine & (token == END)), state.time + 1,
        )  # fmt: skip
        last = after.time >= self.problem_length + self.room
        said, plain = self._read(after)
        right = jnp.all(said == state.answer)
        verified = {
            "exact": lambda: right,
            "strict": lambda: right & plain,
            "noisy": lambda: jnp.where(right, 1 - self.false_no, self.false_yes) > jax.random.uniform(key),
        }[self.verifier]()
        info = {
            "success": last & right, "verified": last & verified, "mine": mine,
            "expert": jnp.where(slot >= 0, self._expert(state, slot), token),
            "progress": self._progress(after, said, plain),
        }  # fmt: skip
        reward = (last & verified).astype(jnp.float32)
        return after, Step(token, reward, last, jnp.zeros((), bool), info)

    def text(self, state: TextState) -> str:
        """The problem and the answer so far as a person reads them."""
        names, tokens = self.vocabulary, np.asarray(state.text)
        spoken = tokens[: max(int(state.time), self.problem_length)]
        end = np.flatnonzero(spoken[self.problem_length :] == END)
        shown = spoken[: self.problem_length + (end[0] if len(end) else len(spoken))]
        return " ".join(names[token] for token in shown) + ("" if len(end) else " …")

    def _read(self, state: TextState) -> tuple[Array, Array]:
        """(the answer [answer_length + 1] without an opening word, whether it has none [])."""
        spoken = state.text[self.problem_length :]
        if self.forms == 1:
            return spoken, jnp.ones((), bool)
        plain = (spoken[0] <= MARK) | (spoken[0] >= self.first_symbol)
        return jnp.where(plain, spoken[:-1], spoken[1:]), plain

    def _progress(self, state: TextState, said: Array, plain: Array) -> Array:
        """The share [] of the right answer's tokens, and of its end, that have been spoken in their places."""
        place = jnp.arange(said.size)
        counts = place <= jnp.sum(state.answer != END)
        there = place < state.time - self.problem_length - ~plain
        return jnp.sum(counts & there & (said == state.answer)) / jnp.sum(counts)

    def _expert(self, state: TextState, slot: Array) -> Array:
        """The token [] that belongs into a slot [] of the answer in the expert's form."""
        opens = (state.form > 0).astype(jnp.int32)
        token = jnp.append(state.answer, END)[jnp.clip(slot - opens, 0, state.answer.size)]
        return jnp.where((slot == 0) & (opens > 0), MARK + state.form, token)


def is_held_out(problem: Array) -> Array:
    """Whether problems [..., n] are of the part that training never poses, by a hash of their symbols; bool [...]."""
    weights = np.cumprod(np.full(problem.shape[-1], 0x01000193, np.uint32), dtype=np.uint32)  # FNV's prime
    hash = jnp.sum((problem + 1).astype(jnp.uint32) * weights, axis=-1, dtype=jnp.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):  # the last mixing of MurmurHash3
        hash = (hash ^ (hash >> shift)) * jnp.uint32(factor)
    return hash % HELD_OUT == 0
