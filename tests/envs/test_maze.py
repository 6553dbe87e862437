"""The hard maze against a slow oracle that looks at pixels one by one, and against hand-worked steps."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents import RandomSearch
from prospect_rl.envs.maze import geometry
from prospect_rl.envs.maze.hard import HardMaze, State
from prospect_rl.envs.rollout import episodes

WALL = geometry.bitmap()
ENV = envs.make("maze/hard")


def oracle_contact(x, y, cos, sin):
    """(blocked, left bumper, right bumper) of a robot at a pose: every pixel of its disc."""
    px, py = math.floor(x / 3 + 0.5), math.floor(y / 3 + 0.5)
    heading, blocked, left, right = math.atan2(sin, cos), False, False, False
    for qx in range(px - 3, px + 4):
        for qy in range(py - 3, py + 4):
            inside = 0 <= qx < 200 and 0 <= qy < 200
            if (qx - px) ** 2 + (qy - py) ** 2 > 9 or (inside and not WALL[qy, qx]):
                continue
            blocked = True
            bearing = math.remainder(math.atan2(qy - py, qx - px) - heading, 2 * math.pi)
            right |= 0 < bearing < math.pi / 2
            left |= -math.pi / 2 < bearing < 0
    return blocked, left, right


def entry(x0, y0, x1, y1, qx, qy):
    """Where (0 to 1) the segment enters the closed unit square around the pixel (qx, qy); None if it misses it."""
    low, high = 0.0, 1.0
    for start, end, centre in ((x0, x1, qx), (y0, y1, qy)):
        if start == end:
            if abs(start - centre) > 0.5:
                return None
            continue
        a, b = (centre - 0.5 - start) / (end - start), (centre + 0.5 - start) / (end - start)
        low, high = max(low, min(a, b)), min(high, max(a, b))
    return low if low <= high + 1e-12 else None


def oracle_laser(x, y, angle):
    """The distance to the first obstacle pixel that the line between the two end pixels' centres touches."""
    x0, y0 = math.floor(x / 3 + 0.5), math.floor(y / 3 + 0.5)
    x1 = math.floor((x + 100 * math.cos(angle)) / 3 + 0.5)
    y1 = math.floor((y + 100 * math.sin(angle)) / 3 + 0.5)
    hits = []
    for qx in range(min(x0, x1), max(x0, x1) + 1):
        for qy in range(min(y0, y1), max(y0, y1) + 1):
            inside = 0 <= qx < 200 and 0 <= qy < 200
            if (qx, qy) == (x0, y0) or (inside and not WALL[qy, qx]):
                continue
            at = entry(x0, y0, x1, y1, qx, qy)
            if at is not None:
                hits.append((at, math.hypot(3 * qx - x, 3 * qy - y)))
    return min(hits)[1] if hits else 100.0


def poses(count, seed=0, *, near_walls=False):
    """Free poses (x, y, heading) all over the maze, or only within a pixel of touching something."""
    random, found = np.random.default_rng(seed), []
    free = geometry.contacts(WALL) == 0
    if near_walls:
        free &= ~np.all([np.roll(free, shift, axis) for shift in (-1, 1) for axis in (0, 1)], axis=0)
    while len(found) < count:
        x, y = np.float32(random.uniform(0, 600, 2))
        if free[min(math.floor(y / 3 + 0.5), 199), min(math.floor(x / 3 + 0.5), 199)]:
            found.append((x, y, np.float32(random.uniform(-math.pi, math.pi))))
    return np.array(found, np.float32)


def states(at):
    """The environment's states for poses [n, 3], a step before the end of time."""
    cos, sin = np.cos(at[:, 2]), np.sin(at[:, 2])
    return State(*(jnp.asarray(v) for v in (at[:, 0], at[:, 1], cos, sin)), jnp.zeros(len(at), jnp.int32))


@pytest.fixture(scope="module")
def step():
    return jax.jit(jax.vmap(lambda state, action: ENV.step(state, action, jax.random.key(0))))


