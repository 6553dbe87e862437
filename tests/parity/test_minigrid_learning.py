"""SB3's PPO (the extra `sb3`) learns in our MiniGrid what it learns in Farama's, weight by weight."""

import gymnasium
import numpy as np
import pytest

sb3 = pytest.importorskip("stable_baselines3")
pytest.importorskip("minigrid")

from minigrid.wrappers import ReseedWrapper  # noqa: E402

from prospect_rl.envs import gymnasium as ours  # noqa: E402
from tests.parity.minigrid_replay import theirs_of  # noqa: E402

NAME, STEPS = "Empty-5x5-v0", 2048


class Pixels(gymnasium.ObservationWrapper):
    """The image as one vector; and the sum of the rewards."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(0, 10, (147,), np.float32)
        self.total = 0.0

    def observation(self, obs):
        return obs["image"].reshape(-1).astype(np.float32)

    def step(self, action):
        obs, reward, *rest = super().step(action)
        self.total += reward
        return obs, reward, *rest


def learned(env):
    """(PPO's weights, the rewards it was paid), after few large updates so that rounding has no time to grow."""
    env.action_space = gymnasium.spaces.Discrete(7)  # theirs is int64, ours int32
    model = sb3.PPO("MlpPolicy", env, n_steps=512, batch_size=256, n_epochs=2, ent_coef=0.05, seed=0, device="cpu")
    model.learn(STEPS)
    return {name: weight.numpy() for name, weight in model.policy.state_dict().items()}, env.total


def made(**fields):
    id = next(id for id, name in ours.names().items() if name == f"minigrid/{NAME}")
    return gymnasium.make(id, **fields).unwrapped


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ppo_learns_the_same_on_the_same_level():
    ours, our_total = learned(Pixels(made(levels=1)))
    theirs, their_total = learned(Pixels(ReseedWrapper(theirs_of(NAME), seeds=[0])))
    assert our_total == pytest.approx(their_total, abs=1e-4) and our_total > 0, "nothing was paid: nothing was learned"
    for name, weight in theirs.items():
        np.testing.assert_allclose(ours[name], weight, atol=1e-4, err_msg=name)


@pytest.mark.filterwarnings("ignore")
def test_ppo_takes_the_whole_observation():
    """Image, direction and mission, from levels of our own generator."""
    model = sb3.PPO("MultiInputPolicy", made(source="generator"), n_steps=64, batch_size=64, seed=0, device="cpu")
    before = model.policy.state_dict()["action_net.weight"].clone()
    model.learn(64)
    assert (model.policy.state_dict()["action_net.weight"] != before).any()
