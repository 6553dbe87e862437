"""Players that know the rules, and the data they make.

`oracle(env)` is a pure function (state, key) -> action. T-Maze, RepeatFirst, RepeatPrevious, Autoencode and CountRecall
are played exactly (return 1), from the state. The others see in the state what an agent that remembers everything would
know (what was dealt, turned, hit, paid), except in the control tasks, where they see positions and velocities free of
noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import envs
from envs.api import Array, Dataset, Dict, Env, Key, Tree
from envs.memory import bandit, boards, cards, control, pairs, recite, remember_color, solvers, take_it_back, tmaze

Policy = Callable[[Tree, Key], Array]

CHUNK_BYTES = 64 << 20
"""Episodes are made so many bytes at a time."""


def oracle(env: Env) -> Policy:
    """The player of an environment. Raises ValueError where there is none."""
    for cls in type(env).__mro__:
        if cls in ORACLES:
            return partial(ORACLES[cls], env)
    raise ValueError(f"{env.spec.id} has no oracle; there is one for {', '.join(sorted(c.__name__ for c in ORACLES))}")


def walk(env: tmaze.TMaze, state: tmaze.TMazeState, key: Key) -> Array:
    """T-Maze: right to the junction, then to the paying side."""
    turn = jnp.where(env.goal(state.cues) > 0, tmaze.UP, tmaze.DOWN)
    return jnp.where(state.x == state.corridor, turn, tmaze.RIGHT)


def repeat(env: cards.CardGame, state: cards.Repeated, key: Key) -> Array:
    """RepeatFirst, RepeatPrevious: the suit that is asked for."""
    return state.memory[0].astype(jnp.int32)


def recall(env: recite.Autoencode, state: recite.Recited, key: Key) -> Array:
    """Autoencode: the suit on top of the stack; before play any action does."""
    return state.stack[0].astype(jnp.int32)


def count(env: recite.CountRecall, state: recite.Counted, key: Key) -> Array:
    """CountRecall: the number that is asked for."""
    return env.counts(state)[state.query]


def bet(env: recite.HigherLower, state: recite.Guessed, key: Key) -> Array:
    """HigherLower: the side with more cards left, the best play of a counter of cards."""
    rank = jnp.arange(state.left.shape[0])
    higher = jnp.sum(jnp.where(rank > state.card, state.left, 0))
    lower = jnp.sum(jnp.where(rank < state.card, state.left, 0))
    return jnp.where(higher >= lower, 0, 1)


ORACLES: dict[type, Callable[[Any, Any, Key], Array]] = {
    tmaze.TMaze: walk,
    cards.RepeatFirst: repeat,
    cards.RepeatPrevious: repeat,
    recite.Autoencode: recall,
    recite.CountRecall: count,
    recite.HigherLower: bet,
    pairs.Concentration: solvers.turn,
    boards.Battleship: solvers.fire,
    boards.MineSweeper: solvers.sweep,
    bandit.MultiarmedBandit: solvers.pull,
    control.CartPole: solvers.balance,
    control.Pendulum: solvers.swing_up,
    remember_color.RememberColor: solvers.reach,
    take_it_back.TakeItBack: solvers.carry,
}
"""Class -> its player, (env, state, key) -> action."""


# --- data --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Demonstrations:
    """A dataset of an oracle's episodes, made again bit for bit from these fields.

    In T-Maze every other episode has its goal on the other side, so that as many lead up as down.
    Raises ValueError for an environment without an oracle and for fields out of range.
    """

    env: str
    """Its registered id."""
    env_fields: tuple[tuple[str, Any], ...] = ()
    """Values of its fields, as pairs."""
    episodes: int = 2000
    """How many are played."""
    noise: float = 0.0
    """Share of the actions that are drawn uniformly instead; what was done is what is kept."""
    seed: int = 0
    """Of all that is drawn."""
    successes_only: bool = False
    """Leave out the episodes that end without success."""
    successors: bool = False
    """Keep `next_obs` too: it doubles the memory, and only ends of episodes hold what no other row does."""

    def __post_init__(self) -> None:
        if self.episodes < 1 or not 0 <= self.noise <= 1:
            raise ValueError(f"episodes must be at least 1, noise 0 to 1, not {self.episodes} and {self.noise}")

    def build(self) -> Dataset:
        """Play the episodes. Rows: obs, action, reward, terminated, truncated, and next_obs where asked for."""
        env = envs.make(self.env, **dict(self.env_fields))
        size = sum(np.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(jax.eval_shape(self._play(env), 0)))
        chunk = int(min(self.episodes, max(1, CHUNK_BYTES // size)))
        play, parts = jax.jit(jax.vmap(self._play(env))), []
        for first in range(0, self.episodes, chunk):
            rows = jax.tree.map(np.asarray, play(np.arange(first, first + chunk, dtype=np.int32)))
            wanted = np.arange(first, first + chunk) < self.episodes
            if self.successes_only:
                wanted &= (rows["success"] & rows["live"]).any(axis=1)
            live = rows.pop("live") & wanted[:, None]
            rows.pop("success")
            parts.append((live.sum(axis=1)[wanted], {name: x[live] for name, x in rows.items()}))
        lengths = np.concatenate([part[0] for part in parts])
        if not len(lengths):
            raise ValueError(f"{self.env}: none of the {self.episodes} episodes ended with success")
        rows = {name: jnp.asarray(np.concatenate([part[1][name] for part in parts])) for name in parts[0][1]}
        return Dataset(rows=rows, firsts=jnp.asarray(np.cumsum(lengths) - lengths, jnp.int32))

    def _play(self, env: Env) -> Callable[[Array], dict[str, Array]]:
        """Episode number [] -> its rows, leading [horizon], with `live` and `success` [horizon]."""
        act, space = oracle(env), env.spec.action
        assert not isinstance(space, Dict)

        def episode(number: Array) -> dict[str, Array]:
            key = jax.random.fold_in(jax.random.key(self.seed), number)
            if isinstance(env, tmaze.TMaze):
                state, obs = env.reset_side(1 - 2 * (number % 2), key)
            else:
                state, obs = env.reset(key)

            def body(carry: Tree, t: Array) -> tuple[Tree, dict[str, Array]]:
                state, obs, live = carry
                k_act, k_step, k_coin, k_sample = jax.random.split(jax.random.fold_in(key, t), 4)
                action = act(state, k_act)
                if self.noise:
                    action = jnp.where(jax.random.uniform(k_coin) < self.noise, space.sample(k_sample), action)
                state, step = env.step(state, action, k_step)
                row = {
                    "obs": obs, "action": action, "reward": step.reward, "terminated": step.terminated,
                    "truncated": step.truncated, "success": step.info["success"], "live": live,
                } | ({"next_obs": step.obs} if self.successors else {})  # fmt: skip
                return (state, step.obs, live & ~(step.terminated | step.truncated)), row

            return jax.lax.scan(body, (state, obs, jnp.ones((), bool)), jnp.arange(env.spec.horizon))[1]

        return episode
