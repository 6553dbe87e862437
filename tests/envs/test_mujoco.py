"""The MuJoCo tasks: rewards, ends and failures. That they are gymnasium's is held by tests/parity/test_mujoco.py."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.mujoco import models, picture
from prospect_rl.envs.mujoco.locomotion import HalfCheetah, Hopper, in_band
from prospect_rl.envs.native import failure

IDS = sorted(id for id in envs.ENVS if id.startswith("mujoco/"))
SIZES = {
    "half_cheetah": (17, 6), "hopper": (11, 3), "walker2d": (17, 6), "ant": (105, 8), "swimmer": (8, 2),
    "reacher": (10, 2), "cheetah_vel_sparse": (20, 6), "hopper_vel_sparse": (11, 3), "walker_vel_sparse": (17, 6),
    "half_cheetah_sparse": (17, 6), "hopper_sparse": (11, 3), "walker2d_sparse": (17, 6), "ant_sparse": (27, 8),
    "half_cheetah_far": (17, 6), "hopper_far": (11, 3), "walker2d_far": (17, 6), "ant_far": (27, 8),
    "cartpole_swingup_sparse": (5, 1), "pendulum_swingup_sparse": (3, 1), "ant_maze": (29, 8),
}  # fmt: skip


def roll(env, state, actions):
    """The steps [T] of an env from `state`, carried on past every end."""
    return jax.jit(lambda env, state: jax.lax.scan(lambda s, a: env.step(s, a, jax.random.key(0)), state, actions))(
        env, state
    )[1]


def zeros(env, steps):
    return jnp.zeros((steps, *env.spec.action.shape))


@pytest.mark.parametrize("id", IDS)
def test_sizes_and_bounds(id):
    spec = envs.make(id).spec
    obs, action = SIZES[id.removeprefix("mujoco/")]
    assert (spec.obs.shape, spec.action.shape) == ((obs,), (action,))
    assert np.all(np.asarray(spec.action.low) == -1) and np.all(np.asarray(spec.action.high) == 1)
    assert spec.horizon == (50 if "reacher" in id else 1000)


def test_version_4_sees_what_gymnasium_4_did():
    assert envs.make("mujoco/ant", version="v4").spec.obs.shape == (27,)
    assert envs.make("mujoco/ant", observe_contacts=False).spec.obs.shape == (27,)
    assert envs.make("mujoco/reacher", version="v4").spec.obs.shape == (11,)


def above(x):
    return float(np.nextafter(np.float32(x), np.float32(np.inf)))


@pytest.mark.parametrize(
    ("speed", "target", "band", "reward"),
    [
        (1.5, 1.5, 0.5, 2.0),
        (1.25, 1.5, 0.5, 1.75),
        (1.0, 1.5, 0.5, 1.5),  # the border is inside, on both sides
        (2.0, 1.5, 0.5, 1.5),
        (above(2.0), 1.5, 0.5, 0.0),  # the next float32 beyond it is not
        (float(np.nextafter(np.float32(1.0), np.float32(0))), 1.5, 0.5, 0.0),
        (2.1, 1.5, 0.6, 1.4),  # MEX's own numbers, none of which is exact in binary
        (0.9, 1.5, 0.6, 1.4),
        (2.1 + 1e-9, 1.5, 0.6, 1.4),  # the same float32
        (2.1 + 1e-6, 1.5, 0.6, 0.0),
        (0.9 - 1e-6, 1.5, 0.6, 0.0),
        (0.3, 1.0, 0.7, 1.3),
        (1.7, 1.0, 0.7, 1.3),
        (0.0, 1.5, 0.6, 0.0),
        (-1.5, 1.5, 0.6, 0.0),  # backwards at the right speed
        (-0.2, 0.0, 0.3, 1.8),
    ],
)
def test_band(speed, target, band, reward):
    found, inside = in_band(jnp.float32(speed), target, band)
    assert found == pytest.approx(reward, abs=1e-6)
    assert bool(inside) == (reward > 0)


def test_standing_still_pays_a_cheetah_nothing_and_it_never_terminates():
    env = envs.make("mujoco/cheetah_vel_sparse")
    steps = roll(env, env.reset(jax.random.key(3))[0], zeros(env, 1000))
    assert float(jnp.abs(steps.reward).sum()) == 0
    assert not steps.info["success"].any() and not steps.terminated.any()
    assert steps.truncated.tolist() == [False] * 999 + [True]


def test_only_the_model_free_tasks_go_on_after_a_fall():
    free, based = envs.make("mujoco/hopper_vel_sparse"), envs.make("mujoco/hopper_sparse")
    state, _ = free.reset(jax.random.key(0))
    actions = jnp.ones((150, 3))
    steps, other = roll(free, state, actions), roll(based, state, actions)
    assert float(steps.obs[-1, 0]) < 0.7, "it has not fallen"
    assert not steps.terminated.any() and other.terminated.any()
    np.testing.assert_array_equal(steps.obs, other.obs)
    first = int(jnp.argmax(other.terminated))
    assert other.obs[first, 0] <= 0.7 or abs(other.obs[first, 1]) >= 0.2


def test_control_costs_by_its_weight():
    env = envs.make("mujoco/cheetah_vel_sparse")
    state, _ = env.reset(jax.random.key(0))
    reward = roll(env, state, jnp.full((1, 6), 0.5)).reward[0]
    assert reward == pytest.approx(-0.05 * 6 * 0.25)


@pytest.mark.parametrize("version", ["v4", "v5"])
def test_health_pays_at_the_last_step_in_v4_alone(version):
    env = Hopper(version=version, control_weight=0.0)
    state, _ = env.reset(jax.random.key(0))
    steps = roll(env, state, jnp.ones((100, 3)))
    last = int(jnp.argmax(steps.terminated))
    speed = roll(Hopper(version=version, control_weight=0.0, healthy_reward=0.0), state, jnp.ones((100, 3))).reward
    assert steps.terminated[last]
    bonus = np.asarray(steps.reward - speed)
    np.testing.assert_allclose(bonus[:last], 1, atol=1e-5)
    assert bonus[last] == pytest.approx(1 if version == "v4" else 0, abs=1e-5)


def put(env, state, **fields):
    """The state with other qpos or qvel."""
    model, physics = env.physics.model, env.physics
    data = physics.data(state.row)
    for name, values in fields.items():
        getattr(data, name)[: len(values)] = values
    found = np.zeros(physics.states)
    mujoco.mj_getState(model, data, found, int(mujoco.mjtState.mjSTATE_INTEGRATION))
    rest = np.asarray(state.row)[2 * physics.states :]
    return state.replace(row=jnp.asarray(np.concatenate([found.view(np.uint32), rest])))


def test_far_pays_beyond_its_distance():
    env = HalfCheetah(reward="far", distance=5.0)
    state, _ = env.reset(jax.random.key(0))
    for x, pays in ((4.5, 0), (5.5, 1), (-5.5, 0)):
        step = roll(env, put(env, state, qpos=[x]), jnp.ones((1, 6)))
        assert (float(step.reward[0]), bool(step.info["success"][0])) == (pays, bool(pays))


def test_a_threshold_of_the_return_decides_on_success():
    plain, env = envs.make("mujoco/hopper"), envs.make("mujoco/hopper", threshold=10.0)
    state, _ = env.reset(jax.random.key(0))
    actions = jnp.zeros((40, 3))
    steps, bare = roll(env, state, actions), roll(plain, plain.reset(jax.random.key(0))[0], actions)
    np.testing.assert_array_equal(steps.reward, bare.reward)
    assert not bare.info["success"].any()
    np.testing.assert_array_equal(steps.info["success"], np.cumsum(steps.reward) > 10)
    assert steps.info["success"].any() and not steps.info["success"][:5].any()
    _, again = env.step(env.reset(jax.random.key(0))[0], actions[0], jax.random.key(0))
    assert not again.info["success"], "an episode began with what another one earned"


@pytest.mark.parametrize(
    ("id", "qpos", "pays"),
    [
        ("cartpole", [0, 0], 1),
        ("cartpole", [0.24, 2 * np.pi], 1),
        ("cartpole", [0.26, 0], 0),
        ("cartpole", [0, 0.2], 0),
        ("cartpole", [0, np.pi], 0),
        ("pendulum", [0], 1),
        ("pendulum", [-0.13], 1),
        ("pendulum", [0.15], 0),
        ("pendulum", [np.pi], 0),
    ],
)
def test_swing_ups_pay_upright(id, qpos, pays):
    env = envs.make(f"mujoco/{id}_swingup_sparse")
    state = put(env, env.reset(jax.random.key(0))[0], qpos=qpos, qvel=[0.0] * len(qpos))
    step = env.step(state, jnp.zeros(1), jax.random.key(0))[1]
    assert float(step.reward) == pays
    dense = type(env)(reward="dense").step(state, jnp.zeros(1), jax.random.key(0))[1]
    assert float(dense.reward) == pytest.approx((1 + np.cos(qpos[-1])) / 2, abs=0.01)


def test_the_pendulum_is_too_weak_to_be_lifted_at_once():
    env = envs.make("mujoco/pendulum_swingup_sparse")
    steps = roll(env, env.reset(jax.random.key(0))[0], jnp.ones((300, 1)))
    assert float(steps.obs[:, 0].max()) < 0, "it must stay below the hinge"
    assert not steps.reward.any()


def test_an_environment_says_what_broke_down(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = envs.make("mujoco/hopper")
    state, _ = env.reset(jax.random.key(0))
    assert env.step(state, jnp.full(3, jnp.nan), jax.random.key(0))[1].truncated
    assert "CTRL" in env.failure().upper()


@pytest.mark.parametrize("cause", ["action", "velocity"])
def test_a_failure_ends_its_own_episode_alone(cause, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into a file there
    env = envs.make("mujoco/hopper")
    state, _ = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 3))
    action = jnp.zeros((3, 3))
    step_all = jax.jit(jax.vmap(env.step, (0, 0, None)))
    fine = step_all(state, action, jax.random.key(0))[1]
    if cause == "action":
        action = action.at[1, 0].set(jnp.nan)
    else:
        blown = put(env, jax.tree.map(lambda x: x[1], state), qvel=[1e30] * 6)
        state = state.replace(row=state.row.at[1].set(blown.row))
    after, step = step_all(state, action, jax.random.key(0))
    assert step.info["failed"].tolist() == step.truncated.tolist() == [False, True, False]
    assert not step.terminated.any() and not step.info["success"].any()
    assert step.reward[1] == 0
    assert failure() != ""
    for leaf in jax.tree.leaves((step, after.time)):
        assert np.isfinite(np.asarray(leaf)).all()
    np.testing.assert_array_equal(step.obs[::2], fine.obs[::2])
    going = step_all(after, jnp.zeros((3, 3)), jax.random.key(0))[1]
    assert not going.info["failed"].any(), "it must be possible to go on"


def test_what_is_not_needed_costs_no_simulation():
    env = envs.make("mujoco/hopper")
    blank, _ = env.reset_if(jnp.zeros((), bool), jax.random.key(0))
    assert not blank.row.any()
    state, _ = env.reset(jax.random.key(0))
    after, _ = env.step_if(jnp.zeros((), bool), state, jnp.ones(3), jax.random.key(0))
    np.testing.assert_array_equal(after.row, state.row)


def test_starts_spread_as_gymnasiums():
    env = envs.make("mujoco/ant")
    qpos, qvel = jax.jit(jax.vmap(env.start))(jax.random.split(jax.random.key(0), 2000))
    assert 0.099 < float(jnp.abs(qpos).max()) <= 0.1
    assert float(qvel.std()) == pytest.approx(0.1, rel=0.03)
    reacher = envs.make("mujoco/reacher")
    qpos, qvel = jax.jit(jax.vmap(reacher.start))(jax.random.split(jax.random.key(0), 2000))
    goal = np.asarray(qpos[:, 2:]) + reacher.physics.model.qpos0[2:]
    radius = np.linalg.norm(goal, axis=1)
    assert radius.max() <= 0.2 + 1e-6
    assert np.mean(radius < 0.1) == pytest.approx(0.25, abs=0.03), "uniform in the disc, not in the radius"
    assert not np.asarray(qvel[:, 2:]).any()


def test_the_cheetah_weighs_what_its_file_says_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = models.load.__wrapped__("half_cheetah.xml")
    assert model.body_mass.sum() == pytest.approx(14)
    assert not list(tmp_path.iterdir()), "MuJoCo wrote a log"


@pytest.mark.parametrize(
    ("id", "fields", "said"),
    [
        ("mujoco/ant", {"version": "v3"}, "version must be 'v4' or 'v5', not 'v3'"),
        ("mujoco/hopper_far", {"reward": "none"}, "reward must be 'dense', 'velocity' or 'far'"),
        ("mujoco/pendulum_swingup_sparse", {"reward": "far"}, "reward must be 'sparse' or 'dense'"),
        ("mujoco/hopper_far", {"threshold": 1.0}, "threshold applies to the return of the dense reward"),
        ("mujoco/hoper", {}, "did you mean 'mujoco/hopper'"),
    ],
)
def test_bad_values_are_refused_in_one_line(id, fields, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        envs.make(id, **fields)


def test_an_action_of_the_wrong_size_is_refused():
    env = envs.make("mujoco/hopper")
    state, _ = env.reset(jax.random.key(0))
    with pytest.raises(ValueError, match=re.escape("mujoco/hopper: an action must have shape (3,), not (4,)")):
        env.step(state, jnp.zeros(4), jax.random.key(0))


def test_pictures_or_a_clear_line(monkeypatch):
    env = envs.make("mujoco/pendulum_swingup_sparse")
    state, _ = env.reset(jax.random.key(0))
    if not picture.unavailable():
        hanging, up = env.frame(state), env.frame(put(env, state, qpos=[0.0]))
        assert hanging.shape == (240, 320, 3) and hanging.dtype == jnp.uint8
        red = [
            int(np.argmax((np.asarray(x)[..., 0] > 2 * np.asarray(x)[..., 2].astype(int)).sum(1)))
            for x in (hanging, up)
        ]
        assert red[1] < 120 < red[0], "the bob is above the hinge's height when it is up; row 0 is the top"
    monkeypatch.setattr(picture, "unavailable", lambda: "no OpenGL")
    with pytest.raises(NotImplementedError, match="Pendulum cannot be rendered here: no OpenGL"):
        env.frame(state)


def test_the_card_names_every_task():
    text = Path(models.__file__).with_name("README.md").read_text()
    missing = [id for id in IDS if f"`{id.removeprefix('mujoco/')}`" not in text]
    assert not missing
