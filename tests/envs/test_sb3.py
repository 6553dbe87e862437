"""stable-baselines3 (the extra `sb3`) accepts every environment and learns in one."""

import gymnasium
import pytest

from prospect_rl.envs import gymnasium as ours
from tests.small_ids import MINIGRID

sb3 = pytest.importorskip("stable_baselines3")
check_env = pytest.importorskip("stable_baselines3.common.env_checker").check_env


CHECKED = [
    pytest.param(id, marks=pytest.mark.slow) if name.startswith("minigrid/") and name not in MINIGRID else id
    for id, name in ours.names().items()
]


@pytest.mark.parametrize("id", CHECKED)
@pytest.mark.filterwarnings("ignore")  # its advice on spaces comes as warnings
def test_sb3_checks_every_environment(id):
    check_env(gymnasium.make(id).unwrapped)


@pytest.mark.filterwarnings("ignore")
def test_sb3_learns_in_one():
    """The best arm pays 1, a uniform policy earns 5/8."""
    env = gymnasium.make("prospect/ProbeBandit-v0")
    model = sb3.PPO("MlpPolicy", env, n_steps=128, batch_size=64, learning_rate=1e-2, seed=0, device="cpu")
    model.learn(1024)
    obs, _ = env.reset(seed=1)
    assert model.predict(obs, deterministic=True)[0] == 2


@pytest.mark.filterwarnings("ignore")
def test_sb3_learns_in_minigrid():
    """Random actions return less than .4 in Empty-5x5, a perfect policy .955."""
    id = next(id for id, name in ours.names().items() if name == "minigrid/Empty-5x5-v0")
    env = gymnasium.make(id)
    model = sb3.PPO("MultiInputPolicy", env, n_steps=256, learning_rate=1e-3, seed=0, device="cpu")
    model.learn(8192)
    returns = [episode["r"] for episode in model.ep_info_buffer]
    assert sum(returns[-20:]) / 20 > 0.7