def test_the_bitmap_has_its_walls():
    assert WALL.shape == (200, 200) and WALL[:3].all() and WALL[:, -3:].all()
    assert WALL[100, 58] and not WALL[150, 20] and not WALL[20, 20]  # a wall, the start, the goal of the top room
    room = WALL[3:60, 3:197]  # the top room's only way in is right of the wall that ends at x = 132
    assert not room[20:40, 150:190].any()


def test_lasers_agree_with_the_oracle_within_a_pixel(step):
    at = poses(400)
    moved, out = step(states(at), jnp.zeros((len(at), 2)))
    for pose, obs in zip(at, np.asarray(out.obs), strict=True):
        for laser, turn in zip(obs[:3], (math.pi / 4, 0.0, -math.pi / 4), strict=True):
            assert abs(laser - oracle_laser(*map(float, pose[:2]), float(pose[2]) + turn)) <= 3.0001


def test_collisions_and_bumpers_equal_the_oracle(step):
    at = poses(1500, seed=1, near_walls=True)
    actions = np.float32(np.random.default_rng(2).uniform(-1, 1, (len(at), 2)))
    moved, out = step(states(at), jnp.asarray(actions))
    cos, sin = np.asarray(moved.cos, float), np.asarray(moved.sin, float)
    compared = blocked_ones = 0
    for i, (x, y, heading) in enumerate(at.astype(float)):
        left, right = map(float, actions[i])
        turn = (right - left) / 20
        chord = (left + right) / 2 * (math.sin(turn / 2) / (turn / 2) if turn else 1.0)
        tried = x + chord * math.cos(heading + turn / 2), y + chord * math.sin(heading + turn / 2)
        edge = min(abs((v / 3 + 0.5) - round(v / 3 + 0.5)) for v in tried)
        bearings = [math.remainder(math.atan2(dy, dx) - heading - turn, math.pi / 2) for dx, dy in geometry.BEARINGS]
        if edge < 1e-4 or min(map(abs, bearings)) < 1e-4:
            continue  # float32 may round to the other side
        compared += 1
        blocked, bump_left, bump_right = oracle_contact(*tried, math.cos(heading + turn), math.sin(heading + turn))
        blocked_ones += blocked
        assert out.obs[i, 3:].tolist() == [float(bump_left), float(bump_right)]
        expected = (x, y) if blocked else tried
        np.testing.assert_allclose([moved.x[i], moved.y[i]], expected, atol=1e-3)
        np.testing.assert_allclose([cos[i], sin[i]], [math.cos(heading + turn), math.sin(heading + turn)], atol=1e-6)
    assert compared > 1400 and blocked_ones > 50


def test_hand_worked_moves(step):
    one = jax.tree.map(lambda x: x[None], ENV.reset(jax.random.key(0))[0])
    moved, out = step(one, jnp.array([[1.0, 1.0]]))  # straight on: one unit, down and to the right
    np.testing.assert_allclose([moved.x[0], moved.y[0]], [60 + math.sqrt(0.5), 450 + math.sqrt(0.5)], rtol=1e-6)
    moved, _ = step(one, jnp.array([[1.0, -1.0]]))  # on the spot: 0.1 rad to the left (y is down)
    np.testing.assert_allclose([moved.x[0], moved.y[0]], [60, 450])
    np.testing.assert_allclose(math.atan2(moved.sin[0], moved.cos[0]), math.pi / 4 - 0.1, rtol=1e-5)
    np.testing.assert_allclose(moved.cos**2 + moved.sin**2, 1, rtol=1e-6)


def test_a_collision_undoes_the_move_but_keeps_the_turn(step):
    state = states(np.array([[30.0, 16.6, -math.pi / 2]], np.float32))  # just below the upper border, facing it
    moved, out = step(state, jnp.array([[1.0, 0.6]]))
    assert (moved.x[0], moved.y[0]) == (30.0, np.float32(16.6)) and out.obs[0, 3:].max() == 1
    np.testing.assert_allclose(math.atan2(moved.sin[0], moved.cos[0]), -math.pi / 2 - 0.02, rtol=1e-5)


