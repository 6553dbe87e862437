"""OptiDICE and CDE where actions are choices: observations of any space, exact sums, what is learned in the end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents.offline.cde.cde import CDE
from prospect_rl.agents.offline.cde.optidice import OptiDICE
from prospect_rl.envs.api import Dataset
from prospect_rl.envs.rollout import batches, first_inputs
from prospect_rl.experiments.run.program import Program
from tests.agents.dice import CHOICES, SMALL, B, case, rows

MINIGRID = "minigrid/Empty-5x5-v0"
TINY = SMALL | {"encoding": 8}


def sampled(env, count=64):
    """Rows drawn from the spaces of an environment: four episodes, of which all but the last one pay at their end."""
    k_obs, k_action = jax.random.split(jax.random.key(3), (2, count))
    last = jnp.arange(count) % (count // 4) == count // 4 - 1
    rows = {
        "obs": jax.vmap(env.spec.obs.sample)(k_obs), "action": jax.vmap(env.spec.action.sample)(k_action),
        "reward": jnp.float32(last & (jnp.arange(count) < count - 1)), "terminated": last,
        "truncated": jnp.zeros(count, bool),
    }  # fmt: skip
    return Dataset(rows, jnp.arange(0, count, count // 4, dtype=jnp.int32))


def test_sums_over_choices_do_not_depend_on_the_key():
    agent, learner = case(CDE, CHOICES)
    update = jax.jit(agent.update)
    (a, _), (b, _) = (update(learner, rows(0, CHOICES), jax.random.key(i)) for i in range(2))
    assert all(np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def test_every_other_choice_is_outside():
    agent, learner = case(CDE, CHOICES)
    batch = rows(0, CHOICES)
    e_value, (e_values, counts) = agent.e_values(learner.values, batch, jax.random.key(0))
    assert e_values.shape == counts.shape == (B, 4) and np.all(counts.sum(axis=1) == 3)
    own = np.arange(4) == np.asarray(batch.action)[:, None]
    np.testing.assert_array_equal(counts, ~own)
    np.testing.assert_allclose(e_value, np.asarray(e_values)[own], rtol=1e-6)


def test_there_is_no_bonus():
    agent, learner = case(CDE, CHOICES)
    after, figures = jax.jit(agent.update)(learner, rows(0, CHOICES), jax.random.key(0))
    assert after.policy.log_c == learner.policy.log_c and all(np.isfinite(x) for x in figures.values())


def test_minigrids_observations():
    """A picture of codes, a direction and words stay as they are, through preparation, training and play."""
    env = envs.make(MINIGRID)
    agent = CDE(**TINY).bind(env.spec)
    raw = sampled(env)
    data = agent.prepare(raw)
    assert jax.tree.map(lambda x: x.dtype, data.rows["obs"]) == jax.tree.map(lambda x: x.dtype, raw.rows["obs"])
    np.testing.assert_array_equal(data.rows["next_obs"]["image"][:15], raw.rows["obs"]["image"][1:16])
    assert data.rows["action"].dtype == jnp.int32 and data.facts["mean"].shape == (0,)
    program = Program(agent, env, (0,), eval_episodes=2, dataset=data)
    run, _, figures = program.advance(program.init(), 0, 4, 10)
    assert all(np.isfinite(x).all() for x in figures.values())
    assert np.isfinite(program.evaluate(run, 0)["eval/return"])


@pytest.mark.filterwarnings("ignore:9 rows belong to successful episodes")
def test_real_numbers_are_normalised_and_codes_are_not():
    agent = CDE(**SMALL).bind(CHOICES)
    env = envs.make("probe/one_step")
    obs = np.float32([[1, 2, 3], [3, 2, 1]] * 6)
    raw = sampled(env, 12)
    data = agent.prepare(Dataset(raw.rows | {"obs": jnp.asarray(obs), "next_obs": jnp.asarray(obs)}, raw.firsts))
    np.testing.assert_allclose(data.rows["obs"][:2], [[-1, 0, 1], [1, 0, -1]], atol=1e-5)
    behaviour = agent.exploit(jax.jit(agent.init)(jax.random.key(0))).replace(**data.facts)
    inputs = first_inputs(CHOICES, jnp.float32([1, 2, 3]))
    action, _, _ = agent.act(behaviour, (), inputs, jax.random.key(0))
    logits = agent.actions.network(4).apply(behaviour.actor, data.rows["obs"][0])
    assert action == jnp.argmax(logits) and action.dtype == jnp.int32


@pytest.mark.parametrize("cls", [CDE, pytest.param(OptiDICE, marks=pytest.mark.slow)])
def test_the_choice_that_pays_is_found(cls):
    """One step, and the sign of what is seen names the better choice; the data takes the other one twice as often."""
    env, g, count = envs.make("probe/one_step"), np.random.default_rng(0), 600
    obs = g.choice(np.float32([-1, 1]), (count, 1))
    right = (obs[:, 0] > 0).astype(np.int32)
    action = np.where(g.random(count) < 1 / 3, right, 1 - right)
    rows = {
        "obs": obs, "next_obs": obs, "action": action, "reward": (action == right).astype(np.float32),
        "terminated": np.ones(count, bool), "truncated": np.zeros(count, bool),
    }  # fmt: skip
    fields = {"hidden": (16,), "batch_size": 64, "updates": 500, "warm_up": 200, "learning_rate": 0.01, "alpha": 0.1}
    agent = cls(**fields, unit_ratios=False).bind(env.spec)
    data = agent.prepare(Dataset({k: jnp.asarray(x) for k, x in rows.items()}, jnp.arange(count, dtype=jnp.int32)))
    batch = batches(data, jax.random.key(0), size=64, updates=500, starts=64)
    state, _ = jax.jit(agent.learn)(jax.jit(agent.init)(jax.random.key(1)), batch, jax.random.key(2))
    behaviour = agent.exploit(state)
    for seen in (-1.0, 1.0):
        inputs = first_inputs(env.spec, jnp.float32([seen]))
        assert agent.act(behaviour, (), inputs, jax.random.key(3))[0] == (seen > 0)
