"""Policies in NumPy alone act as the players that they come from, or are refused."""

import flax.linen as nn
import numpy as np
import pytest

from prospect_rl import agents
from prospect_rl.agents import BC, CDE, PPO, SAC, TD3, Floor
from prospect_rl.agents.api import Box, Dict, Discrete
from prospect_rl.agents.nn.networks import MLP
from prospect_rl.agents.ship.portable import Policy
from prospect_rl.envs.gymnasium import spaces
from tests.agents.players import PICTURE, observations, recurrent, untrained

FLAT, REACH = Box((3,)), Box((2,), (-1.0, 0.0), (3.0, 0.5))
FINE = Box((2,), (-0.1, 0.3), (0.1, 0.7), outside="float64")
EXPRESSED = {
    "td3": (TD3(hidden=(8, 7)), Box((3, 2)), REACH),
    "sac": (SAC(hidden=(8,)), FLAT, REACH),
    "mex": (agents.MEX(hidden=(8, 8)), FLAT, Box((2,), -1.0, 1.0)),
    "evolved": (agents.RandomSearch(), FLAT, REACH),
    "cql": (agents.CQL(hidden=(8,)), FLAT, REACH),
    "iql": (agents.IQL(hidden=(8,)), Box((3, 2)), REACH),
    "awac": (agents.AWAC(hidden=(8,)), FLAT, REACH),
    "td3_bc": (agents.TD3BC(hidden=(8,)), FLAT, REACH),
    "bc": (BC(hidden=(8,)), FLAT, Box((2,))),
    "bc-choice": (BC(hidden=(8,)), FLAT, Discrete(3)),
    "cde": (CDE(hidden=(8, 7)), Box((3, 2)), REACH),
    "cde-cut": (CDE(hidden=(8,), squash=False), FLAT, REACH),
    "cde-choice": (CDE(hidden=(8,)), FLAT, Discrete(3)),
    "cde-minigrid": (CDE(hidden=(8,), encoding=16), PICTURE, Discrete(7)),
    "ppo": (PPO(hidden=(8, 8), normalise_obs=True), FLAT, REACH),
    "ppo-relu": (PPO(activation="relu", greedy=True), FLAT, Discrete(3)),
    "ppo-minigrid": (PPO(encoding=16), PICTURE, Discrete(7)),
    "ppo-codes": (PPO(), Discrete(5), Discrete(3)),
    "ppo-integers": (PPO(), Box((4, 4, 3), 0, 255, "uint8"), Discrete(3)),
    "ppo-start": (PPO(), Dict((("place", Discrete(5, start=-2)), ("x", FLAT))), Discrete(3, start=5)),
    "ppo-unscaled": (PPO(), Box((40,), dtype="int32"), Discrete(3)),
    "ppo-below-zero": (PPO(), Box((40,), -9, 0, "int32"), Discrete(3)),
    "ppo-fine": (PPO(), FLAT, FINE),
    "td3-fine": (TD3(hidden=(8,)), FLAT, FINE),
}


@pytest.mark.parametrize("name", EXPRESSED)
def test_a_policy_in_numpy_acts_as_the_player(name, tmp_path):
    player = untrained(*EXPRESSED[name])
    player.to_numpy().save(tmp_path / "policy.npz")
    policy = Policy(tmp_path / "policy.npz")
    seen = observations(player.spec.obs, 40)
    wanted = [player.predict(obs, deterministic=True)[0] for obs in seen]
    found = [policy(obs, deterministic=True) for obs in seen]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert type(found[0]) is type(wanted[0]) and np.asarray(found[0]).dtype == np.asarray(wanted[0]).dtype
    assert len({str(x) for x in found}) > 1, "observations must matter, or the comparison says little"


@pytest.mark.parametrize("action", [Discrete(4), Box((1,), -9.0, 9.0)], ids=["choice", "vector"])
def test_a_policy_that_draws_draws_alike_in_numpy(action):
    player = untrained(PPO(), FLAT, action)
    policy, obs = player.to_numpy(), np.full(3, 0.5, np.float32)
    policy.generator = np.random.default_rng(2)
    theirs, ours = (np.array([f(obs) for _ in range(1500)], float).ravel() for f in (player, policy))
    for moment in (np.mean, np.std):
        assert moment(ours) == pytest.approx(moment(theirs), abs=0.12 * np.std(theirs))


def test_actions_in_numpy_are_those_of_gymnasium():
    policy = untrained(PPO(), FLAT, FINE).to_numpy()
    policy.arrays |= {name: 1e3 * policy.arrays[name] for name in policy.arrays if name.startswith("layer")}
    space = spaces.outward(FINE)
    assert all(space.contains(policy(obs)) for obs in observations(FLAT, 40))
    choose = untrained(PPO(), Discrete(5, start=3), Discrete(3, start=5)).to_numpy()
    assert {choose(obs) for obs in range(3, 8) for _ in range(20)} == {5, 6, 7}
    for outside in (2, 8):
        with pytest.raises(ValueError, match="an observation has numbers outside its space"):
            choose(outside)


def test_what_numpy_cannot_express_is_one_clear_line():
    with pytest.raises(ValueError, match="policy of PPO cannot be written in NumPy: it keeps a memory"):
        recurrent().to_numpy()
    with pytest.raises(ValueError, match="policy of Floor cannot be written in NumPy: it is no feed-forward network"):
        untrained(Floor(), FLAT, REACH).to_numpy()


def test_a_network_says_that_it_is_made_of_layers():
    class Other(nn.Module):
        """A network that says nothing of the kind."""

        @nn.compact
        def __call__(self, obs):
            return nn.Dense(2)(obs)

    class Mine(TD3):
        """TD3 with a policy of its own."""

        @property
        def actor_network(self):
            return network

    network = Other()
    with pytest.raises(ValueError, match="of Mine cannot be written in NumPy: its Other is not made of dense layers"):
        untrained(Mine(hidden=(8,)), FLAT, REACH).to_numpy()
    network = MLP((5, 5, 2))
    untrained(Mine(hidden=(8,)), FLAT, REACH).to_numpy()


def test_an_export_that_would_act_otherwise_is_refused():
    class Bold(TD3):
        """Its policy is not what its weights say."""

        def greedy(self, actor, obs):
            return -super().greedy(actor, obs)

    with pytest.raises(ValueError, match="Bold in NumPy does not act as the agent does"):
        untrained(Bold(hidden=(8,)), FLAT, REACH).to_numpy()
