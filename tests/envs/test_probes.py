"""The probes pay what their docstrings say; the optimum is found by trying every sequence of actions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs

KEY = jax.random.key(0)


def play(env, policy, key=KEY):
    """(rewards, observations, last step) of one episode of `policy(obs, time)`."""
    state, obs = env.reset(key)
    step_fn = jax.jit(env.step)
    rewards, seen = [], [np.asarray(obs)]
    for time in range(env.spec.horizon):
        state, step = step_fn(state, policy(np.asarray(obs), time), key)
        obs = step.obs
        rewards.append(float(step.reward))
        seen.append(np.asarray(obs))
    return rewards, seen, step


def values(env, gamma, policy, key=KEY):
    """Discounted sum of what is left at each time, with no bootstrap at the end."""
    rewards, *_ = play(env, policy, key)
    return [sum(gamma**i * r for i, r in enumerate(rewards[t:])) for t in range(len(rewards))]


def sequences(env):
    """Mean return over both signs of each open-loop action sequence."""
    keys = by_sign(env)
    for actions in itertools.product(range(env.spec.action.n), repeat=env.spec.horizon):
        yield np.mean([sum(play(env, lambda o, t: jnp.int32(actions[t]), key)[0]) for key in keys]), actions  # noqa: B023


def by_sign(env):
    """A key that draws -1 and one that draws 1."""
    found = {}
    for i in range(20):
        found.setdefault(float(env.reset(jax.random.key(i))[1][0]), jax.random.key(i))
    assert set(found) == {-1.0, 1.0}
    return [found[-1.0], found[1.0]]


def test_bandit():
    env = envs.make("probe/bandit")
    returns = [sum(play(env, lambda o, t, a=a: jnp.int32(a))[0]) for a in range(4)]
    assert returns == [0.5, 0.5, 1.0, 0.5]
    assert play(env, lambda o, t: jnp.int32(2))[2].info["success"]
    with pytest.raises(ValueError, match="best must be one of the 3 arms"):
        envs.make("probe/bandit", arms=3, best=3)


def test_target():
    env = envs.make("probe/target")
    for key in by_sign(env):
        rewards, _, step = play(env, lambda o, t: o / 2, key)
        assert rewards == [0.0] and step.info["success"] and step.terminated
        assert play(env, lambda o, t: np.zeros(1, np.float32), key)[0] == [-0.25]


def test_one_step_pays_its_observation():
    env = envs.make("probe/one_step")
    for key, sign in zip(by_sign(env), (-1.0, 1.0), strict=True):
        for action in (0, 1):
            assert play(env, lambda o, t, a=action: jnp.int32(a), key)[0] == [sign]


def test_discounting():
    env = envs.make("probe/discounting")
    _, seen, step = play(env, lambda o, t: jnp.int32(0))
    assert [float(o[0]) for o in seen] == [0, 1, 2]
    assert values(env, 0.9, lambda o, t: jnp.int32(0)) == [0.9, 1.0]
    assert step.terminated and not step.truncated


@pytest.mark.parametrize("delay", [1, 3])
def test_memory(delay):
    env = envs.make("probe/memory", delay=delay)
    assert max(sequences(env))[0] == 0.5  # no policy that is blind to the cue does better
    for key in by_sign(env):
        cue = float(env.reset(key)[1][0])
        answer = jnp.int32(cue > 0)
        rewards, seen, step = play(env, lambda o, t, a=answer: a, key)
        assert rewards == [0.0] * delay + [1.0] and step.info["success"]
        assert [float(o[0]) for o in seen] == [cue] + [0.0] * (delay + 1)
        assert [float(o[1]) for o in seen] == [0.0] * delay + [1.0, 0.0]
        assert play(env, lambda o, t, a=1 - answer: a, key)[0] == [0.0] * (delay + 1)
    with pytest.raises(ValueError, match="delay must be at least 1"):
        envs.make("probe/memory", delay=0)


def test_limit():
    cut, end = envs.make("probe/limit"), envs.make("probe/limit", terminates=True)
    policy = lambda o, t: jnp.int32(0)  # noqa: E731
    assert values(end, 0.9, policy) == pytest.approx([(1 - 0.9 ** (5 - t)) / 0.1 for t in range(5)])
    step = play(cut, policy)[2]
    assert step.truncated and not step.terminated
    step = play(end, policy)[2]
    assert step.terminated and not step.truncated
    rewards, seen, _ = play(cut, policy)
    assert rewards == [1.0] * 5 and np.allclose(np.concatenate(seen), np.arange(6) / 5)


# --- the point -----------------------------------------------------------------------------------------


def towards(goal):
    return lambda o, t: np.clip((np.asarray(goal) - o) / 0.05, -1, 1).astype(np.float32)


def test_point_moves_and_is_stopped_by_the_border():
    env = envs.make("point/sparse")
    _, seen, step = play(env, lambda o, t: np.array([1.0, -0.5], np.float32))
    assert np.allclose(seen[1], (0.05, -0.025)) and np.allclose(seen[-1], (1.0, -1.0))
    assert step.truncated and not step.terminated


@pytest.mark.parametrize("area", range(4))
def test_point_is_paid_for_every_step_in_a_square(area):
    env = envs.make("point/sparse")
    centre = np.array([(0.775, 0.775), (-0.955, 0.925), (0.025, -0.725), (-0.725, -0.025)][area])
    rewards, seen, step = play(env, towards(centre))
    within = [bool(np.all(np.abs(o - centre) <= 0.025)) for o in seen[1:]]
    assert rewards == [float(w) for w in within]
    arrival = int(np.argmax(within))
    assert arrival in {int(np.ceil(np.abs(centre).max() / 0.05)) - 2, int(np.ceil(np.abs(centre).max() / 0.05)) - 1}
    assert sum(rewards) == 50 - arrival  # and then every step
    assert int(step.info["area"]) == area and step.info["success"]
    assert np.allclose(step.info["descriptor"], centre, atol=1e-5)


def test_only_the_first_square_pays():
    env = envs.make("point/sparse")
    first, second = np.array((0.025, -0.725)), np.array((-0.725, -0.025))
    rewards, seen, step = play(env, lambda o, t: towards(first if t < 20 else second)(o, t))
    assert np.allclose(seen[-1], second, atol=1e-5) and int(step.info["area"]) == 2
    assert rewards[19] == 1 and sum(rewards[22:]) == 0


def test_point_optimum():
    env = envs.make("point/sparse")
    best = 0
    for x in (-0.7, -0.7001, -0.701, -0.705):
        best = max(best, sum(play(env, towards((x, -0.025)))[0]))
    assert best in (36, 37)


def test_point_picture():
    env = envs.make("point/sparse")
    frame = np.asarray(env.frame(env.reset(KEY)[0]))
    assert frame.shape == (32, 32, 3) and frame.dtype == np.uint8
    assert (frame[16, 16] == (40, 80, 200)).all() and (frame[31, 31] == 255).all()
    image, extent = env.backdrop()
    assert extent == (-1.0, 1.0, -1.0, 1.0)
    assert (image[int((1 - 0.775) * 200), int(1.775 * 200)] == (220, 50, 40)).all()  # row 0 is the top
