"""Point masses in mazes against gymnasium-robotics bit for bit, and against hand-worked numbers; the data they give."""

import tempfile
import warnings
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.data import datasets
from prospect_rl.envs.pointmaze.layout import GOALS, HORIZONS, MAPS, layout
from prospect_rl.envs.pointmaze.maze import PointMaze
from prospect_rl.envs.pointmaze.waypoints import Walker, Waypoints
from prospect_rl.envs.rollout import episodes
from prospect_rl.experiments.bench.floors import pointmaze as floors

MASS = 4000 / 3 * np.pi * 0.1**3
"""Of a sphere of 10 cm and 1000 kg/m^3: 4.18879 kg."""
H = 0.01
MAZES = pytest.mark.parametrize("maze", MAPS)
FAMILIES = pytest.mark.parametrize("family", ["maze2d", "pointmaze"])


def roll(env, state, actions):
    """(rows [T, W], steps [T]) of actions [T, 2] from a state."""

    def one(state, action):
        state, step = env.step(state, action, jax.random.key(0))
        return state, (state.row, step)

    rows, steps = jax.jit(lambda s, a: jax.lax.scan(one, s, a)[1])(state, actions)
    return env.physics.state(np.asarray(rows)), steps


def pushes(steps, seed=0, hold=15):
    """Random forces [steps, 2] that last for a while each, so that walls are hit; some lie beyond the bounds."""
    forces = np.random.default_rng(seed).uniform(-1.3, 1.3, (-(-steps // hold), 2))
    return np.repeat(forces, hold, 0)[:steps].astype(np.float32)


# --- against gymnasium-robotics ----------------------------------------------------------------------


@pytest.fixture
def theirs_of(tmp_path, monkeypatch):
    """Maze -> their environment; what they write goes to a folder of the test's."""
    gymnasium = pytest.importorskip("gymnasium")
    robotics = pytest.importorskip("gymnasium_robotics")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gymnasium.register_envs(robotics)
    names = {"umaze": "UMaze", "medium": "Medium", "large": "Large"}
    return lambda maze: gymnasium.make(f"PointMaze_{names[maze]}-v3", disable_env_checker=True)


def follow(theirs, start, actions):
    """Their (positions and velocities [T, 4], rewards [T], steps that touch a wall) from ours [4] on."""
    theirs.point_env.set_state(start[:2], start[2:])
    seen, paid, touching = [], [], 0
    for action in actions:
        obs, reward, terminated, truncated, _ = theirs.step(action)
        assert not terminated and not truncated
        seen.append(obs["observation"])
        paid.append(reward)
        contacts = theirs.point_env.data.contact
        touching += any(min(pair) > 0 for pair in zip(contacts.geom1, contacts.geom2, strict=True))  # 0 is the ground
    return np.array(seen), np.array(paid), touching


@MAZES
@pytest.mark.parametrize("steps", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_pointmaze_is_gymnasiums_bit_for_bit(theirs_of, maze, steps):
    env, theirs = PointMaze("pointmaze", maze), theirs_of(maze).unwrapped
    theirs.reset(seed=0)
    state, obs = env.reset(jax.random.key(3))
    start, actions = env.physics.state(np.asarray(state.row))[1:5], pushes(steps)
    theirs.goal = np.asarray(obs[:2], float) + 0.2
    rows, ours = roll(env, state.replace(goal=obs[:2] + 0.2), actions)
    seen, paid, touching = follow(theirs, start, actions)
    assert touching > steps / 10, "the walls are not tested"
    assert 0 < paid.sum() < steps, "the reward is not tested"
    np.testing.assert_array_equal(rows[:, 1:5], seen)
    np.testing.assert_array_equal(ours.obs[:, :4], seen.astype(np.float32))
    np.testing.assert_array_equal(ours.reward, paid)


@MAZES
def test_maze2d_is_the_same_maze_in_another_frame(theirs_of, maze):
    """x and y trade places: theirs are (column, -row) from the middle, D4RL's (row, column) less 0.2."""
    env, theirs = PointMaze("maze2d", maze), theirs_of(maze).unwrapped
    theirs.reset(seed=0)
    state, _ = env.reset(jax.random.key(4))
    start, actions = env.physics.state(np.asarray(state.row))[1:5], pushes(300, seed=1)
    height, width = env.layout.free.shape
    middle = np.array([(height - 1) / 2, (width - 1) / 2]) - 0.2

    def turn(x):
        return np.stack([x[..., 1], -x[..., 0]], -1)

    at = np.concatenate([turn(start[:2] - middle), turn(start[2:])])
    seen, _, touching = follow(theirs, at, turn(actions))
    rows, _ = roll(env, state, actions)
    assert touching > 30
    np.testing.assert_allclose(turn(rows[:, 1:3] - middle), seen[:, :2], atol=1e-6)
    np.testing.assert_allclose(turn(rows[:, 3:5]), seen[:, 2:], atol=1e-5)


@MAZES
def test_maps_limits_and_places_are_theirs(theirs_of, maze):
    whole = theirs_of(maze)
    theirs, mine = whole.unwrapped, layout("pointmaze", maze)
    assert whole.spec.max_episode_steps == HORIZONS[maze] == PointMaze("pointmaze", maze).spec.horizon
    np.testing.assert_array_equal(mine.free, np.array(theirs.maze.maze_map) == 0)
    np.testing.assert_allclose(mine.positions(mine.cells), np.array(theirs.maze.unique_reset_locations))
    np.testing.assert_allclose(mine.positions(mine.cells), np.array(theirs.maze.unique_goal_locations))


# --- hand-worked numbers -----------------------------------------------------------------------------


@FAMILIES
def test_in_free_space_the_step_is_a_formula(family):
    """v' = (m v + h 100 u) / (m + h), x' = x + h v': damping is implicit."""
    env = PointMaze(family, "umaze")
    state, _ = env.at(jnp.asarray(env.layout.centres((1, 2))), jnp.zeros(2), jnp.asarray(env.goal))
    actions = 0.4 * pushes(20)
    rows, _ = roll(env, state, actions)
    x, v = env.physics.state(np.asarray(state.row))[1:3], np.zeros(2)
    for t, u in enumerate(actions.astype(float)):
        v = (MASS * v + H * 100 * u) / (MASS + H)
        x = x + H * v
        np.testing.assert_allclose(rows[t, 1:5], np.append(x, v), rtol=1e-8)


@pytest.mark.parametrize("speed", [5.0, -5.0, 5.000001, -7.25, 1e30, 4.999999, -0.0])
def test_a_step_begins_by_clipping_the_speed(speed):
    env = PointMaze("maze2d", "umaze")
    state, _ = env.at(jnp.asarray(env.layout.centres((1, 2))), jnp.array([0.0, speed]), jnp.asarray(env.goal))
    rows, _ = roll(env, state, np.zeros((1, 2), np.float32))
    clipped = np.clip(np.float64(np.float32(speed)), -5, 5)
    np.testing.assert_allclose(rows[0, 4], MASS * clipped / (MASS + H), rtol=1e-14)


@MAZES
def test_the_goal_of_maze2d_is_d4rls(maze):
    """A cell's place is its (row, column) there."""
    env = PointMaze("maze2d", maze)
    np.testing.assert_array_equal(env.goal, GOALS[maze])
    assert MAPS[maze][GOALS[maze][0]][GOALS[maze][1]] == " "


@pytest.mark.parametrize(("family", "radius"), [("maze2d", 0.5), ("pointmaze", 0.45)])
def test_what_ends_within_the_radius_pays(family, radius):
    env = PointMaze(family, "umaze")
    away = env.layout.positions((1, 2)) - env.layout.positions((1, 1))
    for distance, pays in ((radius - 1e-3, 1), (radius + 1e-3, 0)):
        state, _ = env.at(jnp.asarray(env.goal + distance * away), jnp.zeros(2), jnp.asarray(env.goal))
        _, step = env.step(state, jnp.zeros(2), jax.random.key(0))
        assert (step.reward, step.info["success"]) == (pays, bool(pays))
        assert not step.terminated


def test_success_is_kept_and_the_horizon_truncates():
    env = PointMaze("maze2d", "umaze")
    state, _ = env.at(jnp.asarray(env.goal), jnp.zeros(2), jnp.asarray(env.goal))
    actions = np.zeros((300, 2), np.float32)
    actions[:40, 1] = 1.0  # away, for good
    _, steps = roll(env, state, actions)
    assert steps.reward[0] == 1 and not steps.reward[60:].any() and steps.info["success"].all()
    assert not steps.truncated[:299].any() and steps.truncated[299] and not steps.terminated.any()


@lru_cache
def starts(family, maze):
    """Observations [2000, o] at resets, and their goals."""
    env = PointMaze(family, maze)
    state, obs = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 2000))
    return np.asarray(obs), np.asarray(state.goal)


@MAZES
def test_maze2d_starts_within_a_tenth_of_every_place(maze):
    obs, goals = starts("maze2d", maze)
    mine = layout("maze2d", maze)
    off = obs[:, None, :2] - mine.positions(mine.cells)
    cell = (off**2).sum(-1).argmin(1)
    noise = off[np.arange(len(obs)), cell]
    assert 0.099 < abs(noise).max() <= 0.1 + 1e-6
    assert set(cell) == set(range(len(mine.cells))), "the goal's cell too"
    assert np.bincount(cell).min() > 0.5 * len(obs) / len(mine.cells)
    np.testing.assert_allclose(obs[:, 2:].std(0), 0.1, rtol=0.1)
    np.testing.assert_array_equal(goals, np.broadcast_to(GOALS[maze], goals.shape))


@MAZES
def test_pointmaze_starts_at_rest_in_another_cell_than_its_goal(maze):
    obs, goals = starts("pointmaze", maze)
    mine = layout("pointmaze", maze)
    np.testing.assert_array_equal(obs[:, 4:], goals)
    assert not obs[:, 2:4].any()
    cells = []
    for found in (obs[:, :2], goals):
        off = found[:, None] - mine.positions(mine.cells)
        cells.append((off**2).sum(-1).argmin(1))
        assert 0.245 < abs(off[np.arange(len(obs)), cells[-1]]).max() <= 0.25 + 1e-6
        assert set(cells[-1]) == set(range(len(mine.cells)))
    assert (np.linalg.norm(mine.positions(mine.cells)[cells[0]] - goals, axis=1) > 0.5).all()


def test_an_action_that_is_no_number_is_said_and_pays_nothing():
    env = PointMaze("maze2d", "umaze")
    state, _ = env.at(jnp.asarray(env.goal), jnp.zeros(2), jnp.asarray(env.goal))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state, step = env.step(state, jnp.array([jnp.nan, 0.0]), jax.random.key(0))
    assert step.info["failed"] and step.reward == 0 and np.isfinite(step.obs).all()


def test_bad_fields_are_one_line():
    with pytest.raises(ValueError, match="maze.*umaze.*'umze'"):
        PointMaze("maze2d", "umze")
    with pytest.raises(ValueError, match="family.*'d4rl'"):
        PointMaze("d4rl")
    with pytest.raises(ValueError, match=r"an action must have shape \(2,\), not \(3,\)"):
        env = PointMaze()
        env.step(env.reset(jax.random.key(0))[0], jnp.zeros(3), jax.random.key(0))


# --- shortest paths ----------------------------------------------------------------------------------


@MAZES
def test_ways_are_shortest(maze):
    """Against distances by repeated relaxation."""
    mine = layout("maze2d", maze)
    apart = abs(mine.cells[:, None] - mine.cells).sum(-1)
    distance = np.where(apart == 1, 1, np.where(apart == 0, 0, 10**6))
    for k in range(len(mine.cells)):
        distance = np.minimum(distance, distance[:, k : k + 1] + distance[k])
    goal, cell = np.indices(mine.next_cells.shape)
    ahead = distance[mine.next_cells, goal]
    np.testing.assert_array_equal(ahead, np.maximum(distance - 1, 0))
    assert (apart[mine.next_cells, cell] <= 1).all()


def walked(env, count, seed=0):
    """Episodes of the clean controller."""
    go = jax.jit(partial(episodes, population=1, episodes=count, shared=True), static_argnums=1)
    key = jax.random.key(seed)
    return go(env, Walker(env), (), jnp.ones(1, bool), key, key)


@pytest.mark.parametrize(
    ("family", "maze"),
    [("maze2d", "large"), ("pointmaze", "umaze"), *(pytest.param(f, m, marks=pytest.mark.slow) for f, m in (
        ("maze2d", "umaze"), ("maze2d", "medium"), ("pointmaze", "medium"), ("pointmaze", "large"),
    ))],
)  # fmt: skip
def test_the_walker_reaches_every_goal(family, maze):
    assert walked(PointMaze(family, maze), 32).info["success"].all()


OTHERS = {"umaze": (235.0, 32.0), "medium": (408.8, 57.0), "large": (546.1, 2.8)}
"""Of a rebuild in Python: a clean controller's returns (errors 7.3, 12.5, 16.8) and random actions' (12, 21, 1.9)."""


@pytest.mark.slow
@MAZES
def test_returns_are_near_those_of_others(maze):
    clean, random = (returns.mean() for returns, _ in floors.measure(PointMaze("maze2d", maze), 200))
    assert abs(clean - OTHERS[maze][0]) < 0.1 * OTHERS[maze][0]
    assert abs(random - OTHERS[maze][1]) < {"umaze": 30, "medium": 50, "large": 15}[maze]


# --- data --------------------------------------------------------------------------------------------


@lru_cache
def made(**fields):
    """A small dataset and its arrays."""
    data = Waypoints(**{"rows": 4000, "streams": 20, **fields}).build()
    return data, {name: np.asarray(x) for name, x in data.rows.items()}


def lengths_of(data):
    return np.diff(np.append(np.asarray(data.firsts), len(data.rows["reward"])))


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    first = datasets.digest(made()[0])
    assert datasets.digest(Waypoints(rows=4000, streams=20).build()) == first
    assert datasets.digest(made(seed=1)[0]) != first


def test_rows_are_steps_of_the_environment():
    env, (data, rows) = envs.make("maze2d/umaze"), made()
    datasets.check(data)
    datasets.check_fits(data, env.spec)
    assert not rows["terminated"].any() and rows["truncated"][-1]
    lasts = np.append(np.asarray(data.firsts)[1:], len(rows["reward"])) - 1
    np.testing.assert_array_equal(np.flatnonzero(rows["truncated"]), lasts)
    inside = ~rows["truncated"][:-1]
    np.testing.assert_array_equal(rows["next_obs"][:-1][inside], rows["obs"][1:][inside])
    free = np.flatnonzero(np.linalg.norm(rows["obs"][:, :2] % 1 - 0.8, axis=1) < 0.3)[:50]  # middles are at .8
    v = np.clip(rows["obs"][free, 2:].astype(float), -5, 5)
    expected = (MASS * v + H * 100 * rows["action"][free]) / (MASS + H)
    np.testing.assert_allclose(rows["next_obs"][free, 2:], expected, atol=1e-5)


def test_rewards_are_those_of_either_end_of_a_step():
    goal = np.array(GOALS["umaze"])
    _, rows = made()
    at = {name: np.linalg.norm(rows[name][:, :2] - goal, axis=1) <= 0.5 for name in ("obs", "next_obs")}
    assert 0 < at["obs"].sum() < len(rows["obs"]) and (at["obs"] != at["next_obs"]).any()
    np.testing.assert_array_equal(rows["reward"], at["next_obs"])
    _, before = made(reward_of="this")
    np.testing.assert_array_equal(before["next_obs"], rows["next_obs"])
    np.testing.assert_array_equal(before["reward"], at["obs"])


def test_pointmaze_pays_for_the_goal_that_is_walked_to():
    data, rows = made(family="pointmaze")
    near = np.linalg.norm(rows["next_obs"][:, :2] - rows["obs"][:, 4:], axis=1) <= 0.45
    np.testing.assert_array_equal(rows["reward"], near)
    datasets.check_fits(data, envs.make("pointmaze/umaze").spec)
    goals = rows["obs"][:, 4:]
    same = (goals[1:] == goals[:-1]).all(1)
    np.testing.assert_array_equal(same, ~rows["truncated"][:-1], "a new goal with every trajectory, and only then")


def trajectories(rows):
    """The bytes of each one."""
    ends = np.flatnonzero(rows["truncated"]) + 1
    return [part.tobytes() for part in np.split(rows["obs"], ends[:-1])]


@pytest.mark.parametrize("stratified", [True, False])
def test_a_share_is_whole_trajectories(stratified):
    whole, rows = made()
    data, part = made(share=0.25, stratified=stratified)
    of, mine = trajectories(rows), trajectories(part)
    assert set(mine) < set(of) and mine == [one for one in of if one in set(mine)], "in their order"
    assert len(mine) == len(data.firsts)
    longest = lengths_of(whole).max()
    assert 0.25 * len(rows["reward"]) <= len(part["reward"]) <= 0.25 * len(rows["reward"]) + 2 * longest
    assert trajectories(made(share=0.25, stratified=stratified, subset_seed=1)[1]) != mine


def test_a_stratified_share_cuts_successes_and_the_others_alike():
    _, rows = made()
    pays, lengths = rows["reward"][np.flatnonzero(rows["truncated"])] > 0, lengths_of(made()[0])
    for share in (0.5, 0.25, 0.001):
        data, part = made(share=share)
        kept = part["reward"][np.flatnonzero(part["truncated"])] > 0
        for group, chosen in ((pays, kept), (~pays, ~kept)):
            total, got = lengths[group].sum(), lengths_of(data)[chosen].sum()
            assert share * total <= got < share * total + lengths[group].max()
        assert kept.any()
    assert made(share=0.001)[0].firsts.shape == (2,), "one that pays and one that does not"


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"rows": 10, "streams": 11}, "streams must be at most"), ({"share": 0.0}, "share must be above 0"),
        ({"share": 1.5}, "share must be above 0"), ({"noise": -1.0}, "noise must be at least"),
        ({"reward_of": "last"}, "reward_of"),
        ({"maze": "tiny"}, "maze"),
    ],
)  # fmt: skip
def test_bad_recipes_are_one_line(fields, line):
    with pytest.raises(ValueError, match=line):
        datasets.recipe("maze2d/umaze/waypoints", **fields)


@pytest.mark.slow
@pytest.mark.parametrize(("maze", "length", "density"), [("umaze", 72, 0.077), ("large", 225, 0.0086)])
def test_statistics_are_near_those_of_others(maze, length, density):
    """Theirs draw the present cell as a goal too, and such a walk is over at once."""
    data, found = made(maze=maze, rows=1_000_000, streams=250)
    cells, lasts = len(layout("maze2d", maze).cells), np.flatnonzero(found["truncated"])
    assert abs(lengths_of(data).mean() * (1 - 1 / cells) - length) < 0.1 * length
    assert abs(found["reward"].mean() - density) < 0.15 * density
    at_goal = (np.linalg.norm(found["next_obs"][lasts, :2] - GOALS[maze], axis=1) < 0.1).mean()
    assert abs(at_goal - 1 / cells) < 4 * np.sqrt(at_goal / len(lasts))
