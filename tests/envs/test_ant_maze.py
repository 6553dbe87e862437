"""The ant maze: masses and one step of the original model, and what is paid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.mujoco.ant_maze import WALLS, AntMaze

KEY = jax.random.key(0)
AFTER = {
    "RK4": (
        -24.987632934, -24.956259268, 0.633078546, 0.999387089, -0.014641696, 0.029613924, -0.011579445, 0.096010344,
        0.246649336, -0.040726498, -0.151165957, -0.005918846, -0.176925156, 0.084280646, 0.134479822,
    ),
    "implicitfast": (
        -24.987290918, -24.956338451, 0.636542893, 0.999386022, -0.014716869, 0.029648694, -0.011486867, 0.100011241,
        0.285850435, -0.044185501, -0.208348746, -0.007464929, -0.220461044, 0.084202724, 0.193026745,
    ),
}  # fmt: skip
"""qpos after one step of the original XML, with its total mass of 25755, from the state of `begun`."""


def begun(env):
    random = np.random.RandomState(0)
    qpos, qvel = random.uniform(-0.1, 0.1, 15), 0.1 * random.randn(14)
    row, _ = env.physics.reset(jnp.float32(qpos), jnp.float32(qvel), jnp.ones((), bool))
    return row


def moved(env, x, y, time):
    """An episode that stands at (x, y)."""
    qpos = jnp.zeros(15).at[0].set(x + 25).at[1].set(y + 25)
    row, _ = env.physics.reset(qpos, jnp.zeros(14), jnp.ones((), bool))
    return env.reset(KEY)[0].replace(row=row, time=jnp.int32(time))


def test_masses():
    """Torso with head, and thigh, hip and ankle of each leg."""
    mass = AntMaze().physics.model.body_mass
    assert mass.sum() == pytest.approx(41.449, abs=1e-3)
    assert np.allclose(mass[1:], [14.9103, *([1.78056, 1.78056, 3.07352] * 4)], atol=1e-4)


@pytest.mark.parametrize("integrator", AFTER)
def test_one_step_is_that_of_the_original(integrator):
    env = AntMaze(integrator=integrator)
    row, _, failed = env.physics.step(begun(env), jnp.sin(jnp.arange(8.0)), jnp.ones((), bool))
    assert not failed and np.allclose(env.physics.data(row).qpos, AFTER[integrator], atol=1e-6)


def test_start():
    state, obs = jax.vmap(AntMaze().reset)(jax.random.split(KEY, 100))
    places = np.asarray(obs[:, :2]) * 70 + 5
    assert np.abs(places + 25).max() <= 0.1 + 1e-4 and places.std() > 0.03
    assert np.allclose(state.memory, places, atol=1e-4)
    assert 0.08 < float(obs[:, 15:].std()) < 0.12


@pytest.mark.parametrize(("x", "y", "area"), [(35, -25, 0), (34, -25, 0), (-25, 35, 1), (0, 0, -1), (31.5, -25, -1)])
def test_the_torso_is_paid_at_the_last_step(x, y, area):
    env = AntMaze()
    for time in (500, 999):
        state, step = env.step(moved(env, x, y, time), jnp.zeros(8), KEY)
        place = np.asarray(state.memory)
        paid = time == 999 and area >= 0
        goal = np.array(env.goals[max(area, 0)][:2])
        reward = (3 - np.hypot(*(place - goal))) / 3 if paid else 0.0
        assert float(step.reward) == pytest.approx(reward, abs=1e-5) and bool(step.info["success"]) == paid
        assert int(step.info["area"]) == (area if paid else -1) and bool(step.truncated) == (time == 999)
        assert np.allclose(step.info["descriptor"], (place - 5) / 70, atol=1e-6)


def test_a_failed_simulation_is_not_paid():
    env = AntMaze()
    _, step = env.step(moved(env, 35, -25, 999), jnp.full(8, jnp.nan), KEY)
    assert step.info["failed"] and step.truncated and step.reward == 0 and step.info["area"] == -1


def test_bad_fields():
    with pytest.raises(ValueError, match="integrator"):
        envs.make("mujoco/ant_maze", integrator="Euler")
    with pytest.raises(ValueError, match="a radius above 0"):
        envs.make("mujoco/ant_maze", goals=((1.0, 1.0, 0.0),))


def test_walls_that_are_drawn_are_those_of_the_model():
    model = AntMaze().physics.model
    boxes = [(*pos[:2], *size[:2]) for pos, size in zip(model.geom_pos, model.geom_size, strict=True) if size[2] == 2]
    assert np.allclose(boxes, WALLS)


def test_pictures():
    env = AntMaze()
    image, extent = env.backdrop()
    assert extent == (-0.5, 0.5, -0.5, 0.5) and (image[200, 0] == 150).all() and (image[200, 300] == 255).all()
    frame = np.asarray(jax.jit(env.frame)(env.reset(KEY)[0]))

    def at(x, y):
        return tuple(int(v) for v in frame[int((40 - y) / 70 * 64), int((x + 30) / 70 * 64)])

    assert at(-25, -25) == (40, 80, 200) and at(35, -25) == at(-25, 35) == (220, 50, 40)
    assert at(-15, 20) == at(10, -15) == at(-3, -15) == (150, 150, 150) and at(20, 20) == (255, 255, 255)
