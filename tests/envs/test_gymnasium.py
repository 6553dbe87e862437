"""Prospect's environments as gymnasium's: checkers, seeding, autoreset as gymnasium does it, error lines."""

import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from prospect_rl import envs
from prospect_rl.envs import gymnasium as ours
from prospect_rl.envs.api import Box, Dict, Discrete, Env, Spec, Step, static
from prospect_rl.envs.gymnasium import GymEnv, GymVectorEnv, spaces
from prospect_rl.envs.gymnasium.outward import fps as fps_of
from prospect_rl.envs.gymnasium.programs import advance, part
from tests.small_ids import MINIGRID, POPGYM

ROOT = Path(__file__).parents[2]
IDS = ours.names()
ODD_SPACES = [  # gymnasium says so of a space that is what it is: unbounded, or of one point
    r"ignore:.*A Box observation space (minimum|maximum) value is -?infinity",
    r"ignore:.*A Box observation space maximum and minimum values are equal",
    r"ignore:.*For Box action spaces, we recommend using a symmetric and normalized space",
]


@struct.dataclass
class Drunkard(Env):
    """A walk on integers from a random start: 1 a step, ends at +-4, cut after 6 steps. Exact in any batch."""

    named: bool = static(False)
    """Observations are a dict."""

    @property
    def spec(self):
        obs = Box((2,), -9.0, 9.0)
        both = Dict((("pose", obs), ("time", Discrete(7))))
        return Spec(
            "test/drunkard", both if self.named else obs, Discrete(3), horizon=6,
            info=("success", "descriptor", "area"), descriptor=Box((2,), -9.0, 9.0), areas=2,
        )  # fmt: skip

    def _obs(self, x, t):
        pose = jnp.stack([x, -x]).astype(jnp.float32)
        return {"pose": pose, "time": t} if self.named else pose

    def reset(self, key):
        x, t = jax.random.randint(key, (), -2, 3), jnp.int32(0)
        return (x, t), self._obs(x, t)

    def step(self, state, action, key):
        x, t = state
        x, t = x + action - 1 + jax.random.randint(key, (), -1, 2), t + 1
        end = jnp.abs(x) >= 4
        info = {"success": x >= 4, "descriptor": jnp.stack([x, t]).astype(jnp.float32), "area": jnp.where(end, 1, -1)}
        return (x, t), Step(self._obs(x, t), x.astype(jnp.float32), end, (t >= 6) & ~end, info)


# --- registration ------------------------------------------------------------------------------------


def test_ids():
    assert ours.id_of("maze/hard") == "prospect/MazeHard-v0"
    assert ours.id_of("probe/one_step") == "prospect/ProbeOneStep-v0"
    assert ours.id_of("mujoco/hopper_vel_sparse") == "prospect/HopperVelSparse-v0"
    assert list(IDS.values()) == list(envs.ENVS), "two names share an id"
    assert set(IDS) <= set(gymnasium.registry)


def test_what_is_added_later_is_registered_on_request(monkeypatch):
    monkeypatch.setitem(envs.ENVS, "test/later", "prospect_rl.envs.small.point:SparsePoint")
    monkeypatch.setattr(gymnasium.envs.registration, "registry", registry := dict(gymnasium.registry))
    monkeypatch.setattr(gymnasium, "registry", registry)
    ours.register()
    assert gymnasium.make("prospect/TestLater-v0").action_space.shape == (2,)


def test_a_string_is_enough_and_the_import_is_light():
    code = (
        "import sys, gymnasium, prospect_rl.envs.gymnasium as g\n"
        "assert 'prospect/MazeHard-v0' in gymnasium.registry and g.names()\n"
        "heavy = {'jax', 'flax', 'mujoco', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "for name in [name for name in sys.modules if name.partition('.')[0] == 'prospect_rl']: del sys.modules[name]\n"
        "gymnasium.registry.clear()\n"
        "print(gymnasium.make('prospect_rl.envs.gymnasium:prospect/PointSparse-v0').reset(seed=0)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[0. 0.]\n"), done.stderr


CHECKED = [
    pytest.param(id, marks=pytest.mark.slow)
    if name.startswith(("minigrid/", "popgym/")) and name not in MINIGRID | POPGYM
    else id
    for id, name in IDS.items()
]


@pytest.mark.parametrize("id", CHECKED)
@pytest.mark.filterwarnings(*ODD_SPACES)
def test_gymnasium_checks_every_environment(id):
    check_env(gymnasium.make(id).unwrapped)


