"""SMoSE's router under PPO: the same law in the agent, in JAX, NumPy and JSON; and that it learns a MiniGrid task."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents import SmosePPO
from prospect_rl.agents.api import Box, Discrete
from prospect_rl.agents.online.smose.coefficients import policy_of, read
from prospect_rl.agents.online.smose.names import names_of
from prospect_rl.agents.online.smose.policy import act_linear, act_trained, route
from prospect_rl.experiments import train
from tests.agents.players import PICTURE, observations, untrained


def player_for(obs):
    return untrained(SmosePPO(experts=4, greedy=True), obs, Discrete(3, start=2))


@pytest.mark.parametrize("obs", [Box((3,)), Discrete(5, start=-1), PICTURE], ids=["numbers", "choice", "picture"])
def test_player_law_numpy_and_json_act_alike(obs):
    player = player_for(obs)
    params = player.behaviour.params
    facts = json.loads(json.dumps(player.agent.to_json(player.behaviour)))
    law, numpy, from_json, winners = player.agent.law(player.behaviour), player.to_numpy(), policy_of(facts), set()
    for seen in observations(obs, 20):
        inner = seen - obs.start if isinstance(obs, Discrete) else seen
        features = player.agent.network.apply(params, inner, method="encode")
        wanted = player(seen)
        assert wanted == numpy(seen) == from_json(seen) == act_trained(law, features) == act_linear(law, features)
        winners.add(int(route(law, features)[0]))
    assert len(winners) > 1 or isinstance(obs, Discrete), "the router must choose, or the comparison says little"
    jax.tree.map(np.testing.assert_array_equal, read(facts), law)
    assert jax.tree.structure(read(facts)) == jax.tree.structure(law)


def test_names_of_codes():
    features, actions = names_of(player_for(PICTURE).spec)
    assert len(set(features)) == len(features) == 7 * 7 * (11 + 6 + 3) + 4 + 5 * 13 + 2
    assert features[0] == "image 0 0 0 = 0" and features[11] == "image 0 0 1 = 0" and features[20] == "image 0 1 0 = 0"
    assert "direction = 3" in features and "speed 1" in features and actions == ("action 2", "action 3", "action 4")


def test_refusals():
    for field, value in (("recurrent", 4), ("normalise_obs", True)):
        with pytest.raises(
            ValueError, match=f"^{field} is not for SmosePPO: its law is one of the observation as it is"
        ):
            agents.make("smose_ppo", **{field: value})
    with pytest.raises(ValueError, match="its actions are real numbers: smose has the same experts for these"):
        SmosePPO().bind(envs.make("probe/target").spec)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_solves_a_minigrid_task():
    result = train(SmosePPO(), envs.make("minigrid/Empty-5x5-v0"), budget=69_632, evals=1, seeds=(0,))
    assert result.rows[-1]["eval/return"] > 0.9 and jnp.isfinite(result.rows[-1]["learn/loss_aux"])
