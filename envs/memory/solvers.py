"""Players of POPGym's games that are good but not exact; `envs.memory.oracles` lists them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from prospect_rl.envs.api import Array, Key
from prospect_rl.envs.memory import bandit, boards, control, pairs, remember_color, tabletop, take_it_back

HELD = 0.024
"""A magnet so near to the cube's middle holds it (m)."""
ROUNDS = 6
"""How often what is known of mines is carried on to their neighbours."""


def turn(env: pairs.Concentration, state: pairs.Table, key: Key) -> Array:
    """Concentration with a perfect memory: a known pair first, else a card not seen yet."""
    place, known = jnp.arange(env.cards), state.kinds != pairs.UNSEEN
    waiting = (state.kinds[:, None] == jnp.arange(env.kinds)) & ~state.up[:, None]
    paired = jnp.any(waiting & (jnp.sum(waiting, axis=0) >= 2), axis=1)
    partner = ~state.up & (state.kinds == state.kinds[state.first]) & (place != state.first)
    wish = jnp.where(state.first == pairs.UNSEEN, paired, partner)
    return jnp.argmax(2 * wish + ~known).astype(jnp.int32)


def fire(env: boards.Battleship, state: boards.Sea, key: Key) -> Array:
    """Battleship: where most of the places of ships lie that no miss rules out; one with h hits counts 20^h."""
    hit, missed = state.shot & state.ships, state.shot & ~state.ships
    score = jnp.zeros(env.width**2)
    for length in env.ships:
        places = jnp.asarray(boards.placements(env.width, length), jnp.float32)
        weight = jnp.where(places @ missed == 0, 20.0 ** (places @ hit.astype(jnp.float32)), 0.0)
        score += weight @ places
    return jnp.argmax(jnp.where(state.shot, -1.0, score)).astype(jnp.int32)


def sweep(env: boards.MineSweeper, state: boards.Field, key: Key) -> Array:
    """MineSweeper: a cell that some number alone shows to be safe, else one of least risk by any single number."""
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
    """Bandit: UCB; every arm once, then the highest mean with a bonus for few pulls. It does not look at the odds."""
    pulls = jnp.maximum(state.pulls, 1)
    bound = state.wins / pulls + jnp.sqrt(0.2 * jnp.log(state.time + 1.0) / pulls)
    return jnp.argmax(jnp.where(state.pulls == 0, jnp.inf, bound)).astype(jnp.int32)


def balance(env: control.CartPole, state: control.Motion, key: Key) -> Array:
    """CartPole: the sign of a linear feedback of all four numbers."""
    return (jnp.dot(state.q, np.array([1.0, 1.6, 18.7, 3.5], np.float32)) > 0).astype(jnp.int32)


def swing_up(env: control.Pendulum, state: control.Motion, key: Key) -> Array:
    """Pendulum: pump energy until it is that of standing upright, then hold."""
    angle, speed = control.wrapped(state.q[0]), state.q[1]
    energy = speed**2 / 2 + 15 * (jnp.cos(angle) - 1)
    pump = jnp.where(energy < 0, 2.0, -2.0) * jnp.where(speed < 0, -1.0, 1.0)
    hold = -(10 * angle + 2.5 * speed)
    near = (jnp.abs(angle) < 0.5) & (jnp.abs(speed) < 3)
    return jnp.clip(jnp.where(near, hold, pump), -2.0, 2.0)[None]


def steer(way: Array) -> Array:
    """The action [2] that takes a point along `way` [2] (m) and brakes at its end."""
    return jnp.clip(8.0 * way / tabletop.SPEED, -1.0, 1.0)


def reach(env: remember_color.RememberColor, state: tabletop.TableState, key: Key) -> Array:
    """RememberColor: waits until the cubes can be seen, then goes to the right one."""
    return jnp.where(state.time >= remember_color.CHOICE, steer(env.goal(state) - state.tip), 0.0)


def carry(env: take_it_back.TakeItBack, state: tabletop.TableState, key: Key) -> Array:
    """TakeItBack: to the cube until it is held, with it to the goal, and back to its start."""
    errand, cube = state.facts, take_it_back.cube(state)
    held = jnp.linalg.norm(cube - state.tip) < HELD
    return steer(jnp.where(held, jnp.where(errand.reached, errand.start, errand.goal) - cube, cube - state.tip))
