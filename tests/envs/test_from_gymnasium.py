"""Gymnasium's environments as Prospect's: one call a step, nothing stepped or reset in vain, and agents learn."""

import re

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, Text, Tuple
from gymnasium.spaces import Dict as DictSpace

from prospect_rl import envs
from prospect_rl.agents.nn.encoder import Encoder
from prospect_rl.agents.online.td3 import TD3
from prospect_rl.envs import rollout
from prospect_rl.envs.api import Box as OurBox
from prospect_rl.envs.api import Dict as OurDict
from prospect_rl.envs.api import Discrete as OurDiscrete
from prospect_rl.envs.gymnasium import spaces
from prospect_rl.experiments import train
from tests import toy_agents
from tests.crashes import CrashError

N = 3


class Counter(gymnasium.Env):
    """Counts from a start drawn at reset; ends truly after 4 steps where the start was even, else when it is cut."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(-1.0, 1.0, (2,), np.float64)
    made: list["Counter"] = []

    def __init__(self):
        self.log, self.closed = [], False
        Counter.made.append(self)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.start, self.time = int(self.np_random.integers(10)), 0
        self.log.append(("reset", seed, self.observe()))
        return self.observe(), {}

    def step(self, action):
        assert action.dtype == np.float64 and self.action_space.contains(action)
        self.time += 1
        end = self.start % 2 == 0 and self.time == 4
        self.log.append(("step", action.copy(), self.observe()))
        return self.observe(), float(action[0]), end, False, {"is_success": end}

    def observe(self):
        return np.array([self.start, self.time], np.float64)

    def close(self):
        self.closed = True


class Hill(gymnasium.Env):
    """One step: pays -(action - obs / 2)^2 for an obs of -1 or 1."""

    observation_space = Box(-1.0, 1.0, (1,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cue = float(self.np_random.choice([-1, 1]))
        return np.array([self.cue], np.float32), {}

    def step(self, action):
        error = float(action[0]) - self.cue / 2
        return np.zeros(1, np.float32), -(error**2), True, False, {"success": abs(error) < 0.1}


def counters(num_envs=N, horizon=6):
    return envs.from_gymnasium(Counter, num_envs, horizon=horizon)


class Waver:
    """Actions that the key decides."""

    def memory(self, behaviour, key):
        return ()

    def act(self, behaviour, memory, inputs, key):
        return jax.random.uniform(key, (2,), minval=-1, maxval=1), memory, ()


class Compiled:
    """The kernels in one environment, compiled once (a callback keeps programs out of the cache on disk)."""

    def __init__(self):
        self.env, self.calls = counters(), []
        env, step = self.env, self.env.host.step
        env.host.step = lambda *args: self.calls.append(1) or step(*args)
        keys = {"starts": "fresh", "shared": True, "population": 1, "episodes": 5}
        self._open = jax.jit(lambda key: rollout.open_streams(env, Waver(), (), key, num_envs=N))
        self._go_on = jax.jit(lambda streams, key: rollout.segments(env, Waver(), (), streams, key, length=20))
        self._play = jax.jit(lambda key: rollout.episodes(env, Waver(), (), jnp.ones(1, bool), key, key, **keys))

    def open(self, seed=0):
        return self._open(jax.random.key(seed))

    def go_on(self, streams, seed):
        streams, segment = self._go_on(streams, jax.random.key(seed))
        return streams, jax.device_get(segment.steps)

    def play(self, seed):
        return jax.device_get(self._play(jax.random.key(seed)))


@pytest.fixture(scope="module")
def compiled():
    return Compiled()


@pytest.fixture
def kernels(compiled):
    """With simulators of its own: after `close` the next call makes new ones."""
    compiled.env.close()
    compiled.env.host.told = False
    Counter.made.clear()
    return compiled


# --- the kernels -------------------------------------------------------------------------------------


def test_segments_are_what_the_simulators_did(kernels):
    _, steps = kernels.go_on(kernels.open(), 1)
    assert len(Counter.made) == N
    for i, simulator in enumerate(Counter.made):
        log = iter(simulator.log)
        for t in range(20):
            if steps.inputs.first[t, i]:
                kind, seed, obs = next(log)
                assert kind == "reset" and seed is not None
                np.testing.assert_array_equal(steps.inputs.obs[t, i], obs)
            kind, action, obs = next(log)
            assert kind == "step"
            np.testing.assert_array_equal(action.astype(np.float32), steps.action[t, i])
            np.testing.assert_array_equal(steps.next_obs[t, i], obs)
            assert steps.reward[t, i] == np.float32(action[0])
            start, time = obs
            end = start % 2 == 0 and time == 4
            assert steps.terminated[t, i] == steps.info["success"][t, i] == end
            assert steps.truncated[t, i] == (time == 6)
        assert [kind for kind, *_ in log] in ([], ["reset"]), "nothing was stepped or reset in vain"
    assert steps.terminated.any() and steps.truncated.any()
    assert steps.next_obs.dtype == np.float32 and not (steps.terminated & steps.truncated).any()


def test_one_call_steps_all_streams(kernels):
    before = len(kernels.calls)
    kernels.go_on(kernels.open(), 1)
    assert len(kernels.calls) == before + 20


def test_a_key_decides_the_episodes(kernels):
    runs = [kernels.go_on(kernels.open(seed), 1)[1] for seed in (0, 0, 1)]
    jax.tree.map(np.testing.assert_array_equal, runs[0], runs[1])
    assert (runs[0].next_obs != runs[2].next_obs).any()


def test_evaluation_has_simulators_of_its_own(kernels):
    _, alone = kernels.go_on(kernels.go_on(kernels.open(), 1)[0], 2)
    streams, _ = kernels.go_on(kernels.open(), 1)
    played = kernels.play(3)
    _, between = kernels.go_on(streams, 2)
    jax.tree.map(np.testing.assert_array_equal, alone, between)
    jax.tree.map(np.testing.assert_array_equal, played, kernels.play(3))


def test_episodes_stop_stepping_what_has_ended(kernels):
    lengths = kernels.play(0).length.ravel().tolist()
    logs = [[kind for kind, *_ in simulator.log] for simulator in Counter.made]
    assert logs == [["reset"] + ["step"] * length for length in lengths] and set(lengths) == {4, 6}


def test_a_state_from_another_process_is_cut_where_it_stood(kernels):
    """Its episode is truncated without reward; the next one is a true one."""
    streams, _ = kernels.go_on(kernels.open(), 1)
    kernels.env.close()
    with pytest.warns(UserWarning, match="gymnasium/Counter has hidden state.*they are truncated"):
        _, steps = kernels.go_on(streams, 2)
    assert steps.truncated[0].all() and not steps.terminated[0].any() and not steps.reward[0].any()
    np.testing.assert_array_equal(steps.next_obs[0], steps.inputs.obs[0])
    assert steps.inputs.first[1].all() and (steps.next_obs[1][:, 1] == 1).all()


def test_close(kernels):
    kernels.open()
    kernels.env.close()
    assert len(Counter.made) == N and all(simulator.closed for simulator in Counter.made)


def test_one_environment_without_vmap():
    env = counters()
    state, obs = env.reset(jax.random.key(0))
    before = state
    state, step = env.step(state, jnp.zeros(2), jax.random.key(1))
    assert obs.shape == (2,) and step.obs.tolist() == [obs[0], 1] and not step.terminated
    with pytest.raises(Exception, match="gymnasium/Counter has hidden state.*not its latest"):
        jax.block_until_ready(env.step(before, jnp.zeros(2), jax.random.key(1)))


# --- spaces and errors -------------------------------------------------------------------------------


def test_spaces():
    assert spaces.inward(Box(-1, 1, (2,)), "x") == OurBox((2,), -1.0, 1.0)
    assert spaces.inward(Box(np.float32([0, -np.inf]), np.float32([1, 2])), "x") == OurBox(
        (2,), (0.0, -np.inf), (1.0, 2.0)
    )
    assert spaces.inward(Box(np.float32([[0], [-1]]), np.float32([[1], [2]])), "x") == OurBox((2, 1), -1.0, 2.0)
    assert spaces.inward(DictSpace(a=Discrete(3, start=1)), "x") == OurDict((("a", OurDiscrete(3, 1)),))
    assert spaces.inward(Box(-0.1, 1e300, (), np.float64), "x") == OurBox((), -0.1, np.inf, outside="float64")
    for space in (Text(3), Box(0, 3, (1,), np.int32)):
        with pytest.raises(ValueError, match="x: actions must be Discrete or a Box of real numbers"):
            spaces.inward_action_space(space, "x")
    most = np.array([[0.5], [1.0]])
    each = spaces.inward_action_space(Box(-most, most, dtype=np.float64), "x")
    assert (each.low, each.high, each.outside) == (((-0.5,), (-1.0,)), ((0.5,), (1.0,)), "float64")


@pytest.mark.parametrize(
    ("dtype", "high", "within"),
    [("uint8", 255, "uint8"), ("int16", 9, "int16"), ("uint32", 2**32 - 1, "uint32"), ("int64", 9, "int32"),
     ("int64", 2**40, "float32"), ("uint64", 9, "int32"), ("bool", 1, "float32"), ("float16", 1, "float32")],
)  # fmt: skip
def test_numbers_keep_their_type_where_programs_have_it(dtype, high, within):
    space = Box(0, high, (8, 8, 3), dtype)
    ours = spaces.inward(space, "x")
    assert (ours.dtype, ours.low, ours.high) == (within, 0, high)
    assert spaces.outward(ours) == space, "outside it has the type that it came with"


class Sighted(gymnasium.Env):
    """Pictures of bytes that say which of two choices, 5 and 6, pays; choices and bytes come as gymnasium has them."""

    observation_space = Box(0, 255, (2, 2, 1), np.uint8)
    action_space = Discrete(2, start=5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full((2, 2, 1), 255, np.uint8), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return np.zeros((2, 2, 1), np.uint8), float(action == 6), True, False, {}


def test_pictures_reach_the_encoder_as_bytes():
    """The encoder divides them by their bound, as it does those of an environment of Prospect."""
    env = envs.from_gymnasium(Sighted, 1, horizon=1)
    obs, _ = env.host.reset(np.ones(1, bool), np.zeros(1, np.uint32))
    vector = Encoder(env.spec.obs).apply({}, jnp.asarray(obs[0]))
    assert obs.dtype == np.uint8 and vector.tolist() == [1.0] * 4
    assert spaces.outward(env.spec.action) == Sighted.action_space


class Narrow(gymnasium.Env):
    """Bounds that float32 rounds outwards."""

    observation_space = Box(-1.0, 1.0, (1,), np.float64)
    action_space = Box(np.array([-0.1, 0.3]), np.array([0.1, 0.7]), dtype=np.float64)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1), {}

    def step(self, action):
        return np.zeros(1), float(self.action_space.contains(action)), False, False, {}


def step(env, actions):
    """The rewards of one step of all streams, without a program."""
    streams = len(actions)
    obs, clock = env.host.reset(np.ones(streams, bool), np.zeros(streams, np.uint32))
    return env.host.step(np.ones(streams, bool), clock, obs, np.asarray(actions, np.float32))[2]["reward"].tolist()


def test_no_action_lies_outside():
    env = envs.from_gymnasium(Narrow, 4, horizon=9)
    assert float(np.float32(0.1)) > 0.1
    assert step(env, [[0.1, 0.7], [-0.1, 0.3], [7, -7], [0, 0.5]]) == [1, 1, 1, 1]
    for dtype in (np.float16, np.float32):
        space = Box(-0.1, 0.3, (1,), dtype)
        for action in ([-9], [9], [-0.1], [0.3]):
            assert space.contains(spaces.inward_action(space, np.float32(action), "x"))
    scalar = Box(-0.1, 0.1, (), np.float64)
    assert scalar.contains(spaces.inward_action(scalar, np.float32(0.1), "x"))
    with pytest.raises(ValueError, match=r"gymnasium/Narrow: an action must be finite, not \[nan"):
        step(env, [[np.nan, 0]] * 4)


@pytest.mark.parametrize(
    ("space", "obs"),
    [(Box(0, 255, (1,), np.uint8), [0.5]), (Box(0, 255, (1,), np.uint8), [256]), (Discrete(3, start=5), 2),
     (Discrete(3), 3), (Box(0, 9, (1,), np.int64), [2**40])],
)  # fmt: skip
def test_an_observation_that_its_space_does_not_hold_is_named(space, obs):
    buffer = spaces.empty(spaces.inward(space, "x"), 1)
    with pytest.raises(ValueError, match="x returned .* which is not in its own"):
        spaces.store(space, buffer, 0, np.asarray(obs), "x")


class Own(gymnasium.Space):
    """A space that gymnasium cannot flatten, as MiniGrid's missions are."""

    def __init__(self):
        super().__init__((), None)

    def contains(self, x):
        return True