def test_make_vec_takes_fields_and_modes():
    vec = gymnasium.make_vec("prospect/ProbeLimit-v0", num_envs=3, horizon=2, autoreset_mode="SameStep")
    assert isinstance(vec, GymVectorEnv) and vec.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    vec.reset(seed=0)
    vec.step(np.zeros(3, int))
    obs, reward, _, truncated, info = vec.step(np.zeros(3, int))
    assert truncated.all() and (obs == 0).all() and reward.tolist() == [1, 1, 1]
    assert [x.tolist() for x in info["final_obs"]] == [[1]] * 3


# --- one environment ---------------------------------------------------------------------------------


def test_an_episode_is_that_of_the_pure_environment():
    env, pure = GymEnv("probe/target"), envs.make("probe/target")
    obs, info = env.reset(seed=5)
    seed = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5))).integers(2**32, dtype=np.uint32)
    state, expected = pure.reset(part(seed, 0))
    assert obs == expected and obs.dtype == np.float32 and info == {}
    obs, reward, terminated, truncated, info = env.step(np.array([0.3]))
    _, step = pure.step(state, jnp.array([0.3]), part(seed, 1))
    np.testing.assert_array_equal(obs, step.obs)
    assert (reward, terminated, truncated) == (pytest.approx(float(step.reward)), True, False)
    assert info == {"success": bool(step.info["success"])}


def test_a_seed_decides_all_episodes_that_follow():
    def play(seed):
        env, seen = GymEnv(Drunkard()), []
        for first in (seed, None, None):
            seen.append(env.reset(seed=first)[0].tolist())
            over = False
            while not over:
                obs, *_, terminated, truncated, _ = env.step(2)
                over = terminated or truncated
                seen.append(obs.tolist())
        return seen

    assert play(3) == play(3) and play(3) != play(4)


def test_adapters_share_their_programs():
    one, other = GymEnv(Drunkard()), GymEnv(Drunkard())
    one.reset(seed=0), one.step(1)
    compiled = advance._cache_size()
    other.reset(seed=1), other.step(0)
    assert advance._cache_size() == compiled


@pytest.mark.parametrize(
    ("name", "action", "message"),
    [
        ("point/sparse", [0.0, np.nan], r"point/sparse: an action must be finite, not \[0.0, nan\]"),
        ("point/sparse", [0.0], r"an action must have shape \(2,\), not \(1,\)"),
        ("point/sparse", ["a", "b"], "an action must be numbers, not <U1"),
        ("probe/bandit", 4, "an action must lie between 0 and 3, not 4"),
        ("probe/bandit", 1.0, "an action must be an integer, not float64"),
        ("probe/bandit", [1], r"an action must have shape \(\), not \(1,\)"),
    ],
)
def test_a_wrong_action_is_one_line(name, action, message):
    env = GymEnv(name)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message) as error:
        env.step(action)
    assert len(str(error.value).splitlines()) == 1
    vec = GymVectorEnv(name, 2)
    vec.reset(seed=0)
    with pytest.raises(ValueError, match=f"{name}: an action must"):
        vec.step([action, action])


def test_actions_are_clipped_to_their_bounds():
    env = GymEnv("point/sparse")
    env.reset(seed=0)
    assert env.step([7.0, -1.0])[0].tolist() == pytest.approx([0.05, -0.05])


def test_order_of_calls():
    env = GymEnv("probe/bandit")
    for _ in range(2):
        with pytest.raises(ResetNeeded, match="probe/bandit: no episode is running, call reset before step"):
            env.step(0)
        env.reset(seed=0)
        env.step(0)


def test_pictures():
    env = GymEnv("point/sparse", render_mode="rgb_array")
    with pytest.raises(ResetNeeded):
        env.render()
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8
    vec = GymVectorEnv("point/sparse", 2, render_mode="rgb_array")
    vec.reset(seed=0)
    vec.step(np.array([[1.0, 1.0], [0.0, 0.0]]))
    moved, still = vec.render()
    assert (still == picture).all() and (moved != picture).any()
    assert GymEnv("probe/bandit").metadata["render_modes"] == []
    with pytest.raises(ValueError, match="bandit: render_mode must be None, not 'rgb_array': .*cannot be rendered"):
        GymEnv("probe/bandit", render_mode="rgb_array")
    with pytest.raises(ValueError, match="point/sparse: render_mode must be rgb_array or None, not 'ansi'"):
        GymEnv("point/sparse", render_mode="ansi")
    with pytest.warns(UserWarning, match="with a render_mode"):
        assert GymEnv("point/sparse").render() is None


