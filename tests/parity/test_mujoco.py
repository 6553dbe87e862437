"""Every MuJoCo task against gymnasium's own environment: the same state, the same actions, step by step.

States and observations are equal bit for bit; rewards within 1e-5, as ours are float32; the rewards of sparse tasks
are worked out in double precision from gymnasium's velocities.
"""

import warnings

import gymnasium
import jax
import mujoco
import numpy as np
import pytest

from prospect_rl import envs

pytest.importorskip("imageio", reason="gymnasium's MuJoCo environments import it")

STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)
DENSE = [
    (f"mujoco/{ours}", {"version": version}, f"{theirs}-{version}")
    for ours, theirs in (
        ("half_cheetah", "HalfCheetah"), ("hopper", "Hopper"), ("walker2d", "Walker2d"), ("ant", "Ant"),
        ("swimmer", "Swimmer"), ("reacher", "Reacher"),
    )
    for version in ("v4", "v5")
]  # fmt: skip


def theirs_of(id, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # v4 is said to be out of date
        return gymnasium.make(id, **kwargs).unwrapped


def state_of(theirs):
    state = np.zeros(mujoco.mj_stateSize(theirs.model, STATE))
    mujoco.mj_getState(theirs.model, theirs.data, state, STATE)
    return state


def roll(env, key, actions):
    """(first row and obs, rows [T, W] and steps [T]) of an env, carried on past every end."""

    def one(state, action):
        state, step = env.step(state, action, key)
        return state, (state.row, step)

    state, obs = env.reset(key)
    return (state.row, obs), jax.lax.scan(one, state, actions)[1]


def compare(env, theirs, steps, seed=0, reward=None, terminates=True, observe=None):
    """Assert all. reward(theirs, info, action) and observe(theirs, obs) say what is expected in place of theirs."""
    key, physics = jax.random.key(seed), env.physics
    bounds = theirs.action_space
    actions = np.random.default_rng(seed).uniform(bounds.low, bounds.high, (steps, *bounds.shape)).astype(np.float32)
    (row, obs), (rows, ours) = jax.tree.map(np.asarray, jax.jit(roll)(env, key, actions))

    scratch = mujoco.MjData(theirs.model)
    mujoco.mj_setState(theirs.model, scratch, physics.state(row), STATE)
    theirs.reset(seed=0)
    mujoco.mj_resetData(theirs.model, theirs.data)
    theirs.set_state(scratch.qpos, scratch.qvel)
    np.testing.assert_array_equal(physics.state(row), state_of(theirs))
    observe = observe or (lambda theirs, obs: obs)
    np.testing.assert_array_equal(obs, observe(theirs, theirs._get_obs()).astype(np.float32))

    ended = 0
    for t, action in enumerate(actions):
        their_obs, their_reward, terminated, _, info = theirs.step(action)
        np.testing.assert_array_equal(physics.state(rows[t]), state_of(theirs), f"state {t}")
        np.testing.assert_array_equal(ours.obs[t], observe(theirs, their_obs).astype(np.float32), f"obs {t}")
        expected = reward(theirs, info, action.astype(float)) if reward else their_reward
        assert abs(float(ours.reward[t]) - expected) <= 1e-5, f"reward {t}"
        assert ours.terminated[t] == (terminated and terminates), f"termination {t}"
        ended += terminated
    return ended, ours


@pytest.mark.parametrize(("id", "fields", "theirs"), DENSE, ids=lambda x: x if isinstance(x, str) else "")
@pytest.mark.parametrize("steps", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_dense_tasks_are_gymnasiums(id, fields, theirs, steps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # gymnasium's cheetah makes MuJoCo write a log
    ended, steps = compare(envs.make(id, **fields), theirs_of(theirs), steps, seed=len(id))
    falls = any(name in id for name in ("hopper", "walker", "ant"))
    assert (ended > 0) == falls or "ant" in id, "nothing ended, or what cannot end did"


def band(target, width, weight, contact=0.0):
    """MEX's reward in double precision."""

    def reward(theirs, info, action):
        off = abs(info["x_velocity"] - target)
        forces = np.clip(theirs.data.cfrc_ext, -1, 1)
        return (2 - off if off <= width else 0.0) - weight * np.sum(action**2) - contact * np.sum(forces**2)

    return reward


def far(distance):
    return lambda theirs, info, action: float(info["x_position"] > distance)


def with_torso(theirs, obs):
    return np.concatenate([obs, theirs.get_body_com("torso")])


SPARSE = {
    "cheetah_vel_sparse": ("HalfCheetah-v4", band(1.5, 0.6, 0.05), {"observe": with_torso}),
    "hopper_vel_sparse": ("Hopper-v4", band(1.5, 0.6, 0.05), {"terminates": False}),
    "walker_vel_sparse": ("Walker2d-v4", band(1.0, 0.5, 0.001), {"terminates": False}),
    "half_cheetah_sparse": ("HalfCheetah-v4", band(1.5, 0.6, 0.1), {}),
    "hopper_sparse": ("Hopper-v4", band(1.5, 0.6, 0.05), {}),
    "walker2d_sparse": ("Walker2d-v4", band(1.0, 0.5, 0.001), {}),
    "ant_sparse": ("Ant-v4", band(1.0, 0.7, 0.5, 0.0005), {}),
    "half_cheetah_far": ("HalfCheetah-v5", far(-0.2), {}),
    "hopper_far": ("Hopper-v5", far(-0.2), {}),
    "walker2d_far": ("Walker2d-v5", far(-0.2), {}),
    "ant_far": ("Ant-v5", far(-0.2), {"include": False}),
}


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("steps", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_sparse_tasks_are_gymnasiums_with_another_reward(name, steps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    id, reward, more = SPARSE[name]
    more = dict(more)
    fields = {"distance": -0.2} if name.endswith("far") else {}  # random robots go backwards
    theirs = theirs_of(id, **({"include_cfrc_ext_in_observation": False} if "include" in more else {}))
    more.pop("include", None)
    _, ours = compare(envs.make(f"mujoco/{name}", **fields), theirs, steps, seed=3, reward=reward, **more)
    assert ours.info["success"].any(), "no step was paid: the reward is not tested"
    assert not ours.info["success"].all()
