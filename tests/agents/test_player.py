"""A trained agent as a function of observations: its memory, its random numbers, what it takes and gives."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents import PPO, Floor, Player
from prospect_rl.agents.api import Agent, Box, Dict, Discrete, Inputs, Segments
from prospect_rl.envs.gymnasium import spaces
from tests.agents.players import KEY, PICTURE, observations, recurrent, untrained


def test_memory_lasts_an_episode_and_no_longer():
    player, seen = recurrent(), observations(Box((3,)))
    agent, memory, wanted = player.agent, jnp.zeros(6), []
    for obs in seen:
        inputs = Inputs(obs, jnp.zeros(2), jnp.zeros(()), jnp.zeros((), bool))
        action, memory, _ = agent.act(player.behaviour, memory, inputs, KEY)
        wanted.append(action)
    first = [player(obs) for obs in seen]
    np.testing.assert_allclose(first, wanted, atol=1e-6)
    assert not np.allclose(player(seen[0]), first[0], atol=1e-6), "the sixth step remembers"
    player.reset()
    np.testing.assert_array_equal([player(obs) for obs in seen], first)


def test_predict_hands_the_state_to_its_caller():
    player, seen = recurrent(), observations(Box((3,)))
    wanted, state, found = [player(obs) for obs in seen], None, []
    for obs in seen:
        action, state = player.predict(obs, state=state, deterministic=True)
        found.append(action)
    np.testing.assert_array_equal(found, wanted)
    anew, _ = player.predict(seen[0], state=state, episode_start=np.array([True]))
    np.testing.assert_array_equal(anew, wanted[0])


def test_actions_are_what_gymnasium_takes():
    action = recurrent()(np.zeros(3))
    assert isinstance(action, np.ndarray) and action.dtype == np.float32 and action.shape == (2,)
    choice = untrained(PPO(), PICTURE, Discrete(3))(observations(PICTURE, 1)[0])
    assert type(choice) is int and 0 <= choice < 3
    # weights so large that the mean lies far outside the bounds
    player = untrained(PPO(greedy=True), Box((3,)), Box((2,), (-1.0, 0.0), (3.0, 0.5)))
    large = Player(player.agent, jax.tree.map(lambda x: 1e3 * x if x.dtype == np.float32 else x, player.behaviour))
    assert all(player.spec.action.contains(large(obs)) for obs in observations(Box((3,))))


def test_numbers_are_those_of_gymnasium_on_both_sides():
    """Choices count from `start`, vectors have gymnasium's type and lie within its bounds."""
    seen = Dict((("place", Discrete(3, start=-1)), ("x", Box((2,), outside="float64"))))
    still = untrained(Floor(action="zero"), seen, Discrete(3, start=5))
    assert [still({"place": place, "x": np.zeros(2)}) for place in (np.uint8(1), -1)] == [5, 5]
    with pytest.raises(ValueError, match="place: an observation has numbers outside its space"):
        still({"place": 2, "x": np.zeros(2)})
    for bounds in [(-0.1, 0.1), ((-0.1, 0.3), (0.1, 0.7))]:
        for dtype in ("float64", "float16"):
            player = untrained(PPO(greedy=True), Box((3,)), Box((2,), *bounds, outside=dtype))
            large = Player(player.agent, jax.tree.map(lambda x: 1e3 * x if x.ndim else x, player.behaviour))
            space = spaces.outward(player.spec.action)
            actions = [large(obs) for obs in observations(Box((3,)))]
            assert all(space.contains(action) and action.dtype == dtype for action in actions)
    scalar = untrained(Floor(), Box((3,)), Box((), -0.1, 0.1, outside="float64"))
    assert spaces.outward(scalar.spec.action).contains(scalar(np.zeros(3)))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "1"])
def test_a_seed_that_would_be_wrapped_round_is_refused(seed):
    player = untrained(Floor(), Box((3,)), Discrete(4), seed=2**32 - 1)
    for refused in (lambda: untrained(Floor(), Box((3,)), Discrete(4), seed=seed), lambda: player.reset(seed=seed)):
        with pytest.raises(ValueError, match=r"a seed must be a whole number between 0 and 2\*\*32 - 1, not "):
            refused()


def test_a_policy_that_draws_is_seeded_and_can_be_made_likeliest():
    player, obs = untrained(PPO(), Box((3,)), Discrete(4)), np.zeros(3)
    drawn = [player(obs) for _ in range(30)]
    player.reset()
    other = [player(obs) for _ in range(30)]
    player.reset(seed=0)
    assert len(set(drawn)) > 1 and drawn != other and drawn == [player(obs) for _ in range(30)]
    assert len({player(obs, deterministic=True) for _ in range(30)}) == 1


@dataclass(frozen=True, kw_only=True)
class Gambler(Agent):
    """Repeats its last action while that pays, else adds one."""

    wants = Segments(1, 1)

    def init(self, key):
        return jnp.zeros(())

    def exploit(self, state):
        return state

    def act(self, behaviour, memory, inputs, key):
        return jnp.where(inputs.first, 0, inputs.action + (inputs.reward <= 0)).astype(jnp.int32), memory, ()


def test_the_last_action_and_reward_reach_an_agent_that_looks_at_them():
    player = untrained(Gambler(), Discrete(2), Discrete(9))
    assert [player(0), player(0, 1.0), player(0, 0.0), player(0, -1.0), player(0, reward=2)] == [0, 0, 1, 2, 2]
    with pytest.raises(ValueError, match="looks at the last reward"):
        player(0)
    player.reset()
    assert player(0) == 0
    still = untrained(Floor(action="zero"), Discrete(2), Discrete(9))
    assert [still(0), still(1)] == [0, 0], "others need no reward"


@pytest.mark.parametrize(
    ("space", "obs", "line"),
    [
        (Box((3,)), np.zeros(4), r"must have shape \(3,\), not \(4,\)"),
        (Box((3,)), np.zeros((1, 3)), r"must have shape \(3,\), not \(1, 3\)"),
        (Box((3,)), ["a", "b", "c"], "must be float32, not <U1"),
        (Discrete(3), 3, "outside its space"),
        (Discrete(3), 1.0, "must be int32, not float64"),
        (Box((2,), 0, 255, "uint8"), [256, 0], "outside its space"),
        (PICTURE, np.zeros(3), "must be a dict with direction, image, mission, speed"),
        (PICTURE, {**observations(PICTURE, 1)[0], "speed": np.zeros(3)}, r"speed: .* shape \(2,\), not \(3,\)"),
    ],
)
def test_another_observation_is_one_clear_line(space, obs, line):
    with pytest.raises(ValueError, match=line) as error:
        untrained(Floor(), space, Discrete(3))(obs)
    assert "\n" not in str(error.value)


def test_what_gymnasium_observes_is_taken():
    assert untrained(Floor(action="zero"), Discrete(3), Discrete(3))(np.int64(2)) == 0
    assert untrained(Floor(action="zero"), Box((2,)), Discrete(3))(np.zeros(2, np.float64)) == 0
