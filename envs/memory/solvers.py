"""Scripted policies (oracles) that are good but not exact; `envs.memory.oracles` lists them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Array, Key
from prospect_rl.envs.memory import bandit, boards, control, pairs, remember_color, tabletop, take_it_back
from prospect_rl.envs.product import product

HELD = 0.024
"""The magnet holds the cube if it is within this distance of its centre (m)."""
ROUNDS = 6
"""Number of inference rounds over the board in MineSweeper."""


def turn(env: pairs.Concentration, state: pairs.ConcentrationState, key: Key) -> Array:
    """Play Concentration with perfect memory: turn a known pair if there is one, else a card not seen yet."""
    place, known = jnp.arange(env.cards), state.kinds != pairs.UNSEEN
    waiting = (state.kinds[:, None] == jnp.arange(env.kinds)) & ~state.up[:, None]
    paired = jnp.any(waiting & (jnp.sum(waiting, axis=0) >= 2), axis=1)
    partner = ~state.up & (state.kinds == state.kinds[state.first]) & (place != state.first)
    wish = jnp.where(state.first == pairs.UNSEEN, paired, partner)
    return jnp.argmax(2 * wish + ~known).astype(jnp.int32)


def fire(env: boards.Battleship, state: boards.BattleshipState, key: Key) -> Array:
    """Play Battleship: fire where most possible ship placements overlap; a placement with h hits has weight 20^h."""
    hit, missed = state.shot & state.ships, state.shot & ~state.ships
    score = jnp.zeros(env.width**2)
    for length in env.ships:
        places = jnp.asarray(boards.placements(env.width, length), jnp.float32)
        weight = jnp.where(places @ missed == 0, 20.0 ** (places @ hit.astype(jnp.float32)), 0.0)
        score += product(weight, places)
    return jnp.argmax(jnp.where(state.shot, -1.0, score)).astype(jnp.int32)


def sweep(env: boards.MineSweeper, state: boards.MineSweeperState, key: Key) -> Array:
    """Play MineSweeper: uncover a cell that a single count proves safe, else the cell of least estimated risk."""
    touch = jnp.asarray(boards.neighbours(env.width), jnp.float32)
    number, viewed = jnp.where(state.viewed, state.near, 0).astype(jnp.float32), state.viewed
    safe = mine = jnp.zeros_like(viewed)
    for _ in range(ROUNDS):
        unsure = ~viewed & ~safe & ~mine
        missing, hidden = number - touch @ mine, touch @ unsure
        mine |= unsure & (touch @ (viewed & (missing == hidden)) > 0)
        safe |= unsure & (touch @ (viewed & (missing == 0)) > 0)
    unsure = ~viewed & ~safe & ~mine
    missing, hidden = number - touch @ mine, touch @ unsure
    odds = jnp.where(viewed & (hidden > 0), missing / jnp.maximum(hidden, 1), 0.0)
    risk = jnp.max(touch * odds, axis=1)
    elsewhere = (env.mines - jnp.sum(mine)) / jnp.maximum(jnp.sum(unsure), 1)
    risk = jnp.where(touch @ viewed > 0, risk, elsewhere)
    return jnp.argmin(jnp.where(viewed | mine, 2.0, jnp.where(safe, -1.0, risk))).astype(jnp.int32)


def pull(env: bandit.MultiarmedBandit, state: bandit.BanditState, key: Key) -> Array:
    """Play the bandit with UCB: each arm once, then the highest mean plus bonus; the true odds are not used."""
    pulls = jnp.maximum(state.pulls, 1)
    bound = state.wins / pulls + jnp.sqrt(0.2 * jnp.log(state.time + 1.0) / pulls)
    return jnp.argmax(jnp.where(state.pulls == 0, jnp.inf, bound)).astype(jnp.int32)


def balance(env: control.CartPole, state: control.ControlState, key: Key) -> Array:
    """Solve CartPole: the action is the sign of a linear feedback of the full state."""
    return (product(state.q, np.array([1.0, 1.6, 18.7, 3.5], np.float32)) > 0).astype(jnp.int32)


def swing_up(env: control.Pendulum, state: control.ControlState, key: Key) -> Array:
    """Solve Pendulum: pump energy up to that of the upright position, then hold by linear feedback."""
    angle, speed = control.wrapped(state.q[0]), state.q[1]
    energy = speed**2 / 2 + 15 * (jnp.cos(angle) - 1)
    pump = jnp.where(energy < 0, 2.0, -2.0) * jnp.where(speed < 0, -1.0, 1.0)
    hold = -(10 * angle + 2.5 * speed)
    near = (jnp.abs(angle) < 0.5) & (jnp.abs(speed) < 3)
    return jnp.clip(jnp.where(near, hold, pump), -2.0, 2.0)[None]


def steer(way: Array) -> Array:
    """Return the action [2] that moves the point by `way` [2] (m) and slows down at its end."""
    return jnp.clip(8.0 * way / tabletop.SPEED, -1.0, 1.0)


def reach(env: remember_color.RememberColor, state: tabletop.TableState, key: Key) -> Array:
    """Solve RememberColor: wait until the cubes are shown, then go to the right one."""
    return jnp.where(state.time >= remember_color.CHOICE, steer(env.goal(state) - state.tip), 0.0)


def carry(env: take_it_back.TakeItBack, state: tabletop.TableState, key: Key) -> Array:
    """Solve TakeItBack: go to the cube until it is held, take it to the goal, then back to its start."""
    facts, cube = state.facts, take_it_back.cube(state)
    held = jnp.linalg.norm(cube - state.tip) < HELD
    return steer(jnp.where(held, jnp.where(facts.reached, facts.start, facts.goal) - cube, cube - state.tip))