@pytest.mark.parametrize(
    ("name", "fps"),
    [("Hopper", 125), ("Walker2d", 125), ("HalfCheetah", 20), ("Ant", 20), ("Swimmer", 25), ("Reacher", 50),
     ("HopperVelSparse", 125), ("PendulumSwingupSparse", 50), ("PointmazeUmaze", 100), ("PointSparse", 30)],
)  # fmt: skip
def test_films_have_the_speed_of_the_task(name, fps):
    assert fps_of(envs.make(IDS[f"prospect/{name}-v0"])) == fps
    if f"{name}-v5" in gymnasium.registry:
        assert gymnasium.make(f"{name}-v5").metadata["render_fps"] == fps


class Counted(Drunkard):
    """Choices that count from 5, inwards from 0."""

    @property
    def spec(self):
        return Spec("test/counted", Box((2,), -9.0, 9.0), Discrete(3, start=5), horizon=6)


def test_choices_count_from_their_start():
    env, vec = GymEnv(Counted()), GymVectorEnv(Counted(), 2)
    plain = GymEnv(Drunkard())
    for world in (env, vec, plain):
        world.reset(seed=1)
    assert (env.step(7)[0] == plain.step(2)[0]).all() and env.action_space.start == 5
    assert (vec.step(np.array([7, 7]))[0][0] == plain.unwrapped._state[0] * np.array([1, -1])).all()
    for wrong in (4, 8):
        with pytest.raises(ValueError, match=f"an action must lie between 5 and 7, not {wrong}"):
            env.step(wrong)


def test_an_id_brings_its_limit():
    for id, name in list(IDS.items())[:8]:
        assert gymnasium.spec(id).max_episode_steps == envs.make(name).spec.horizon
    env = gymnasium.make("prospect/ProbeLimit-v0")
    assert env.spec.max_episode_steps == gymnasium.make(env.spec).spec.max_episode_steps == 5
    timed = gymnasium.wrappers.TimeAwareObservation(env)
    timed.reset(seed=0)
    ends = [timed.step(0)[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]
    assert gymnasium.make("prospect/ProbeLimit-v0", max_episode_steps=2).spec.max_episode_steps == 2
    vec = gymnasium.make_vec("prospect/ProbeLimit-v0", num_envs=2, max_episode_steps=2)
    vec.reset(seed=0)
    assert [vec.step(np.zeros(2, int))[3].all() for _ in range(2)] == [False, True]


def test_a_horizon_beyond_the_limit_of_its_id_is_not_cut_in_silence():
    line = "truncates its episodes after 5 steps unless max_episode_steps is given, but these fields set a horizon of 9"
    with pytest.raises(ValueError, match=line) as error:
        gymnasium.make_vec("prospect/ProbeLimit-v0", num_envs=2, horizon=9)
    with pytest.warns(UserWarning, match=line):
        assert gymnasium.make("prospect/ProbeLimit-v0", horizon=9).spec.max_episode_steps == 5
    with pytest.warns(UserWarning, match=line):  # what was given cannot be seen, and holds
        assert gymnasium.make("prospect/ProbeLimit-v0", horizon=9, max_episode_steps=9).spec.max_episode_steps == 9
    advised = re.search(r"envs\.gymnasium\.(GymEnv\(.*?), \.\.\.\)", str(error.value)).group(1)
    assert eval(f"{advised}, horizon=9)").env.spec.horizon == 9
    assert GymVectorEnv("probe/limit", 2, horizon=9).env.spec.horizon == 9
    longer = gymnasium.make_vec("prospect/ProbeLimit-v0", num_envs=2, horizon=9, max_episode_steps=9)
    assert longer.env.spec.horizon == 9
    assert gymnasium.make("prospect/ProbeLimit-v0", horizon=3).unwrapped.env.spec.horizon == 3


def test_unknown_names_and_fields():
    with pytest.raises(ValueError, match="did you mean 'maze/hard'"):
        GymEnv("maze/hrad")
    with pytest.raises(ValueError, match="probe/limit: .*horizn"):
        gymnasium.make("prospect/ProbeLimit-v0", horizn=3)
    with pytest.raises(ValueError, match="test/drunkard: fields can be given only with a registered id"):
        GymEnv(Drunkard(), named=True)
    assert gymnasium.make("prospect/ProbeLimit-v0", horizon=3).unwrapped.env.spec.horizon == 3


def test_spaces():
    space = spaces.outward(Box((2,), (-1.0, 0.0), (1.0, np.inf)))
    assert space == gymnasium.spaces.Box(np.float32([-1, 0]), np.float32([1, np.inf])) and space.dtype == np.float32
    assert spaces.outward(Box((3,))).is_bounded("both") is False
    assert spaces.outward(Box((4, 4, 3), 0, 255, "uint8")) == gymnasium.spaces.Box(0, 255, (4, 4, 3), np.uint8)
    assert spaces.outward(Box((1,), dtype="int32")).low == -(2**31)
    both = spaces.outward(Dict((("b", Discrete(3)), ("a", Box((), 0.0, 1.0)))))
    assert spaces.outward(Discrete(3, start=5)) == gymnasium.spaces.Discrete(3, start=5)
    fine = spaces.outward(Box((2,), -0.1, 0.1, outside="float64"))
    assert fine.dtype == np.float64 and fine.high.tolist() == [0.1, 0.1]
    assert both == gymnasium.spaces.Dict(b=gymnasium.spaces.Discrete(3), a=gymnasium.spaces.Box(0, 1, ()))
    with pytest.raises(ValueError, match="must be a Box or Discrete, not a Dict"):
        spaces.outward_action(Dict((("a", Discrete(2)),)), {"a": 0}, "x", np.ones((), bool))


# --- many environments -------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [False, True], ids=["box", "dict"])
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.value)
def test_a_vector_is_gymnasiums_sync_vector(mode, named):
    """Bit for bit, infos and their masks too, through many ends in different rows."""
    num_envs, actions = 4, np.random.default_rng(0).integers(0, 3, (40, 4))
    ours = GymVectorEnv(Drunkard(named), num_envs, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: GymEnv(Drunkard(named))] * num_envs, autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    assert data_equivalence(ours.reset(seed=7), theirs.reset(seed=7), exact=True)
    ends, kinds = 0, set()
    for action in actions:
        mine, other = ours.step(action), theirs.step(action)
        assert data_equivalence(mine[:4], other[:4], exact=True)
        assert same_info(mine[4], other[4]), (mine[4], other[4])
        assert mine[0] in ours.observation_space
        ended = mine[2] | mine[3]
        ends, kinds = ends + ended.sum(), kinds | set(mine[4])
        if mode is AutoresetMode.DISABLED and ended.any():
            with pytest.raises(ResetNeeded, match=r"environments \["):
                ours.step(action)
            again = [vec.reset(options={"reset_mask": ended.copy()}) for vec in (ours, theirs)]
            assert data_equivalence(*again, exact=True)
    assert ends > 20
    assert ("final_obs" in kinds) == (mode is AutoresetMode.SAME_STEP)


