"""Curling: contacts with known answers, the limits of the arm, and what is paid. Against Box2D: tests/parity."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.arm import contact
from prospect_rl.envs.arm.contact import BALL, DT, FADE, LIMITS, REACH, ROOM, SLOP, SUDDEN
from prospect_rl.envs.arm.curling import Curling

KEY = jax.random.key(0)
ENV = Curling()
FAR = (1.2, 1.2)
"""Where the arm, turned to the left, does not come."""


def state(ball=FAR, velocity=(0.0, 0.0), spin=0.0, angles=(0.0, 0.0), touching=False, time=0):
    return ENV.reset(KEY)[0].replace(
        ball=jnp.array(ball, jnp.float32), velocity=jnp.array(velocity, jnp.float32), spin=jnp.float32(spin),
        angles=jnp.array(angles, jnp.float32), touching=jnp.array(touching), time=jnp.int32(time),
    )  # fmt: skip


@jax.jit
def step(state, action):
    return ENV.step(state, action, KEY)


@jax.jit
def run(state, actions):
    """All states [T] under actions [T, 2]."""

    def body(state, action):
        state, _ = ENV.step(state, action, KEY)
        return state, state

    return jax.lax.scan(body, state, actions)[1]


def played(state, action, steps):
    """The states [steps] under one action; always as many are computed, by one program."""
    states = run(state, jnp.tile(jnp.array(action, jnp.float32), (500, 1)))
    return jax.tree.map(lambda x: np.asarray(x)[:steps], states)


IDLE = (0.0, 0.0)


def test_start():
    _, obs = ENV.reset(KEY)
    assert np.allclose(obs, (-0.5, 0.2, 0, 0, 0, 0))
    still = played(ENV.reset(KEY)[0], IDLE, 20)
    assert np.allclose(still.ball, (-0.5, 0.2)) and np.allclose(still.angles, 0)


def test_a_free_ball_slows_down():
    """Velocities are divided by 1 + 1.1 dt before a step, the spin by 1 + 2 dt."""
    after = played(state((0.5, 0.5), (0.3, -0.2), spin=4.0), IDLE, 50)
    fades = (1 + 1.1 / 60) ** -np.arange(1, 51.0)
    assert np.allclose(after.velocity, fades[:, None] * (0.3, -0.2), atol=1e-6)
    assert np.allclose(after.ball, (0.5, 0.5) + np.cumsum(fades)[:, None] / 60 * (0.3, -0.2), atol=1e-5)
    assert np.allclose(after.spin, 4 * (1 + 2 / 60) ** -np.arange(1, 51.0), rtol=1e-5)


@pytest.mark.parametrize(("speed", "kept"), [(2.0, 0.9), (1.05, 0.9), (0.98, 0.0), (0.3, 0.0)])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_ball_bounces_off_a_wall_above_1_m_per_s(speed, kept, axis, sign):
    place, velocity = [1.0, 1.0], [0.0, 0.0]
    place[axis], velocity[axis] = sign * (ROOM - 1e-3), sign * speed / FADE
    after, _ = step(state(place, velocity), jnp.zeros(2))
    assert float(after.velocity[axis]) == pytest.approx(-sign * kept * speed, abs=1e-5)
    assert abs(float(after.velocity[1 - axis])) < 1e-6 and abs(float(after.ball[axis])) <= np.float32(ROOM)


def test_a_ball_rolls_after_it_rubbed_against_a_wall():
    """Friction stops the slip where the impact is hard enough: 2 / 3 of the speed along the wall is left."""
    after, _ = step(state((ROOM - 1e-3, 0.5), (2.0, 0.6)), jnp.zeros(2))
    assert float(after.velocity[1]) == pytest.approx(0.4 * FADE, abs=1e-5)
    assert abs(float(after.spin)) == pytest.approx(0.4 * FADE / BALL, rel=1e-5)
    weak, _ = step(state((ROOM - 1e-3, 0.5), (0.3, 3.0)), jnp.zeros(2))
    assert float(weak.velocity[1]) == pytest.approx((3 - math.sqrt(0.18) * 0.3) * FADE, abs=1e-5)


BESIDE = (-0.05 - REACH + SLOP, 0.0)
"""At the left side of the upright arm, 1.5 m from its base, touching."""


def test_a_link_pushes_the_ball_at_its_own_speed():
    after, _ = step(state(BESIDE, touching=True), jnp.array([0.5, 0.0]))
    assert float(after.velocity[0]) == pytest.approx(-0.5 * 1.5, rel=0.01)
    pushed = played(state(BESIDE, touching=True), (0.5, 0.0), 30)
    assert (pushed.ball[:, 0] < pushed.angles[:, 0] * -1.4 - 0.1).all()  # ahead of the link all the way
    assert pushed.touching.sum() > 20


def test_a_fast_link_strikes_the_ball():
    after, _ = step(state(BESIDE, touching=True), jnp.array([1.0, 0.0]))
    assert float(after.velocity[0]) == pytest.approx(-1.9 * 1.5, rel=0.01)


def test_a_sudden_impact_turns_the_second_joint_back():
    """The link recoils as if it were free, and the ball gets less speed than from a link that is held."""
    near = (-0.05 - REACH - 0.001, 0.3)
    after, out = step(state(near), jnp.array([1.0, 0.0]))
    assert -1.8 * 1.9 < float(after.velocity[0]) < -0.5
    assert float(out.obs[5]) < -0.5 and float(after.angles[1]) < 0


@pytest.mark.parametrize("sign", [-1, 1])
def test_joints_stop_at_their_limits(sign):
    after = played(state((-1.2 * sign, 1.2)), (sign, -sign), 250)
    assert np.allclose(after.angles[-1], sign * LIMITS * (1, -1)) and np.allclose(after.speeds[-1], 0)
    assert np.allclose(after.speeds[0], (sign, -sign), atol=1e-4)


def test_actions_are_clipped():
    assert np.allclose(played(state(), (3.0, 0.0), 1).angles, (DT, 0.0), atol=1e-6)


@pytest.mark.parametrize("action", [(1.0, 0.0), (-1.0, 0.0), (1.0, 1.0), (-0.7, -0.9), (0.2, 1.0)])
def test_the_arm_stays_on_the_table(action):
    after = played(state((0.0, 1.2)), action, 400)
    for angles in after.angles[::10]:
        arm = contact.Arm.at((jnp.float32(angles[0]), jnp.float32(angles[1])))
        for corner in arm.corners():
            assert abs(float(corner.x)) < contact.CLEAR + 0.03 and float(corner.y) > -contact.CLEAR - 0.03


@pytest.mark.parametrize("action", [(0.5, 0.0), (1.0, 0.5), (0.3, -0.2)])
def test_a_ball_that_is_pressed_against_a_wall_stops_the_arm(action):
    after = played(ENV.reset(KEY)[0], action, 500)
    assert (np.abs(after.ball) <= np.float32(ROOM)).all() and after.ball[:, 0].min() < -1.2
    for t in range(100, 500, 20):
        arm = contact.Arm.at((jnp.float32(after.angles[t, 0]), jnp.float32(after.angles[t, 1])))
        ball = contact.Vector(jnp.float32(after.ball[t, 0]), jnp.float32(after.ball[t, 1]))
        assert float(arm.touch(ball).depth) < SUDDEN + 0.02


def test_a_wedged_ball_is_held_by_friction():
    after = played(ENV.reset(KEY)[0], (0.3, 0.0), 500)
    assert np.allclose(after.ball[-1], after.ball[-100], atol=0.02)
    assert after.angles[-1, 0] - after.angles[-100, 0] < 0.02 < 99 * 0.3 * DT


@pytest.mark.parametrize(
    ("ball", "reward", "area"),
    [((0.8, 0.8), 1.0, 0), ((0.8, 1.0), 0.5, 0), ((0.8, -0.75), 0.75, 1), ((0.8, -0.55), 0.0, -1), (FAR, 0.0, -1)],
)
def test_the_ball_is_paid_at_the_last_step(ball, reward, area):
    early, last = (step(state(ball, time=t), jnp.zeros(2))[1] for t in (498, 499))
    assert early.reward == 0 and early.info["area"] == -1 and not early.truncated
    assert last.truncated and not last.terminated and int(last.info["area"]) == area
    assert float(last.reward) == pytest.approx(reward, abs=1e-5) and bool(last.info["success"]) == (reward > 0)
    assert np.allclose(last.info["descriptor"], ball)


def test_bad_goals():
    with pytest.raises(ValueError, match="a radius above 0"):
        envs.make("arm/curling", goals=((0.1, 0.9, 0.0),))


def test_pictures():
    image, extent = ENV.backdrop()
    assert extent == (-1.5, 1.5, -1.5, 1.5) and (image[200, 2] == 150).all() and (image[200, 200] == 255).all()
    frame = np.asarray(jax.jit(ENV.frame)(ENV.reset(KEY)[0]))

    def at(x, y):
        return tuple(int(v) for v in frame[int((1.5 - y) / 3 * 64), int((x + 1.5) / 3 * 64)])

    assert frame.shape == (64, 64, 3) and frame.dtype == np.uint8
    assert at(-0.5, 0.2) == (40, 80, 200) and at(0.8, 0.8) == at(0.8, -0.8) == (220, 50, 40)
    assert at(0.01, 0.2) == at(0.01, -1.0) == (100, 100, 100) and at(0.01, 0.6) == (255, 255, 255)
    assert at(-1.49, 0.0) == (150, 150, 150)
