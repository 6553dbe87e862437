"""Players that know the rules: pure functions (env, state, key) -> action. envs/data makes data of them.

T-Maze, RepeatFirst, RepeatPrevious, Autoencode and CountRecall are played exactly (return 1), from the state. The
others see in the state what an agent that remembers everything would know (what was dealt, turned, hit, paid), except
in the control tasks, where they see positions and velocities free of noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from prospect_rl.envs.api import Array, Key
from prospect_rl.envs.memory import (
    bandit,
    boards,
    cards,
    control,
    pairs,
    recite,
    remember_color,
    solvers,
    take_it_back,
    tmaze,
)


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