class Spoken(Sighted):
    """A picture, a place and a mission in words."""

    observation_space = DictSpace(image=Box(0, 9, (2,), np.uint8), place=Discrete(4), mission=Own())


class Paired(Sighted):
    observation_space = Tuple([Discrete(2), Box(-1.0, 1.0, (2,))])


class Mute(Sighted):
    observation_space = Own()


def advised(make, **known):
    """What the advice of the message makes."""
    with pytest.raises(ValueError, match="has a space that Prospect does not support") as error:
        envs.from_gymnasium(make, 2, horizon=5)
    line = str(error.value)
    assert "\n" not in line
    code = line.partition("envs.from_gymnasium")[2].replace(", ...)", ", 2, horizon=5)")
    return eval(f"envs.from_gymnasium{code}", {"envs": envs, "gymnasium": gymnasium, **known}).spec.obs


def test_advice_on_spaces_does_what_it_says():
    assert [name for name, _ in advised(Spoken, Spoken=Spoken).items] == ["image", "place"]
    assert advised(Paired, Paired=Paired).shape == (4,)
    own = {"FUNCTION": lambda obs: np.zeros(3, np.float32), "BOX": Box(-1.0, 1.0, (3,))}
    assert advised(Mute, Mute=Mute, **own).shape == (3,)


