"""The memory tasks on a table: what is seen when, what counts as success, and who succeeds."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.data.demonstrations import Demonstrations
from prospect_rl.envs.memory import remember_color, take_it_back
from prospect_rl.envs.memory.remember_color import RememberColor
from prospect_rl.envs.memory.take_it_back import TakeItBack
from prospect_rl.envs.mujoco import picture

KEY = jax.random.key(0)
STILL = jnp.zeros(2)
IDS = ("memory/remember_color_3", "memory/take_it_back")


def put(env, state, qpos, qvel):
    """`state` with the simulation at these positions and velocities (m, m/s)."""
    row, read = env.physics.reset(jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32), jnp.bool_(True))
    return state.replace(row=row, read=read)


def outcomes(id, noise=0.0, episodes=64):
    """(success [episodes], lengths [episodes])."""
    made = Demonstrations(id, episodes=episodes, noise=noise).build()
    firsts, reward = np.asarray(made.firsts), np.asarray(made.rows["reward"])
    return np.add.reduceat(reward, firsts), np.diff(np.append(firsts, len(reward)))


# --- RememberColor -----------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [3, 5])
def test_the_cue_comes_first_then_nothing_then_the_cubes(k):
    env = RememberColor(colours=k)
    state, first = env.reset(KEY)
    _, steps = jax.lax.scan(lambda s, _: env.step(s, STILL, KEY), state, None, env.horizon)
    seen = np.concatenate([np.asarray(first)[None], np.asarray(steps.obs)])
    cue, table = seen[:, 4 : 4 + k], seen[:, 4 + k :].reshape(-1, k, 2 + k)
    assert seen.shape[1] == env.size == 4 + k * (3 + k)
    assert (cue[:5] == np.eye(k)[int(state.facts.target)]).all() and not cue[5:].any()
    assert not table[:10].any() and (table[10:] == table[10]).all()
    np.testing.assert_allclose(0.3 * table[10, :, :2], state.facts.places, rtol=1e-5)
    assert (table[10, :, 2:] == np.eye(k)[np.asarray(state.facts.colours)]).all()
    assert steps.truncated.tolist() == [False] * 59 + [True] and not steps.reward.any() and not steps.terminated.any()
    assert set(steps.info) == {"success", "failed"} and not any(x.any() for x in steps.info.values())


@pytest.mark.parametrize(
    ("time", "offset", "speed", "pays"),
    [
        (20, 0.045, 0.0, 1),
        (20, 0.055, 0.0, 0),  # too far away
        (20, 0.0, 0.1, 1),
        (20, 0.0, 0.5, 0),  # too fast: after a step at rest it still has .33 m/s
        (9, 0.045, 0.0, 1),  # the step that shows the cubes
        (8, 0.0, 0.0, 0),  # the place is right, but nothing lies there yet
    ],
)
def test_success_is_near_and_nearly_static(time, offset, speed, pays):
    env = RememberColor()
    state, _ = env.reset(KEY)
    goal = env.goal(state)
    at = put(env, state, goal + jnp.array([0.0, offset]), [speed, 0.0]).replace(time=jnp.int32(time))
    _, step = env.step(at, STILL, KEY)
    assert (float(step.reward), bool(step.terminated), bool(step.info["success"])) == (pays, bool(pays), bool(pays))
    other = put(env, state, state.facts.places[(state.facts.colours != state.facts.target).argmax()], [0.0, 0.0])
    _, step = env.step(other.replace(time=jnp.int32(time)), STILL, KEY)
    assert not step.terminated and not step.reward, "a wrong cube"


def test_places_are_shuffled_by_the_key():
    env = RememberColor(colours=9)
    facts = jax.jit(jax.vmap(lambda key: env.reset(key)[0].facts))(jax.random.split(KEY, 900))
    assert (np.sort(facts.colours, axis=1) == np.arange(9)).all()
    for x in (facts.target, facts.colours[:, 0], (facts.colours == facts.target[:, None]).argmax(1)):
        assert np.bincount(np.asarray(x), minlength=9).min() > 60, "each about 100 times"
    np.testing.assert_allclose(np.linalg.norm(facts.places, axis=2), 0.3, atol=0.0142)
    assert np.abs(facts.places - env.grid).max() > 0.0099
    row = RememberColor().grid
    np.testing.assert_allclose(np.diff(row, axis=0), [[0.1, 0], [0.1, 0]], atol=1e-6)


# --- TakeItBack --------------------------------------------------------------------------------------


def errand(env, at, reached, speed=0.0):
    """One step with the cube so far (m) from the start, 0 for there and 1 for at the goal, and moving (m/s)."""
    state, _ = env.reset(KEY)
    facts = state.facts.replace(reached=jnp.bool_(reached))
    place = facts.start + jnp.asarray(at) * (facts.goal - facts.start)
    away = jnp.array([0.7, 0.7]) * jnp.sign(-place)  # the tip is elsewhere
    start = env.physics.model.qpos0
    qpos = jnp.concatenate([away, place, jnp.zeros(1)]) - jnp.asarray(start, jnp.float32)
    state = put(env, state, qpos, [0, 0, speed, 0, 0]).replace(facts=facts)
    return env.step(state, STILL, KEY)


def test_the_goal_counts_first_then_the_start():
    env = TakeItBack()
    for at, reached, now, pays in (
        (0.0, False, False, 0),
        (1.0, False, True, 0),
        (1.0, True, True, 0),
        (0, True, True, 1),
    ):
        state, step = errand(env, at, reached)
        assert (bool(state.facts.reached), float(step.reward), bool(step.terminated)) == (now, pays, bool(pays))
        assert float(step.obs[-1]) == now and bool((step.obs[6:8] == 0).all()) == now, "the start hides at the goal"
        np.testing.assert_allclose(0.3 * step.obs[4:6], state.facts.goal, rtol=1e-5)
    way = float(jnp.linalg.norm(state.facts.goal - state.facts.start))
    assert errand(env, 0.07 / way, True)[1].reward == 1 and errand(env, 0.09 / way, True)[1].reward == 0
    assert errand(env, 0.0, True, speed=0.4)[1].reward == 0, "too fast"
    assert set(step.info) == {"success", "failed"}


def test_the_magnet_holds_a_cube_below_it_alone():
    env = TakeItBack()
    for distance, held in ((0.0, True), (0.015, True), (0.03, False)):
        state, _ = env.reset(KEY)
        state = put(env, state, [-distance, 0, 0, 0, 0], jnp.zeros(5))
        state, _ = jax.lax.scan(lambda s, _: env.step(s, jnp.array([-1.0, 0.5]), KEY), state, None, 30)
        moved = float(jnp.linalg.norm(take_it_back.cube(state)))
        assert (moved > 0.2) == held and (moved < 1e-4) == (not held)


def test_starts_and_ways():
    env = TakeItBack()
    facts = jax.jit(jax.vmap(lambda key: env.reset(key)[0].facts))(jax.random.split(KEY, 400))
    starts, ways = (np.linalg.norm(x, axis=1) for x in (facts.start, facts.goal - facts.start))
    assert 0.1 <= starts.min() and starts.max() <= 0.2 and 0.1999 <= ways.min() and ways.max() <= 0.4001
    assert not facts.reached.any()


# --- both --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [*IDS, pytest.param("memory/remember_color_9", marks=pytest.mark.slow)])
def test_the_player_succeeds(id):
    success, lengths = outcomes(id)
    assert success.mean() >= 0.95
    assert lengths.max() < envs.make(id).spec.horizon


@pytest.mark.slow
@pytest.mark.parametrize("id", IDS)
def test_chance_does_not(id):
    success, lengths = outcomes(id, noise=1.0)
    assert success.mean() < 0.1
    assert (lengths[success == 0] == envs.make(id).spec.horizon).all()


def test_the_player_waits_for_the_cubes():
    rows = Demonstrations("memory/remember_color_3", episodes=4).build()
    actions = np.stack([rows.rows["action"][first : first + 12] for first in np.asarray(rows.firsts)])
    assert not actions[:, : remember_color.CHOICE].any() and actions[:, remember_color.CHOICE].any(axis=1).all()


@pytest.mark.parametrize("id", IDS)
def test_a_simulation_that_breaks_down_is_truncated(id, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into a file there
    env = envs.make(id)
    _, step = env.step(env.reset(KEY)[0], jnp.full(2, jnp.nan), KEY)
    assert step.truncated and step.info["failed"] and not step.terminated and step.reward == 0
    assert env.failure()


@pytest.mark.parametrize("id", IDS)
def test_pictures_show_what_can_be_seen(id):
    if trouble := picture.unavailable():
        pytest.skip(trouble)
    env = envs.make(id)
    state, _ = env.reset(KEY)
    after = {
        IDS[0]: [state.replace(time=jnp.int32(t)) for t in (7, 12)],
        IDS[1]: [state.replace(facts=state.facts.replace(reached=jnp.bool_(True)))] if id == IDS[1] else [],
    }[id]
    frames = [np.asarray(env.frame(s)) for s in (state, *after)]
    assert all(not np.array_equal(a, b) for i, a in enumerate(frames) for b in frames[:i])


def test_bad_values_are_refused_in_one_line():
    with pytest.raises(ValueError, match="colours must be 3, 5 or 9, not 4"):
        RememberColor(colours=4)
    env = TakeItBack()
    with pytest.raises(ValueError, match=re.escape("memory/take_it_back: an action must have shape (2,), not (3,)")):
        env.step(env.reset(KEY)[0], jnp.zeros(3), KEY)
