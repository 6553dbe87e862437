"""Our POPGym tasks against popgym 1.0.7 itself, step by step: the same cards, boards, odds, states and noise.

In the games ours plays whole episodes with what popgym has drawn for its own, then popgym repeats the actions. Control
tasks are compared one step at a time from popgym's states: float32 would leave float64 within a second of falling.
"""

from __future__ import annotations

import re

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

popgym = pytest.importorskip("popgym.envs")

from prospect_rl import envs  # noqa: E402
from prospect_rl.envs.api import Box, Discrete  # noqa: E402
from prospect_rl.envs.data.demonstrations import oracle  # noqa: E402
from prospect_rl.envs.memory import control  # noqa: E402
from prospect_rl.envs.memory.table import LEVELS, TASKS  # noqa: E402

CONTROL = [name for name in TASKS if "CartPole" in name or "Pendulum" in name]
GAMES = [name for name in TASKS if name not in CONTROL]
SEEDS = range(5)


def fast(names):
    """Easy levels; the others are slow."""
    return [name if name.endswith("Easy") else pytest.param(name, marks=pytest.mark.slow) for name in names]


def theirs_of(name):
    return getattr(popgym, name)()


def flat(env, obs):
    return np.asarray(gymnasium.spaces.flatten(env.observation_space, obs), np.float32)


# --- what popgym has drawn ---------------------------------------------------------------------------


def dealt(deck, field):
    """The cards of a deck in the order in which they are dealt, as numbers of one of its fields."""
    return getattr(deck, f"{field}_idx")[deck.idx[::-1]]


def chances(name, theirs, horizon, seed):
    """(what `begin` takes, or None; what each `resolve` takes, leading [horizon], or None) of an episode just reset."""
    family = re.sub(f"({'|'.join(LEVELS)})$", "", name)
    if family in ("RepeatFirst", "RepeatPrevious"):
        cards = dealt(theirs.deck, "suits")
    elif family == "Autoencode":
        cards = np.pad(dealt(theirs.deck, "suits"), (0, horizon))[: horizon + 1]
    elif family == "HigherLower":
        cards = dealt(theirs.deck, "ranks")
    elif family == "CountRecall":
        field = {2: "colors", 4: "suits", 13: "ranks"}[theirs.num_distinct_cards]
        cards = np.stack([dealt(theirs.value_deck, field), dealt(theirs.query_deck, field)], 1)
    elif family == "Concentration":
        return None, np.tile(theirs.deck_idx_type[theirs.deck.idx], (horizon, 1))
    elif family == "Battleship":
        return theirs.board.reshape(-1) == 1, None
    elif family == "MineSweeper":
        return theirs.hidden_grid.reshape(-1) == 1, None
    else:
        rng = np.random.default_rng(seed)
        odds = rng.random(theirs.num_bandits, dtype=np.float32)
        assert (odds == theirs.bandits).all()
        return odds, rng.random(horizon).astype(np.float32)
    return cards[0].astype(np.int32), cards[1:].astype(np.int32)


def ours_played(env, first, chance, expert, key):
    """(obs at reset, actions, steps, live) of one episode; `expert` []: whether the oracle plays."""
    state, obs = env.reset(key) if first is None else env.begin(first)
    act = oracle(env)

    def body(carry, given):
        (state, live), (t, chance) = carry, given
        k_act, k_random = jax.random.split(jax.random.fold_in(key, t))
        action = jnp.where(expert, act(state, k_act), env.spec.action.sample(k_random))
        if chance is None:
            state, step = env.step(state, action, key)
        else:
            state, step = env.resolve(state, action, chance[action] if chance.ndim == 1 and first is None else chance)
        return (state, live & ~(step.terminated | step.truncated)), (action, step, live)

    given = (jnp.arange(env.spec.horizon), chance)
    return obs, *jax.lax.scan(body, (state, jnp.ones((), bool)), given)[1]


def play_both(name, seeds):
    """Ours for each seed with random actions, then with the oracle; popgym's must be equal all along."""
    env, theirs = envs.make(f"popgym/{name}"), theirs_of(name)
    drawn = []
    for seed in seeds:
        theirs.reset(seed=seed)
        drawn += 2 * [chances(name, theirs, env.spec.horizon, seed)]
    first, chance = jax.tree.map(lambda *x: np.stack(x), *drawn)
    lanes = len(drawn)
    keys = jax.random.split(jax.random.key(1), lanes)
    run = jax.jit(jax.vmap(ours_played, (None, 0, 0, 0, 0)))
    obs, actions, steps, live = jax.tree.map(np.asarray, run(env, first, chance, np.arange(lanes) % 2 == 1, keys))
    for lane in range(lanes):
        expected, _ = theirs.reset(seed=seeds[lane // 2])
        assert (obs[lane] == flat(theirs, expected)).all()
        for t in range(int(live[lane].sum())):
            action = actions[lane, t]
            if isinstance(theirs.action_space, gymnasium.spaces.MultiDiscrete):
                action = np.array(divmod(int(action), int(theirs.action_space.nvec[1])))
            expected, reward, terminated, truncated, _ = theirs.step(action)
            where = f"{name}, seed {seeds[lane // 2]}, step {t}"
            assert (steps.obs[lane, t] == flat(theirs, expected)).all(), where
            assert steps.reward[lane, t] == np.float32(reward), where
            assert steps.terminated[lane, t] == terminated, where
            assert steps.truncated[lane, t] == (truncated and not terminated), where
        assert terminated or truncated
    return live.sum(1)


@pytest.mark.parametrize("name", fast(GAMES))
def test_games(name):
    play_both(name, [3] if name.endswith("Easy") else list(SEEDS))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in GAMES if name.endswith("Easy")])