def test_advice_on_minigrid_does_what_it_says():
    pytest.importorskip("minigrid")
    assert [name for name, _ in advised("MiniGrid-Empty-5x5-v0").items] == ["direction", "image"]


class Shifted(gymnasium.Env):
    """Dict observations and integers that begin elsewhere."""

    observation_space = DictSpace(n=Discrete(5, start=10), x=Box(0, 255, (2,), np.uint8))
    action_space = Discrete(3, start=-1)

    def reset(self, *, seed=None, options=None):
        return {"n": 10, "x": np.array([0, 255], np.uint8)}, {}

    def step(self, action):
        assert self.action_space.contains(action)
        return {"n": 13 + action, "x": np.array([7, 7], np.uint8)}, 1, False, True, {}


def test_integers_begin_at_zero_and_dicts_stay_dicts():
    env = envs.from_gymnasium(Shifted, 1, horizon=3)
    state, obs = env.reset(jax.random.key(0))
    assert obs["n"] == 0 and obs["x"].tolist() == [0, 255] and obs["x"].dtype == jnp.uint8
    state, step = env.step(state, jnp.int32(2), jax.random.key(0))
    assert step.obs["n"] == 4 and step.truncated and not step.info["success"]


def test_a_registered_one_brings_its_limit():
    env = envs.from_gymnasium("CartPole-v1", 2)
    assert (env.spec.id, env.spec.horizon, env.spec.action) == ("gymnasium/CartPole-v1", 500, OurDiscrete(2))
    assert envs.from_gymnasium("CartPole-v1", 2, horizon=20).spec.horizon == 20


