"""What decides how an environment behaves is in the identity of a run."""

from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from flax import struct
from gymnasium.spaces import Box, Discrete

from prospect_rl import envs
from prospect_rl.envs.api import Env
from prospect_rl.envs.identity import facts, name_of
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.folder import Folder
from tests import toy_agents, toy_envs


class Lamp(gymnasium.Env):
    """An environment that gymnasium keeps no record of."""

    observation_space = Box(-1.0, 1.0, (1,))

    def __init__(self, pay=1.0, table=(1, 2), arms=2):
        self.pay, self.table, self.when = pay, np.asarray(table), object()
        self.action_space, self.luck = Discrete(arms), np.random.default_rng().random()


class Loud(gymnasium.Wrapper):
    """A wrapper that gymnasium keeps no record of."""

    def __init__(self, env, volume):
        super().__init__(env)
        self.volume = volume


def cartpole(**kwargs):
    return gymnasium.make("CartPole-v1", **kwargs)


def scaled(by):
    return lambda: gymnasium.wrappers.TransformReward(cartpole(), lambda reward: reward * by)


MAKERS = {
    "id": "CartPole-v1",
    "keyword": lambda: cartpole(sutton_barto_reward=True),
    "limit": lambda: cartpole(max_episode_steps=20),
    "function": lambda: gymnasium.wrappers.TransformReward(cartpole(), lambda reward: -reward),
    "other function": lambda: gymnasium.wrappers.TransformReward(cartpole(), lambda reward: reward + 1),
    "closure": scaled(2),
    "other closure": scaled(3),
    "argument": lambda: gymnasium.wrappers.ClipReward(cartpole(), -1, 1),
    "other argument": lambda: gymnasium.wrappers.ClipReward(cartpole(), -1, 2),
    "wrapper": lambda: Loud(cartpole(), 1),
    "other wrapper": lambda: Loud(cartpole(), 2),
    "class": Lamp,
    "attribute": lambda: Lamp(pay=2.0),
    "table": lambda: Lamp(table=(1, 3)),
    "space": lambda: Lamp(arms=3),
}


def run_in(env) -> Run:
    return Run(toy_agents.Walker(), env, budget=42)


def test_what_decides_is_in_the_hash_and_nothing_else():
    hashes = {name: run_in(envs.from_gymnasium(make, 3, horizon=9)).hash for name, make in MAKERS.items()}
    assert len(set(hashes.values())) == len(MAKERS)
    assert hashes == {name: run_in(envs.from_gymnasium(make, 3, horizon=9)).hash for name, make in MAKERS.items()}
    alike = [cartpole, lambda: cartpole(render_mode="rgb_array"), lambda: cartpole(disable_env_checker=True)]
    assert {run_in(envs.from_gymnasium(make, 3, horizon=9)).hash for make in alike} == {hashes["id"]}
    env = envs.from_gymnasium("CartPole-v1", 3, horizon=9)
    env.host.told = True
    assert run_in(env).hash == hashes["id"], "what the simulators have come to is no part of it"


def test_a_folder_of_another_making_is_refused_by_name(tmp_path):
    first, second = (run_in(envs.from_gymnasium(MAKERS[name], 3)) for name in ("id", "keyword"))
    assert Folder(tmp_path).open(first, {}) == Folder(tmp_path).open(first, {}) == []
    with pytest.raises(ValueError, match=r"made.0 CartPoleEnv.kwargs.sutton_barto_reward: absent -> True"):
        Folder(tmp_path).open(second, {})


def test_another_version_of_gymnasium_is_told(tmp_path, monkeypatch):
    Folder(tmp_path).open(run_in(envs.from_gymnasium("CartPole-v1", 3)), {})
    monkeypatch.setattr(gymnasium, "__version__", "0.0")
    notices = Folder(tmp_path).open(run_in(envs.from_gymnasium("CartPole-v1", 3)), {})
    assert len(notices) == 1 and "versions.gymnasium" in notices[0] and "-> 0.0" in notices[0]


class Plain:
    """An environment of Prospect that is no dataclass."""

    def __init__(self, inner, pay):
        self.inner, self.pay, self.spec = inner, pay, inner.spec

    def reset(self, key): ...
    def step(self, state, action, key): ...


@struct.dataclass
class Wrapped(Env):
    """One within another, as a dataclass of arrays."""

    inner: Env

    @property
    def spec(self):
        return self.inner.spec


def test_environments_of_prospect_say_what_they_wrap_and_hold():
    made = [Plain(toy_envs.Point(), 1), Plain(toy_envs.Point(), 2), Plain(toy_envs.Point(noise=0.5), 1)]
    made += [Wrapped(toy_envs.Point()), Wrapped(toy_envs.Point(noise=0.5))]
    assert len({run_in(env).hash for env in made}) == 5
    assert run_in(Plain(toy_envs.Point(), 1)).hash == run_in(made[0]).hash


@dataclass
class Options:
    size: int


def test_facts_are_the_same_in_every_process_and_differ_where_values_do():
    loop: list = []
    loop.append(loop)
    values = [
        1, 1.5, "1", None, True, b"1", 1j, [1], {"a": 1}, {2, "b"}, np.float32(1.5) + 1, np.arange(2), np.arange(3),
        Options(1), Options(2), SimpleNamespace(size=1), partial(max, 1), partial(max, 2), max, len, np.inf, Options,
        list(range(200)), list(range(201)), loop, [object()],
    ]  # fmt: skip
    found = [repr(facts(x)) for x in values]
    assert len(set(found)) == len(values) and " at 0x" not in "".join(found)


def test_functions_that_hold_themselves_or_nothing_yet():
    holder: dict = {}
    holder["f"] = partial(max, holder)
    assert facts(holder["f"])["args"] and facts(partial(max, key=holder))["keywords"]

    def early():
        return later

    assert set(facts(early)) == {"code"}, "the variable has no value yet"
    later = 1
    assert facts(early)["closure"] == [1]


def test_a_function_that_wraps_differently_each_time_is_one_line():
    made = []

    def wavering():
        made.append(Loud(cartpole(), 1))
        return made[-1] if len(made) % 2 else gymnasium.wrappers.ClipReward(made[-1], -1, 1)

    line = r"^the function must make the same environment each time, not once .*Loud and once .*Loud, .*ClipReward$"
    with pytest.raises(ValueError, match=line):
        envs.from_gymnasium(wavering, 2)


def test_a_module_that_has_moved_keeps_its_name_in_identities():
    assert name_of(type(envs.make("point/sparse"))) == "envs.point.SparsePoint"
    assert name_of(type(envs.make("maze/hard"))) == "envs.maze.hard.HardMaze"
    assert name_of(gymnasium.wrappers.ClipReward).startswith("gymnasium.wrappers.")
