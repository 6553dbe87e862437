"""The combination lock: its tables by hand, and steps that follow them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents.ops.tabular import plan
from prospect_rl.envs.small.lock import CombinationLock, LockState

RIGHT = (1, 2, 1, 2, 1, 2)


def only(transition, reward, arms):
    """The Markov chain of one arm a state."""
    states = np.arange(len(arms))
    return jnp.asarray(transition[states, arms][:, None]), jnp.asarray(reward[states, arms][:, None])


def test_the_tables_by_hand():
    transition, reward = CombinationLock().tables()
    assert transition.shape == (7, 3, 7) and np.allclose(transition.sum(-1), 1)
    assert np.allclose(transition[3, 0], [0, 0, 0, 1, 0, 0, 0])  # safe: stays
    assert np.allclose(transition[3, 2], [0, 0, 0, 0.1, 0.9, 0, 0])  # right: on, or slips
    assert np.allclose(transition[3, 1], [1, 0, 0, 0, 0, 0, 0])  # wrong: back to the first state
    assert np.allclose(transition[6, :, 6], 1)
    assert np.allclose(reward[:6], [0.05, 0, 0]) and np.allclose(reward[6], 1)


def test_the_values_that_the_docs_state():
    transition, reward = CombinationLock().tables()
    forward, _ = plan(*only(transition, reward, np.append(RIGHT, 0)), 7)
    safe, _ = plan(*only(transition, reward, np.zeros(7, int)), 7)
    best, policy = plan(jnp.asarray(transition), jnp.asarray(reward), 7)
    assert forward[0] == pytest.approx(0.9**6, abs=1e-6) and safe[0] == pytest.approx(0.35, abs=1e-6)
    # a slip after t right steps leaves 6 - t safe ones
    assert best[0] == pytest.approx(0.9**6 + sum(0.9**t * 0.1 * 0.05 * (6 - t) for t in range(6)), abs=1e-6)
    assert best[0] == pytest.approx(0.6206, abs=1e-4)
    assert [int(policy[t, t]) for t in range(6)] == list(RIGHT) and int(policy[1, 0]) == 0


def test_steps_follow_the_tables():
    env = CombinationLock()
    transition, reward = env.tables()
    step = jax.jit(jax.vmap(env.step, in_axes=(None, None, 0)))
    keys = jax.random.split(jax.random.key(0), 2000)
    for position in (0, 3, 6):
        state = LockState(jnp.int32(position), jnp.int32(0))
        for arm in range(3):
            _, out = step(state, jnp.int32(arm), keys)
            odds = np.bincount(np.asarray(out.obs), minlength=7) / 2000
            assert np.allclose(odds, transition[position, arm], atol=0.03)
            assert np.all(odds[transition[position, arm] == 0] == 0)
            assert np.allclose(out.reward, reward[position, arm])
            assert (np.asarray(out.info["success"]) == (np.asarray(out.obs) == 6)).all()


def test_a_sure_lock_opens_in_six_steps_and_pays_once():
    env = envs.make("lock/combination", forward=1.0)
    state, obs = env.reset(jax.random.key(0))
    rewards, step_fn = [], jax.jit(env.step)
    for t in range(7):
        state, step = step_fn(state, jnp.int32(RIGHT[t] if t < 6 else 2), jax.random.key(t))
        rewards.append(float(step.reward))
        assert bool(step.info["success"]) == (t >= 5) and bool(step.truncated) == (t == 6) and not step.terminated
    assert rewards == [0, 0, 0, 0, 0, 0, 1] and int(obs) == 0


@pytest.mark.parametrize("bad", [{"length": 0}, {"arms": 1}, {"horizon": 0}, {"forward": 1.5}])
def test_bad_numbers_are_one_line(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        envs.make("lock/combination", **bad)