def test_the_heading_keeps_its_length_for_a_whole_episode():
    def spin(state, t):
        return ENV.step(state, jnp.array([1.0, -0.7]), jax.random.key(0))[0], None

    state, _ = jax.jit(lambda s: jax.lax.scan(spin, s, jnp.arange(2000)))(ENV.reset(jax.random.key(0))[0])
    assert abs(state.cos**2 + state.sin**2 - 1) < 1e-6


def test_the_reward_comes_once_and_from_where_the_robot_was_before_its_last_move(step):
    goal = np.array([[100.0, 210.0, 0.0], [60.0, 60.0, 0.0], [100.0, 251.0, 0.0]], np.float32)
    early, late = states(goal), states(goal).replace(t=jnp.full(3, 1999))
    _, out = step(early, jnp.ones((3, 2)))
    assert (out.reward == 0).all() and (out.info["area"] == -1).all() and not out.truncated.any()
    _, out = step(late, jnp.ones((3, 2)))
    np.testing.assert_allclose(out.reward, [0.8, 1.0, 0.0], rtol=1e-6)
    assert out.info["area"].tolist() == [1, 0, -1] and out.info["success"].tolist() == [True, True, False]
    assert out.truncated.all() and not out.terminated.any()


def test_what_is_drawn_is_what_pays():
    """A maze with another start and other goals is paid, pictured and described by its own."""
    assert ENV.goals[0] == (0.1, 0.1, pytest.approx(1 / 12)) and ENV.discs == [(60, 60, 50), (100, 200, 50)]
    env = HardMaze(horizon=1, start=(0.5, 0.9), goals=((0.9, 0.1, 0.01), (0.1, 0.1, 0.01), (0.5, 0.9, 0.05)))
    state, _ = env.reset(jax.random.key(0))
    assert (state.x, state.y) == (300, 540)
    _, out = jax.jit(env.step)(state, jnp.zeros(2), jax.random.key(0))
    assert env.spec.areas == 3 and out.info["area"] == 2 and out.reward == 1
    assert (np.asarray(jax.jit(env.frame)(state))[20, 180] == (213, 94, 0)).all()


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"start": (0.0, 0.0)}, "touches no wall"), ({"start": (1.0, 1.0)}, "touches no wall"),
        ({"goals": ()}, "one or more"), ({"goals": ((0.1, 0.1, 0.0),)}, "a radius above 0"),
        ({"goals": ((0.1, 0.1),)}, "a tuple of 3"), ({"goals": ((0.1, 2.0, 0.1),)}, "at most 1"),
    ],
)  # fmt: skip
def test_bad_starts_and_goals_are_one_line(fields, line):
    with pytest.raises(ValueError, match=line):
        HardMaze(**fields)


def test_random_policies_cover_what_the_prototype_covered():
    """The floor: of 300 random policies nearly none is paid, and they reach a few dozen of the 2500 cells."""
    agent = RandomSearch(population=300).bind(ENV.spec)
    genomes, key = agent.random_genomes(jax.random.key(0), 300), jax.random.key(1)
    run = jax.jit(lambda env, g: episodes(env, agent, g, jnp.ones(300, bool), key, key, population=300))
    data = run(ENV, genomes)
    assert (data.length == 2000).all() and float(data.returns.sum()) < 3
    cells = {tuple(c) for c in np.floor(np.asarray(data.descriptor) * 50).astype(int)}
    assert 60 < len(cells) < 220


def test_pictures():
    image, extent = ENV.backdrop()
    assert image.shape == (200, 200, 3) and extent == (0.0, 1.0, 1.0, 0.0)
    frame = np.asarray(ENV.frame(ENV.reset(jax.random.key(0))[0]))
    assert (
        frame.dtype == np.uint8 and frame[150, 20].tolist() == [0, 90, 200] and frame[20, 20].tolist() == [213, 94, 0]
    )
    assert frame[100, 58].tolist() == [60, 60, 60] and frame[120, 30].tolist() == [255, 255, 255]
