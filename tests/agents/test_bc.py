"""Behaviour cloning copies known policies, in every kind of action space."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.offline.bc import BC
from prospect_rl.envs.api import Batch, Box, Dataset, Dict, Discrete, Inputs, Spec
from prospect_rl.envs.rollout import batches

ROWS = 2000


def clone(spec, policy, iterations=20, **fields):
    """(agent, state, observations, their actions, losses) after learning from uniformly drawn observations."""
    agent = BC(hidden=(32,), learning_rate=1e-2, updates=25, batch_size=128, **fields).bind(spec)
    obs = jax.random.uniform(jax.random.key(0), (ROWS, *spec.obs.shape), minval=-1, maxval=1)
    action = jax.vmap(policy)(obs)
    dataset = Dataset({"obs": obs, "action": action, "terminated": jnp.zeros(ROWS, bool)}, jnp.zeros(1, jnp.int32))
    want = agent.wants

    @jax.jit
    def iterate(state, dataset, key):
        k_data, k_learn = jax.random.split(key)
        return agent.learn(state, batches(dataset, k_data, size=want.size, updates=want.updates), k_learn)

    state, losses = jax.jit(agent.init)(jax.random.key(1)), []
    for i in range(iterations):
        state, metrics = iterate(state, dataset, jax.random.fold_in(jax.random.key(2), i))
        losses.append(float(metrics["learn/loss"]))
    return agent, state, obs, action, losses


def acted(agent, state, obs):
    def one(o):
        inputs = Inputs(o, jnp.zeros(()), jnp.zeros(()), jnp.zeros((), bool))
        return agent.act(agent.exploit(state), (), inputs, jax.random.key(0))[0]

    return np.asarray(jax.jit(jax.vmap(one))(obs))


def spec_of(action, shape=(3,)):
    return Spec(id="test/clone", obs=Box(shape, -1.0, 1.0), action=action, horizon=1)


def test_a_linear_policy():
    """Bounds differ by component; the error is a hundredth of the actions' spread."""
    weight = jnp.array([[2.0, 0.0], [0.0, -0.1], [1.0, 0.2]])
    box = Box((2,), (-4.0, 0.0), (4.0, 1.0))
    agent, state, obs, action, losses = clone(spec_of(box), lambda o: o @ weight + jnp.array([0.0, 0.5]))
    copy = acted(agent, state, obs)
    error = np.sqrt(np.mean((copy - action) ** 2, axis=0))
    assert np.all(error < 0.05 * np.std(action, axis=0)) and losses[-1] < 0.05 * losses[0]
    assert np.all(copy >= [-4, 0]) and np.all(copy <= [4, 1])


def test_unbounded_actions():
    agent, state, obs, action, _ = clone(spec_of(Box((1,))), lambda o: 5 * o[:1])
    assert np.abs(acted(agent, state, obs) - action).mean() < 0.1


def test_a_discrete_policy():
    """Observations of two axes are read as they are; three choices, by the largest component."""
    agent, state, obs, action, losses = clone(
        spec_of(Discrete(3), (3, 1)), lambda o: jnp.argmax(o[:, 0]).astype(jnp.int32)
    )
    copy = acted(agent, state, obs)
    assert copy.dtype == np.int32 and np.mean(copy == action) > 0.97
    assert losses[0] < 1.2 and losses[-1] < 0.1  # ln 3 = 1.0986 before anything is learned


def test_losses_by_hand():
    agent = BC(hidden=()).bind(spec_of(Box((2,), (-4.0, 0.0), (4.0, 1.0)), (1,)))
    params = jax.tree.map(jnp.zeros_like, jax.jit(agent.init)(jax.random.key(0)).params)  # outputs 0: (0, 0.5)
    assert agent.loss(params, jnp.ones(1), jnp.array([2.0, 1.0])) == (0.5**2 + 1**2) / 2
    choice = BC(hidden=()).bind(spec_of(Discrete(4), (1,)))
    params = jax.tree.map(jnp.zeros_like, jax.jit(choice.init)(jax.random.key(0)).params)
    assert choice.loss(params, jnp.ones(1), jnp.int32(2)) == pytest.approx(np.log(4))


def test_invalid_rows_teach_nothing():
    agent = BC(hidden=(4,), updates=1, batch_size=4).bind(spec_of(Box((1,), -1.0, 1.0)))
    state, numbers = jax.jit(agent.init)(jax.random.key(0)), jax.random.normal(jax.random.key(3), (1, 4, 4))
    sound, valid = {"obs": numbers[..., :3], "action": numbers[..., 3:]}, jnp.array([[True, True, False, False]])
    spoilt = sound | {"action": sound["action"].at[:, 2:].set(99.0)}
    learn = jax.jit(agent.learn)
    a, b = (learn(state, Batch(rows, valid), jax.random.key(1))[0] for rows in (sound, spoilt))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert not np.array_equal(jax.tree.leaves(a.params)[1], jax.tree.leaves(state.params)[1])


def test_misfits():
    with pytest.raises(ValueError, match="one array of numbers"):
        BC().bind(Spec(id="x", obs=Dict((("a", Box((1,))),)), action=Discrete(2), horizon=1))
    with pytest.raises(ValueError, match="all bounds or none"):
        BC().bind(spec_of(Box((1,), low=0.0)))
    with pytest.raises(ValueError, match="learning_rate must be above 0"):
        BC(learning_rate=0.0)