def test_what_cannot_be_is_one_line():
    with pytest.raises(ValueError, match="gymnasium/Counter has no time limit in gymnasium: give a horizon"):
        envs.from_gymnasium(Counter, N)
    for name, value in [("num_envs", 0), ("num_envs", 2.5), ("num_envs", True), ("horizon", -5), ("horizon", 0)]:
        with pytest.raises(ValueError, match=f"^{name} must be a whole number of at least 1, not {value}$"):
            envs.from_gymnasium(Counter, **{"num_envs": N, "horizon": 6, name: value})
    with pytest.raises(ValueError, match="gymnasium/Counter was made for num_envs=4 streams, not 3"):
        train(toy_agents.Walker(), counters(4), budget=42)
    with pytest.raises(ValueError, match="gymnasium/Counter runs one seed at a time"):
        train(toy_agents.Walker(), counters(), seeds=(0, 1), budget=42)


def test_what_makes_no_environment_is_one_line():
    with pytest.raises(ValueError, match=r"num_envs=agent.num_envs"):
        envs.from_gymnasium("CartPole-v1")
    with pytest.raises(ValueError, match="Did you mean: `Pendulum`"):
        envs.from_gymnasium("Pendulm-v1", 2)
    with pytest.raises(ValueError, match="maze/hard is Prospect's own: train in 'maze/hard', without"):
        envs.from_gymnasium("maze/hard", 2)
    for nothing, line in [
        (None, "give a gymnasium id, .* not None"),
        (dict, r"dict\(\) must return a gymnasium.Env"),
    ]:
        with pytest.raises(ValueError, match=line):
            envs.from_gymnasium(nothing, 2)


