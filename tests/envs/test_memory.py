"""T-Maze, and POPGym's games by hand. That the games are popgym's all along is shown in tests/parity."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.memory import boards, cards, pairs, recite
from prospect_rl.envs.memory.tmaze import AGENT, DOWN, GOAL, LEFT, RIGHT, TRAP, UP, TMaze

KEY = jax.random.key(0)


def act(env, state, actions):
    """(final state, [steps]) of a list of actions, one after the other."""
    steps, step = [], jax.jit(env.step)
    for i, action in enumerate(actions):
        state, made = step(state, jnp.int32(action), jax.random.fold_in(KEY, i))
        steps.append(jax.tree.map(np.asarray, made))
    return state, steps


# --- T-Maze ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "turn", "reward"), [(1, UP, 1), (1, DOWN, 0), (-1, DOWN, 1), (-1, UP, 0)])
def test_tmaze_by_hand(side, turn, reward):
    env = TMaze(length=5)
    state, obs = env.reset_side(jnp.int32(side), KEY)
    assert obs[:3].tolist() == [0, side, 0] and obs[3] in (-1, 0, 1)
    _, steps = act(env, state, [RIGHT, RIGHT, RIGHT, turn])
    assert [step.obs[:3].tolist() for step in steps] == [[0, 0, 0], [0, 0, 0], [0, 0, 1], [2 - turn, 0, 1]]
    assert [float(step.reward) for step in steps] == [0, 0, 0, reward]
    assert [bool(step.terminated) for step in steps] == [False] * 3 + [True] and not steps[-1].truncated
    assert bool(steps[-1].info["success"]) == bool(reward)


def test_tmaze_walls_and_limit():
    env = TMaze(length=6)
    state, _ = env.reset(KEY)
    state, steps = act(env, state, [UP, DOWN, LEFT, RIGHT, UP])
    assert (int(state.x), int(state.y)) == (1, 0) and not any(step.terminated | step.truncated for step in steps)
    _, (step,) = act(env, state, [RIGHT])
    assert step.truncated and not step.terminated and step.reward == 0


def test_tmaze_holds_at_the_junction():
    env = TMaze(length=9)
    state, _ = env.reset(KEY)
    state, steps = act(env, state, [RIGHT] * 8)
    assert int(state.x) == 7 and [step.obs[2] for step in steps] == [0] * 6 + [1, 1]


def hints(env, side=1):
    state, obs = env.reset_side(jnp.int32(side), KEY)
    _, steps = act(env, state, [RIGHT] * (env.length - 2))
    return [int(x) for x in [obs[1], *(step.obs[1] for step in steps)]], state


def test_tmaze_cues():
    assert hints(TMaze(length=8, cue_steps=2, delay=1))[0] == [0, 1, 1, 0, 0, 0, 0]
    for decides, ours in (("first", 0), ("last", 1), ("product", None)):
        env = TMaze(length=9, cues=2, cue_steps=2, gap=1, decides=decides)
        for side in (-1, 1):
            seen, state = hints(env, side)
            one, two = seen[0], seen[3]
            assert seen == [one, one, 0, two, two, 0, 0, 0] and abs(one * two) == 1
            assert (one * two if ours is None else (one, two)[ours]) == side == int(env.goal(state.cues))
    sides = jax.jit(jax.vmap(lambda key: TMaze().reset(key)[0].cues[0]))(jax.random.split(KEY, 400))
    assert 150 < int(jnp.sum(sides == 1)) < 250


def test_tmaze_noise_and_distractors():
    env = TMaze(length=5, distractors=3)
    assert env.spec.obs.shape == (7,)
    noise = np.asarray(jax.jit(jax.vmap(lambda key: env.reset(key)[1][3:]))(jax.random.split(KEY, 600)))
    assert all(150 < (noise == value).sum(0).min() for value in (-1, 0, 1))
    assert len(np.unique(noise @ [1, 3, 9, 27])) > 60, "the channels are drawn each for itself"


def test_tmaze_of_varying_length():
    env = TMaze(length=12, shortest=2)
    found = np.asarray(jax.jit(jax.vmap(lambda key: env.reset(key)[0].corridor))(jax.random.split(KEY, 900)))
    counts = np.bincount(found, minlength=11)
    assert set(found) == set(range(2, 11)) and counts[2:].min() > 60


def test_tmaze_of_a_million_steps():
    env = TMaze(length=1_000_000)
    state, _ = env.reset_side(jnp.int32(1), KEY)
    state = state.replace(x=jnp.int32(999_997), time=jnp.int32(999_997))
    _, steps = act(env, state, [RIGHT, UP])
    assert steps[0].obs[2] == 1 and steps[1].reward == 1 and not steps[1].truncated and env.spec.horizon == 1_000_000


@pytest.mark.parametrize(("fields", "message"), [
    ({"length": 2}, "length must be at least 3 and at most 1,000,000, not 2"),
    ({"length": 1_000_001}, "length must be"),
    ({"length": 9, "shortest": 8}, "shortest must be at most length - 2 = 7, not 8"),
    ({"cues": 3}, "cues must be 1 or 2"),
    ({"cue_steps": 0}, "cue_steps must be at least 1"),
    ({"length": 9, "delay": 8}, "the last cue would come at step 8, but the junction may be reached at 7"),
    ({"length": 9, "shortest": 1, "cues": 2}, "the last cue would come at step 2"),
])  # fmt: skip
def test_tmaze_bad_fields(fields, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        envs.make("memory/tmaze", **fields)


def test_tmaze_picture():
    env = TMaze(length=5)
    state, _ = env.reset_side(jnp.int32(1), KEY)
    picture = np.asarray(env.frame(state.replace(x=jnp.int32(2))))[4::8, 4::8]
    assert picture.shape == (5, 35, 3)
    assert picture[2, 3].tolist() == list(AGENT)
    assert picture[1, 4].tolist() == list(GOAL) and picture[3, 4].tolist() == list(TRAP)


def test_tmaze_states_are_told_apart():
    env = TMaze(length=5)
    state, _ = env.reset_side(jnp.int32(1), KEY)
    _, steps = act(env, state, [RIGHT, RIGHT, RIGHT, UP])
    assert len({int(step.info["state_id"]) for step in steps}) == 4


@pytest.mark.parametrize("kinds", [2, 4, 13])
def test_cards_are_drawn_from_those_that_are_left(kinds):
    def deal(key):
        def body(left, key):
            card = cards.draw(left, jax.random.bits(key))
            return cards.removed(left, card), card

        left, dealt = jax.lax.scan(body, cards.full_deck(kinds, 1), jax.random.split(key, 52))
        return left, dealt

    left, dealt = jax.jit(jax.vmap(deal))(jax.random.split(KEY, 520))
    assert not left.any(), "a whole deck was dealt"
    for place in (0, 30, 51):
        counts = np.bincount(dealt[:, place], minlength=kinds)
        assert len(counts) == kinds and abs(counts - 520 / kinds).max() < 4 * np.sqrt(520 / kinds)
    skewed = jnp.zeros(kinds, jnp.int32).at[0].set(1).at[-1].set(3)
    found = jax.jit(jax.vmap(cards.draw, (None, 0)))(skewed, jax.random.bits(KEY, (400,)))
    assert set(np.asarray(found)) == {0, kinds - 1} and 250 < (found > 0).sum() < 350


# --- games by hand -----------------------------------------------------------------------------------


def rewards(env, state, actions, chances):
    found = []
    for action, chance in zip(actions, chances, strict=True):
        state, step = env.resolve(state, jnp.int32(action), jnp.asarray(chance, jnp.int32))
        found.append(round(float(step.reward), 6))
    return found, step


def test_repeat_first_by_hand():
    env = cards.RepeatFirst("x")
    state, obs = env.begin(jnp.int32(2))
    assert obs.tolist() == [0, 0, 1, 0]
    found, step = rewards(env, state, [2, 1, 2], [0, 1, 3])
    assert found == [round(x / 51, 6) for x in (1, -1, 1)] and step.obs.tolist() == [0, 0, 0, 1]


def test_repeat_previous_by_hand():
    env = cards.RepeatPrevious("x", k=2)
    found, _ = rewards(env, env.begin(jnp.int32(3))[0], [0, 3, 1, 1], [1, 2, 0, 0])
    assert found == [0, round(1 / 50, 6), round(1 / 50, 6), round(-1 / 50, 6)]


def test_autoencode_by_hand():
    env = recite.Autoencode("x")
    state, obs = env.begin(jnp.int32(1))
    assert obs.tolist() == [0, 1, 0, 1, 0, 0], "watch, suit 1"
    dealt = [i % 4 for i in range(1, 52)]
    found, step = rewards(env, state, [0] * 51, dealt)
    assert found == [0] * 51 and step.obs.tolist() == [1, 0, 0, 0, 0, 1], "play, with the last suit, 3"
    state, _ = env.begin(jnp.int32(1))
    found, step = rewards(env, state, [0] * 51 + dealt[::-1] + [1], dealt + [0] * 52)
    assert found[51:] == [round(1 / 52, 6)] * 52 and step.terminated and step.info["success"]


def test_count_recall_by_hand():
    env = recite.CountRecall("x")
    state, obs = env.begin(jnp.array([1, 0]))
    assert obs.tolist() == [0, 1, 1, 0] and env.spec.action.n == 27
    found, _ = rewards(env, state, [0, 1, 2], [[1, 0], [0, 1], [0, 0]])
    assert found == [round(x / 51, 6) for x in (1, -1, 1)], "no 0 yet; still none; two of 1"


def test_higher_lower_by_hand():
    env = recite.HigherLower("x")
    found, _ = rewards(env, env.begin(jnp.int32(5))[0], [0, 1, 0, 1], [6, 6, 2, 1])
    assert found == [round(x / 52, 6) for x in (1, 0, -1, 1)]


def test_concentration_by_hand():
    env = pairs.Concentration("x")
    state, _ = env.reset(KEY)
    one, two = 1 / 104, 1 / 26
    actions, kinds = [0, 1, 2, 2, 0, 2, 0, 2, 0], [0, 1, 0, 0, 0, 0, 0, 0, 0]
    found, step = rewards(env, state, actions, kinds)
    expected = [0, -2 * one, 0, -2 * one, 0, two, -one, -one, -one]
    assert found == [round(x, 6) for x in expected], "unlike; the same card twice; a pair; cards that are up"
    shown = np.asarray(step.obs).reshape(52, 3)
    assert shown[[0, 1, 2]].argmax(1).tolist() == [0, 2, 0]


def test_battleship_by_hand():
    env = boards.Battleship("x", width=4, ships=(2,))
    state, _ = env.begin(jnp.zeros(16, bool).at[jnp.array([5, 6])].set(True))
    _, steps = act(env, state, [5, 5, 0, 6])
    assert np.allclose([step.reward for step in steps], [1 / 2, -1 / 14, -1 / 14, 1 / 2])
    assert [step.obs.tolist() for step in steps] == [[0, 1], [1, 0], [1, 0], [0, 1]]
    assert steps[-1].terminated and steps[-1].info["success"] and not steps[2].terminated


def test_ships_are_placed_as_often_everywhere():
    """A ship of 2 on a board 3 wide: 12 places."""
    env = boards.Battleship("x", width=3, ships=(2,))
    found = np.asarray(jax.jit(jax.vmap(lambda key: env.reset(key)[0].ships))(jax.random.split(KEY, 2400)))
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == 12 and counts.min() > 150 and (found.sum(1) == 2).all()
    both = boards.Battleship("x", width=6, ships=(4, 3, 3, 2))
    found = np.asarray(jax.jit(jax.vmap(lambda key: both.reset(key)[0].ships))(jax.random.split(KEY, 50)))
    assert (found.sum(1) == 12).all(), "no two overlap"


def test_minesweeper_by_hand():
    env = boards.MineSweeper("x", width=3, mines=1)
    state, _ = env.begin(jnp.zeros(9, bool).at[0].set(True))
    _, steps = act(env, state, [4, 8, 8, 0])
    assert np.allclose([step.reward for step in steps], [1 / 8, 1 / 8, -0.5 / 6, -0.5 - 1 / 8])
    assert [int(step.obs.argmax()) for step in steps] == [1, 0, 0, 1] and steps[-1].terminated


def test_mines_lie_as_often_everywhere():
    env = boards.MineSweeper("x", width=3, mines=2)
    found = np.asarray(jax.jit(jax.vmap(lambda key: env.reset(key)[0].mines))(jax.random.split(KEY, 3600)))
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == 36 and (found.sum(1) == 2).all() and counts.min() > 60
