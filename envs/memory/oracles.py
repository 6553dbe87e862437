"""Scripted policies (oracles) that know the rules: pure functions (env, state, key) -> action, used to make datasets.

T-Maze, RepeatFirst, RepeatPrevious, Autoencode and CountRecall are solved exactly (return 1), from the state. The other
oracles use only what an agent with perfect memory would know (cards dealt or turned, cells hit, arms that paid), except
in the control tasks, where they use noise-free positions and velocities.
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
    """Solve T-Maze: go right to the junction, then to the side that pays."""
    turn = jnp.where(env.goal(state.cues) > 0, tmaze.UP, tmaze.DOWN)
    return jnp.where(state.x == state.corridor, turn, tmaze.RIGHT)


def repeat(env: cards.CardGame, state: cards.RepeatState, key: Key) -> Array:
    """Solve RepeatFirst and RepeatPrevious: name the right suit."""
    return state.memory[0].astype(jnp.int32)


def recall(env: recite.Autoencode, state: recite.AutoencodeState, key: Key) -> Array:
    """Solve Autoencode: name the suit on top of the stack; before the playing phase any action will do."""
    return state.stack[0].astype(jnp.int32)


def count(env: recite.CountRecall, state: recite.CountRecallState, key: Key) -> Array:
    """Solve CountRecall: give the right count."""
    return env.counts(state)[state.query]


def bet(env: recite.HigherLower, state: recite.HigherLowerState, key: Key) -> Array:
    """Play HigherLower: guess the side with more remaining cards, which is optimal with card counting."""
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
"""Class of environment -> its oracle, (env, state, key) -> action."""
