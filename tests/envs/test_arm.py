"""The redundant arm against a slow float64 loop written from the official rules, and numbers worked by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents.evolution.neuroevolution import Neuroevolution
from prospect_rl.envs.arm import redundant
from prospect_rl.envs.arm.redundant import ArmState, RedundantArm
from prospect_rl.envs.rollout import episodes

KEY = jax.random.key(0)


@jax.jit
def advance(env, state, action):
    return env.step(state, action, KEY)


def rest(env, state):
    """The Step of an arm that is left alone."""
    return advance(env, state, jnp.zeros(20))[1]


# --- the slow oracle -----------------------------------------------------------------------------------


def slow_nodes(angles):
    x, y, heading = 0.5, 0.5, math.pi / 2
    points = [(x, y)]
    for angle in angles:
        heading += angle
        x, y = x + 0.05 * math.cos(heading), y + 0.05 * math.sin(heading)
        points.append((x, y))
    return points


def slow_slack(old_hand, points, last_speed):
    """How far from illegal, in units of length: negative where the rules forbid the update."""
    slack = 1 - (math.dist(old_hand, points[-1]) / 2 + last_speed)
    for x, y in points:
        slack = min(slack, x, 1 - x, y, 1 - y)
        for left, low, width, height in (
            (0.49, 0, 0.02, 0.2), (0.49, 0.8, 0.02, 0.2), (0, 0.49, 0.2, 0.02), (0.8, 0.49, 0.2, 0.02),
        ):  # fmt: skip
            depth = min(x - left, left + width - x, y - low, low + height - y)
            slack = min(slack, -depth if depth > 0 else slack)
    for i in range(len(points)):
        for j in range(i):
            slack = min(slack, abs(points[i][0] - points[j][0]) + abs(points[i][1] - points[j][1]) - 0.0475)
    return slack


def slow_episode(actions):
    """(steps, hand, slack of the last update, angles) of an episode under these actions."""
    angles, speeds = np.linspace(0.2 * math.pi, 0.05 * math.pi, 20), np.zeros(20)
    hand = slow_nodes(angles)[-1]
    for count, action in enumerate(actions.astype(float), 1):
        for _ in range(2):
            moved = angles + speeds * 0.01 + action / 2 * 0.01**2
            points = slow_nodes(moved)
            slack = slow_slack(hand, points, speeds[-1])
            if slack < 0:
                return count, hand, slack, angles
            angles, speeds, hand = moved, (moved - angles) / 0.01, points[-1]
    return len(actions), hand, slack, angles


def slow_reward(hand):
    for area, goal in enumerate(((0.25, 0.25), (0.85, 0.85), (0.25, 0.90))):
        if math.dist(hand, goal) < 0.05:
            return (0.05 - math.dist(hand, goal)) / 0.05, area
    return 0.0, -1


def population(horizon, count, keep_steps=False):
    env = RedundantArm(horizon=horizon)
    agent = Neuroevolution().bind(env.spec)
    run = jax.jit(
        lambda g: episodes(env, agent, g, jnp.ones(count, bool), KEY, KEY, population=count, keep_steps=keep_steps)
    )
    return run(agent.random_genomes(jax.random.key(3), count))


def test_episodes_agree_with_the_slow_loop():
    data = population(100, 24, keep_steps=True)
    same = 0
    for p in range(24):
        actions = np.asarray(data.steps.action[: int(data.length[p, 0]), p, 0])
        count, hand, slack, angles = slow_episode(actions)
        ended = bool(data.steps.terminated[len(actions) - 1, p, 0])
        if count != len(actions) or ended != (slack < 0):
            assert abs(slack) < 1e-5  # float32 may judge a bare touch otherwise
            continue
        same += 1
        assert np.allclose(data.info["descriptor"][p, 0], hand, atol=1e-5)
        assert np.allclose(data.steps.next_obs[len(actions) - 1, p, 0], angles / math.pi, atol=1e-5)
        reward, area = slow_reward(hand) if ended else (0.0, -1)
        assert float(data.returns[p, 0]) == pytest.approx(reward, abs=1e-3)
        assert int(data.info["area"][p, 0]) == area
    assert same >= 23


def test_random_policies_last_as_long_as_the_official_ones():
    data = population(250, 1000)
    assert 50 <= float(jnp.median(data.length)) <= 57  # the official arm: 54.5, 60 policies
    assert int(data.length.min()) >= 15
    paid = np.asarray(data.returns[:, 0]) > 0
    assert (np.asarray(data.info["success"][:, 0]) == paid).all()
    hands = np.asarray(data.info["descriptor"][:, 0])
    for p in range(1000):  # every end is by the environment's own rule here, so every end pays
        reward, area = slow_reward(hands[p])
        assert float(data.returns[p, 0]) == pytest.approx(reward, abs=1e-4) and int(data.info["area"][p, 0]) == area


def test_start():
    state, obs = RedundantArm().reset(KEY)
    assert np.allclose(state.hand, (0.3065, 0.6917), atol=5e-5)
    assert np.allclose(obs, np.linspace(0.2, 0.05, 20), atol=1e-6)


def test_speed_and_angle_of_one_step():
    """w gains 0.005 a an update; the angle moves by (0.5 + 1) a dt^2 in the two of them."""
    state, step = advance(RedundantArm(), RedundantArm().reset(KEY)[0], jnp.full(20, -1.0))
    assert np.allclose(state.speeds, -0.01)
    assert np.allclose(step.obs * np.pi, np.linspace(0.2 * np.pi, 0.05 * np.pi, 20) - 1.5e-4, atol=1e-6)


# --- states built by hand ------------------------------------------------------------------------------


def zigzag(x, y):
    """Angles that stretch the arm to (x, y) in a straight zigzag, which is legal at rest."""
    distance, towards = math.dist((x, y), (0.5, 0.5)), math.atan2(y - 0.5, x - 0.5)
    half = math.acos(distance)
    angles = [towards + half - math.pi / 2] + [(-2 if i % 2 else 2) * half for i in range(1, 20)]
    return np.array(angles)


def at_rest(angles, time=0):
    angles = jnp.asarray(angles, jnp.float32)
    return ArmState(angles, jnp.zeros(20), redundant.nodes(angles)[:, -1], jnp.int32(time))


def test_illegal_end_pays_for_the_last_legal_hand():
    straight_up = at_rest(np.zeros(20)).replace(hand=jnp.array([0.25, 0.26]))  # leaves the square
    step = rest(RedundantArm(), straight_up)
    assert step.terminated and not step.truncated and step.info["success"]
    assert float(step.reward) == pytest.approx(0.8, abs=1e-5) and int(step.info["area"]) == 0
    assert np.allclose(step.info["descriptor"], (0.25, 0.26))


def test_nearest_area_index_and_outside():
    up = at_rest(np.zeros(20))
    for hand, reward, area in (((0.85, 0.82), 0.4, 1), ((0.25, 0.90), 1.0, 2), ((0.25, 0.301), 0.0, -1)):
        step = rest(RedundantArm(), up.replace(hand=jnp.array(hand)))
        assert float(step.reward) == pytest.approx(reward, abs=1e-4) and int(step.info["area"]) == area


@pytest.mark.parametrize(
    ("fields", "time", "pays"),
    [({}, 99, False), ({"pay_at_cut": True}, 99, True), ({"horizon": 250}, 99, None), ({"horizon": 250}, 249, True)],
)
def test_a_legal_arm_in_a_goal_is_paid_at_the_end_only(fields, time, pays):
    step = rest(RedundantArm(**fields), at_rest(zigzag(0.85, 0.85), time))
    assert not step.terminated
    assert bool(step.truncated) == (pays is not None)
    assert float(step.reward) == pytest.approx(1.0 if pays else 0.0, abs=1e-3)
    assert int(step.info["area"]) == (1 if pays else -1)


def legal(angles):
    return not bool(rest(RedundantArm(), at_rest(angles)).terminated)


def test_rules_of_legality():
    assert legal(zigzag(0.85, 0.85)) and legal(zigzag(0.15, 0.3))
    assert not legal(zigzag(0.9, 0.5))  # through the right wall
    assert not legal(np.zeros(20))  # out at the top
    assert not legal(np.full(20, 2 * np.pi / 8))  # an octagon, run through again and again
    assert not legal(np.r_[zigzag(0.85, 0.85)[:19], np.pi * 0.98])  # the last link folded back on the one before
    fast = at_rest(zigzag(0.85, 0.85)).replace(speeds=jnp.zeros(20).at[-1].set(1.001))
    assert rest(RedundantArm(), fast).terminated
    slow = at_rest(zigzag(0.85, 0.85)).replace(speeds=jnp.zeros(20).at[-1].set(0.99))
    assert not rest(RedundantArm(), slow).terminated


def test_every_pair_counts():
    """Any two of the 21 nodes that are not neighbours touch when put in one place."""
    grid = np.stack([np.arange(21) * 0.06, np.arange(21) * 0.06])
    check = jax.jit(redundant.apart)
    assert check(*grid)
    for i in range(21):
        for j in range(i + 2, 21):
            moved = grid.copy()
            moved[:, j] = moved[:, i] + (0.02, -0.027)  # 0.047 in L1
            assert not check(*moved)


def test_second_update_alone_illegal_keeps_the_first():
    """The last joint reaches too great a pace between the updates of one step."""
    state = at_rest(zigzag(0.85, 0.85)).replace(speeds=jnp.zeros(20).at[-1].set(0.996))
    action = jnp.zeros(20).at[-1].set(1.0)
    after, step = advance(RedundantArm(), state, action)
    assert step.terminated
    assert float(after.speeds[-1]) == pytest.approx(1.001, abs=1e-6)  # one gain of 0.005, not two
    assert float(after.angles[-1] - state.angles[-1]) == pytest.approx(0.00996 + 0.00005, abs=1e-6)


def test_sincos():
    x = np.linspace(-900, 900, 200_001).astype(np.float32)
    sin, cos = jax.jit(redundant.sincos)(x)
    assert np.abs(np.asarray(sin) - np.sin(x.astype(float))).max() < 3e-7
    assert np.abs(np.asarray(cos) - np.cos(x.astype(float))).max() < 3e-7


# --- fields and pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [0, 251])
def test_bad_horizon(horizon):
    with pytest.raises(ValueError, match="horizon must be at least 1 and at most 250"):
        envs.make("arm/redundant", horizon=horizon)


def test_what_is_drawn_pays():
    env = RedundantArm(horizon=1, pay_at_cut=True, goals=((0.1, 0.9, 0.05), (0.3065, 0.6917, 0.02)))
    state, _ = env.reset(KEY)
    _, step = jax.jit(env.step)(state, jnp.zeros(20), KEY)
    assert env.spec.areas == 2 and step.info["area"] == 1 and step.reward > 0.9
    frame = np.asarray(jax.jit(env.frame)(state))
    assert (frame[int((1 - 0.9) * 64), int(0.1 * 64)] == (220, 50, 40)).all()
    with pytest.raises(ValueError, match="a radius above 0"):
        RedundantArm(goals=((0.1, 0.9, 0.0),))


def test_pictures():
    env = RedundantArm()
    image, extent = env.backdrop()
    assert extent == (0.0, 1.0, 0.0, 1.0) and image.dtype == np.uint8
    assert (image[-10, 200] == 150).all() and (image[200, 10] == 150).all() and (image[200, 200] == 255).all()
    frame = np.asarray(jax.jit(env.frame)(env.reset(KEY)[0]))
    assert frame.shape == (64, 64, 3) and frame.dtype == np.uint8
    assert (frame[int((1 - 0.6917) * 64), int(0.3065 * 64)] == 0).all()  # the hand
    assert (frame[int((1 - 0.85) * 64), int(0.85 * 64)] == (220, 50, 40)).all()  # a goal
    assert (frame[31, 31] == (40, 80, 200)).all()  # the arm at its base
