"""Agents that remember learn what they must remember: ELMUR under PPO, and by cloning beside its rivals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents.online.ppo_elmur import ElmurPPO
from prospect_rl.envs.api import Dataset
from prospect_rl.envs.rollout import batches, episodes
from tests.agents.on_policy import SMALL, evaluated, memories, played


@pytest.mark.slow
def test_ppo_replays_what_it_remembered():
    """Episodes of six steps, segments of memory of four, of experience of eight: writes and ends fall anywhere."""
    env = envs.make("probe/memory", delay=5)
    agent = ElmurPPO(num_envs=4, length=8, minibatches=2, hidden=(8,), width=8, context=4, layers=1, ffn=8).bind(
        env.spec
    )
    state = jax.jit(agent.init)(jax.random.key(0))
    segment = played(agent, env, state, times=3)
    kept = memories(agent, state.params, segment)
    first, written = np.asarray(segment.steps.inputs.first), kept.held.carry.written
    assert first[1:].any() and {-1, 3} <= set(np.unique(written))
    rows = agent.rows(state, segment, segment.steps.reward)
    evaluate = jax.jit(agent.evaluate)
    np.testing.assert_allclose(evaluate(state.params, segment.memory, rows)[1], segment.steps.extras.value.T, atol=1e-5)
    _, wrong = evaluate(state.params, segment.memory, rows.replace(first=jnp.zeros_like(rows.first)))
    assert np.abs(wrong - segment.steps.extras.value.T).max() > 1e-4
    after = jax.vmap(jax.vmap(agent.outputs, (None, 0, 0)), (None, 0, 0))(state.params, kept, segment.steps.next_obs)[2]
    going = ~np.asarray(segment.steps.terminated)
    np.testing.assert_allclose(jax.jit(agent.next_values)(state, segment)[going], after[going], atol=1e-5)
    with pytest.raises(ValueError, match="recurrent must be 0"):
        ElmurPPO(recurrent=4)
    with pytest.raises(ValueError, match="multiple of 2 . heads"):
        ElmurPPO(heads=3)


@pytest.mark.slow
def test_ppo_learns_to_remember():
    """The cue is seven steps back, two segments of memory before the answer."""
    agent = ElmurPPO(**SMALL, width=16, context=3, layers=1, ffn=16)
    assert evaluated(agent, "probe/memory", 40_000, delay=7) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", ["elmur", "latch", "rmt", "rate", "bc_transformer"])
def test_a_cue_is_remembered(name):
    """Cloned from a perfect player, twelve steps after the cue, four segments; a window of four is blind to it."""
    env, steps = envs.make("probe/memory", delay=11), 12
    cue, t = jnp.where(jnp.arange(64) % 2, 1.0, -1.0)[:, None], jnp.arange(steps)
    obs = jnp.stack([cue * (t == 0), jnp.broadcast_to(1.0 * (t == 11), (64, steps))], axis=-1)
    rows = {
        "obs": obs.reshape(-1, 2), "action": ((t == 11) & (cue > 0)).astype(jnp.int32).ravel(),
        "reward": jnp.tile(1.0 * (t == 11), 64), "terminated": jnp.tile(t == 11, 64),
    }  # fmt: skip
    blind = name == "bc_transformer"
    agent = agents.make(name, width=16, context=3, segments=4, batch_size=32, updates=150, learning_rate=3e-3)
    agent = agent.bind(env.spec)
    data = agent.prepare(Dataset(rows, jnp.arange(0, 64 * steps, steps)))

    @jax.jit
    def score(key):
        k_data, *keys = jax.random.split(key, 5)
        drawn = batches(data, k_data, size=32, updates=150, length=steps, whole=True)
        state, _ = agent.learn(agent.init(keys[0]), drawn, keys[1])
        return episodes(
            env,
            agent,
            agent.exploit(state),
            jnp.ones(1, bool),
            keys[2],
            keys[3],
            population=1,
            episodes=64,
            shared=True,
        ).returns.mean()

    assert (score(jax.random.key(0)) < 0.75) if blind else (score(jax.random.key(0)) > 0.95)