def test_an_environment_where_many_are_made_is_one_line_that_helps():
    env = gymnasium.wrappers.TimeLimit(gymnasium.make("CartPole-v1", sutton_barto_reward=True), 7)
    with pytest.raises(ValueError, match=r"give an id, spec or function, .*: envs.from_gymnasium\(env.spec, num_envs"):
        envs.from_gymnasium(env, 2)
    again = envs.from_gymnasium(env.spec, 2)
    assert again.horizon == 7 and again.made["0 CartPoleEnv"]["kwargs"] == {"sutton_barto_reward": True}
    with pytest.raises(ValueError, match=r"envs.from_gymnasium\(lambda: Hill\(...\), num_envs=...\)"):
        envs.from_gymnasium(Hill(), 2)


def test_a_time_limit_without_a_spec_is_found():
    assert envs.from_gymnasium(lambda: gymnasium.wrappers.TimeLimit(Hill(), 7), 2).horizon == 7


def test_prospects_own_come_back():
    env = envs.from_gymnasium("prospect_rl.envs.gymnasium:prospect/PointSparse-v0", 2)
    assert env.horizon == envs.make("point/sparse").spec.horizon and step(env, [[1, 1], [0, 0]]) == [0, 0]


def test_a_wrong_observation_is_named():
    class Liar(Counter):
        def observe(self):
            return np.zeros(3)

    env = envs.from_gymnasium(Liar, 1, horizon=6)
    with pytest.raises(Exception, match=re.escape("Liar returned an observation of shape (3,), but declares (2,)")):
        jax.block_until_ready(env.reset(jax.random.key(0)))


# --- the driver --------------------------------------------------------------------------------------


def test_a_resumed_run_goes_on_and_says_what_it_lost(tmp_path, fine):

    def kill(facts):
        if facts["used"] >= 63:
            raise CrashError

    with pytest.raises(CrashError):
        train(toy_agents.Walker(), counters(), budget=21 * 8, evals=2, out=tmp_path / "run", progress=kill)
    with pytest.warns(UserWarning, match="the run will differ from one that was never interrupted"):
        result = train(toy_agents.Walker(), counters(), budget=21 * 8, evals=2, out=tmp_path / "run")
    assert [row["used"] for row in result.rows] == [84, 168] and not result.interrupted


def test_td3_learns():
    """The best policy is obs / 2 and earns 0; one that ignores its obs earns -0.25 at best, a random one -0.58."""
    agent = TD3(hidden=(16, 16), learning_rate=3e-3, batch_size=64, capacity=2048, learning_starts=256, num_envs=8)
    result = train(agent, envs.from_gymnasium(Hill, 8, horizon=1), budget=1280, evals=2, eval_episodes=16)
    assert result.rows[-1]["eval/return"] > -0.01 and result.rows[-1]["eval/success"] > 0.9