def test_easy_games_at_length(name):
    play_both(name, list(range(10, 30)))


# --- control -----------------------------------------------------------------------------------------


def first_of(theirs, seed):
    """(first state, standard normal numbers in the order in which noise is made) of an episode of popgym's."""
    rng, pendulum = np.random.default_rng(seed), hasattr(theirs, "max_torque")
    high = np.array([np.pi, 1.0]) if pendulum else np.full(4, 0.05)
    return rng.uniform(-high, high), rng.normal(size=(theirs.max_episode_length + 1, 2))


def control_episode(name, seed, expert):
    """popgym's episode: (state before each step, action, noise, obs after it, reward, terminated, truncated)."""
    env, theirs = envs.make(f"popgym/{name}"), theirs_of(name)
    act = jax.jit(oracle(env))
    obs, _ = theirs.reset(seed=seed)
    q, noise = first_of(theirs, seed)
    assert np.allclose(q, theirs.state)
    _, ours = env.begin(jnp.asarray(q, jnp.float32), jnp.asarray(noise[0], jnp.float32))
    assert np.allclose(ours, obs, atol=1e-6)
    rng, rows, over = np.random.default_rng(seed), [], False
    while not over:
        before = np.asarray(theirs.state, np.float32)
        state = control.ControlState(before, np.int32(len(rows)))
        action = np.asarray(act(state, None)) if expert else rng.uniform(-2.5, 2.5, 1) if "Pend" in name else None
        action = np.int32(rng.integers(2)) if action is None else action
        action = action.astype(np.float32) if "Pend" in name else int(action)
        obs, reward, terminated, truncated, _ = theirs.step(action)
        rows.append((before, action, noise[len(rows) + 1], obs, reward, terminated, truncated))
        over = terminated or truncated
    return env, rows


@pytest.mark.parametrize("name", fast(CONTROL))
def test_control(name):
    for seed in [3] if name.endswith("Easy") else SEEDS:
        for expert in (False, True):
            env, rows = control_episode(name, seed, expert)
            q, action, noise, obs, reward, terminated, truncated = map(np.asarray, zip(*rows, strict=True))
            state = control.ControlState(q, np.arange(len(q), dtype=np.int32))
            after, step = jax.jit(jax.vmap(env.resolve))(state, action, noise.astype(np.float32))
            np.testing.assert_allclose(step.obs, obs, rtol=1e-5, atol=2e-6)
            np.testing.assert_allclose(step.reward, reward, rtol=1e-4, atol=1e-6)
            assert (step.terminated == terminated).all() and (step.truncated == (truncated & ~terminated)).all()
            angle = 0 if "Pend" in name else 2
            np.testing.assert_allclose(after.q[:-1, angle], q[1:, angle], rtol=1e-5, atol=2e-6)


# --- names and spaces --------------------------------------------------------------------------------


def test_every_task_of_popgym_but_the_labyrinths_is_there():
    found = {cls.__name__ for cls in popgym.ALL if "Labyrinth" not in cls.__name__}
    assert set(TASKS) == found and len(TASKS) == 42


@pytest.mark.parametrize("name", TASKS)
def test_spaces(name):
    spec, theirs = envs.make(f"popgym/{name}").spec, theirs_of(name)
    box = gymnasium.spaces.flatten_space(theirs.observation_space)
    assert isinstance(spec.obs, Box) and spec.obs.shape == box.shape
    assert np.allclose(np.broadcast_to(spec.obs.low, box.shape), box.low)
    assert np.allclose(np.broadcast_to(spec.obs.high, box.shape), box.high)
    if isinstance(theirs.action_space, gymnasium.spaces.Box):
        assert spec.action == Box((1,), -2.0, 2.0)
    else:
        nvec = getattr(theirs.action_space, "nvec", None)
        size = theirs.action_space.n if nvec is None else np.prod(nvec)
        assert spec.action == Discrete(int(size))
    length = getattr(theirs, "max_episode_length", None) or getattr(theirs, "episode_length", spec.horizon)
    assert spec.horizon == length