def same_info(ours, theirs):
    """`data_equivalence`, with arrays of objects compared entry by entry (None or an observation)."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same_info(ours[name], theirs[name]) for name in ours)
    if isinstance(ours, np.ndarray) and ours.dtype == object:
        return len(ours) == len(theirs) and all(data_equivalence(a, b, exact=True) for a, b in zip(ours, theirs))  # noqa: B905
    return data_equivalence(ours, theirs, exact=True)


def test_rows_that_are_reset_ignore_their_action():
    vec = GymVectorEnv("probe/target", 2)
    vec.reset(seed=0)
    assert vec.step(np.zeros((2, 1)))[2].all()
    obs, reward, terminated, truncated, info = vec.step(np.full((2, 1), np.nan))
    assert set(np.abs(obs).ravel()) == {1} and not (reward.any() or terminated.any() or truncated.any()) and info == {}


def test_seeds_of_rows():
    vec = GymVectorEnv(Drunkard(), 3)
    obs = vec.reset(seed=[4, 4, None])[0]
    assert (obs[0] == obs[1]).all() and (obs[0] == GymEnv(Drunkard()).reset(seed=4)[0]).all()
    kept = vec.reset(seed=9, options={"reset_mask": np.array([False, True, False])})[0]
    assert (kept[[0, 2]] == obs[[0, 2]]).all() and (kept[1] == GymEnv(Drunkard()).reset(seed=10)[0]).all()


def test_a_vector_says_what_is_wrong():
    with pytest.raises(ValueError, match="num_envs must be at least 1, not 0"):
        GymVectorEnv("probe/bandit", 0)
    with pytest.raises(ValueError, match="max_episode_steps must be at least 1, not 0"):
        GymVectorEnv("probe/bandit", 2, max_episode_steps=0)
    vec = GymVectorEnv("probe/bandit", 2)
    with pytest.raises(ResetNeeded):
        vec.step(np.zeros(2, int))
    with pytest.raises(ResetNeeded, match="first reset must be of all"):
        vec.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match="one seed for each of the 2 environments, not 3"):
        vec.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="reset_mask must be 2 booleans with a True among them"):
        vec.reset(options={"reset_mask": np.array([False, False])})
