"""PPO's losses, rows and schedules in numbers worked by hand; replay of memories; and known values on the probes."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents.nn.encoder import CELL_EMBEDDING, Encoder, blank
from prospect_rl.agents.online.ppo import PPO
from prospect_rl.agents.online.ppo_data import Rows
from prospect_rl.agents.ops.distributions import Categorical, Gaussian
from prospect_rl.agents.ops.losses import clipped_policy, clipped_value
from prospect_rl.envs.api import Box, Dict, Discrete, Inputs, Spec
from tests.agents.on_policy import SMALL, Ring, evaluated, memories, played, program, same, trained, values

# --- losses ------------------------------------------------------------------------------------------


def test_the_clipped_loss_by_hand():
    """min: 1.5 -> 1.2 for A = 1; .5 -> .5 for A = 1; 1.5 -> 1.5 and .5 -> .8 for A = -1: -(1.2 + .5 - 1.5 - .8) / 4."""
    ratio, advantage = jnp.array([1.5, 0.5, 1.5, 0.5]), jnp.array([1.0, 1.0, -1.0, -1.0])
    assert clipped_policy(ratio, advantage, 0.2) == pytest.approx(0.15)
    slope = jax.grad(clipped_policy)(ratio, advantage, 0.2)
    np.testing.assert_allclose(slope, [0, -0.25, 0.25, 0])  # where the clip binds nothing more can be gained


def test_the_value_loss_by_hand():
    """Old 0, target 2: a value of 1 counts as .5 (error 2.25 beside 1); of 3 as .5 too (2.25 beside 1)."""
    value, old, target = jnp.array([1.0, 3.0]), jnp.zeros(2), jnp.full(2, 2.0)
    assert clipped_value(value, old, target, 0.0) == pytest.approx(1.0)
    assert clipped_value(value, old, target, 0.5) == pytest.approx(2.25)
    assert clipped_value(value, old, target, 9.0) == pytest.approx(1.0)


def small_rows(agent, spread=1.0):
    draw = lambda i, *shape: jax.random.normal(jax.random.key(i), shape)  # noqa: E731
    choice = jax.random.randint(jax.random.key(9), (8,), 0, 2)
    return Rows(
        draw(0, 8, 2),
        jnp.zeros(8, bool),
        choice,
        -0.5 + 0.3 * draw(1, 8),
        draw(2, 8),
        spread * draw(3, 8) + 2,
        draw(4, 8),
    )


SPEC = Spec(id="test/small", obs=Box((2,)), action=Discrete(2), horizon=5)


def test_the_whole_loss_is_the_sum_of_its_parts():
    agent = PPO(hidden=(4,), entropy=0.3, value_weight=0.7, normalise_advantage="none").bind(SPEC)
    params, rows = agent.init(jax.random.key(0)).params, small_rows(agent)
    loss, figures = agent.loss(params, (), rows)
    _, logits, value = jax.vmap(agent.outputs, (None, None, 0))(params, (), rows.obs)
    log = np.asarray(jax.nn.log_softmax(logits), np.float64)
    ratio = np.exp(log[np.arange(8), rows.choice] - rows.log_prob)
    gain, near = ratio * rows.advantage, np.clip(ratio, 0.8, 1.2) * rows.advantage
    policy, error = -float(np.minimum(gain, near).mean()), float(np.mean((value - rows.target) ** 2))
    entropy = -np.sum(np.exp(log) * log, axis=1).mean()
    assert loss == pytest.approx(policy + 0.7 * error - 0.3 * entropy, rel=1e-5)
    assert figures["learn/loss_policy"] == pytest.approx(policy, rel=1e-5)
    assert figures["learn/kl"] == pytest.approx(float(np.mean(ratio - 1 - np.log(ratio))), rel=1e-4)
    assert figures["learn/clipped"] == pytest.approx(float(np.mean(np.abs(ratio - 1) > 0.2)))


def test_normalised_advantages_do_not_know_their_scale():
    agent = PPO(hidden=(4,)).bind(SPEC)
    params = agent.init(jax.random.key(0)).params
    one, other = (agent.loss(params, (), small_rows(agent, spread))[1]["learn/loss_policy"] for spread in (1.0, 5.0))
    assert one == pytest.approx(float(other), rel=1e-4)
    plain = replace(agent, normalise_advantage="none")
    one, other = (plain.loss(params, (), small_rows(agent, spread))[1]["learn/loss_policy"] for spread in (1.0, 5.0))
    assert abs(one - other) > 0.1


def test_distributions_by_hand():
    choice = Categorical(jnp.log(jnp.array([0.5, 0.25, 0.25])))
    assert choice.entropy() == pytest.approx(1.5 * np.log(2)) and choice.mode() == 0
    np.testing.assert_allclose(choice.log_prob(jnp.array(1)), np.log(0.25), rtol=1e-6)
    drawn = jax.vmap(choice.sample)(jax.random.split(jax.random.key(0), 4000))
    np.testing.assert_allclose(np.bincount(drawn) / 4000, [0.5, 0.25, 0.25], atol=0.03)
    normal = Gaussian(jnp.array([1.0, -1.0]), jnp.log(jnp.array([2.0, 0.5])))
    wanted = -0.5 * (0.25 + 4) - np.log(2 * 0.5) - np.log(2 * np.pi)
    assert normal.log_prob(jnp.array([2.0, -2.0])) == pytest.approx(wanted, rel=1e-6)
    assert normal.entropy() == pytest.approx(np.log(2 * np.pi * np.e) + np.log(2 * 0.5), rel=1e-6)
    drawn = jax.vmap(normal.sample)(jax.random.split(jax.random.key(0), 4000))
    np.testing.assert_allclose(np.std(drawn, axis=0), [2, 0.5], rtol=0.05)


# --- observations ------------------------------------------------------------------------------------


def test_every_space_has_an_encoding():
    """Codes one-hot, pictures of codes through a layer, other integers by their bound, real numbers as they are."""
    picture, pixels = Box((2, 2, 3), 0, (10, 5, 3), "uint8"), Box((4, 4, 3), 0, 255, "uint8")
    space = Dict((("a", picture), ("b", Discrete(4)), ("c", Box((2,), 0, 3, "uint8")), ("d", Box((2,))), ("e", pixels)))
    obs = blank(space) | {"b": jnp.int32(2), "c": jnp.array([1, 3], jnp.uint8), "d": jnp.array([0.5, -7.0])}
    obs["e"] = obs["e"].at[0, 0, 0].set(255)
    assert space.contains(jax.tree.map(np.asarray, obs))
    params = Encoder(space, 5).init(jax.random.key(0), obs)
    assert params["params"]["a"]["Dense_0"]["kernel"].shape == (11 + 6 + 4, CELL_EMBEDDING)
    assert params["params"]["a"]["Dense_1"]["kernel"].shape == (4 * CELL_EMBEDDING, 5)
    out = np.asarray(Encoder(space, 5).apply(params, obs))
    assert out[5:9].tolist() == [0, 0, 1, 0] and out[9:17].tolist() == [0, 1, 0, 0, 0, 0, 0, 1]
    assert out[17:19].tolist() == [0.5, -7.0] and out[19] == 1 and len(out) == 19 + 48
    other = Encoder(space, 5).apply(params, obs | {"a": obs["a"].at[0, 0, 0].set(7)})
    assert np.any(out[:5] != other[:5]) and same(out[5:], other[5:])


# --- acting ------------------------------------------------------------------------------------------


def test_real_actions_fill_their_bounds():
    """[-1, 1] becomes the bounds, what lies beyond is cut; greedy acting is the mean; log_prob is of what was drawn."""
    spec = Spec(id="test/small", obs=Box((2,)), action=Box((2,), (-4.0, 0.0), (4.0, 1.0)), horizon=5)
    agent = PPO(hidden=(4,), greedy=True).bind(spec)
    state = agent.init(jax.random.key(0))
    np.testing.assert_allclose(agent.bounded(jnp.array([[0.5, 0.0], [-2.0, 2.0]])), [[2, 0.5], [-4, 1]])
    inputs = Inputs(jnp.array([0.3, -0.2]), jnp.zeros(2), jnp.zeros(()), jnp.zeros((), bool))
    act = jax.jit(jax.vmap(lambda b, key: agent.act(b, (), inputs, key), (None, 0)))
    keys = jax.random.split(jax.random.key(1), 2000)
    greedy, (action, _, extras) = act(agent.exploit(state), keys)[0], act(agent.explore(state, keys[0])[0], keys)
    action = np.asarray(action)
    assert np.all(greedy == greedy[0]) and np.all(action >= [-4, 0]) and np.all(action <= [4, 1])
    np.testing.assert_allclose(action, agent.bounded(extras.choice), rtol=1e-6)
    np.testing.assert_allclose(np.std(extras.choice, axis=0), [1, 1], rtol=0.05)
    error = extras.choice - (greedy[0] - np.array([0, 0.5])) / np.array([4, 0.5])
    np.testing.assert_allclose(extras.log_prob, np.sum(-0.5 * error**2, axis=1) - np.log(2 * np.pi), atol=1e-4)


def test_the_first_policy_is_almost_uniform():
    agent = PPO().bind(envs.make("probe/bandit").spec)
    state = agent.init(jax.random.key(0))
    _, logits, _ = agent.outputs(state.params, (), jnp.ones(1))
    assert np.ptp(jax.nn.softmax(logits)) < 0.02


# --- learning ----------------------------------------------------------------------------------------


@cache
def recurrent(id="probe/memory", **fields):
    """(agent, state, the third of three segments): by default episodes of three steps, segments of eight."""
    env = envs.make(id, **(fields or {"delay": 2}))
    agent = PPO(num_envs=4, length=8, minibatches=2, hidden=(8,), recurrent=6).bind(env.spec)
    state = agent.init(jax.random.key(0))
    return agent, state, played(agent, env, state, times=3)


def test_replayed_memories_are_those_of_acting():
    """Episodes end in mid-segment and go on across segments; the memory does so with them."""
    agent, state, segment = recurrent()
    first = np.asarray(segment.steps.inputs.first)
    assert first[1:].any() and not first[0].all() and np.abs(segment.memory).max() > 0.01
    rows = agent.rows(state, segment, segment.steps.reward)
    outputs, value = jax.jit(agent.evaluate)(state.params, segment.memory, rows)
    np.testing.assert_allclose(value, segment.steps.extras.value.T, atol=1e-6)
    np.testing.assert_allclose(Categorical(outputs).log_prob(rows.choice), segment.steps.extras.log_prob.T, atol=1e-6)
    _, wrong = agent.evaluate(state.params, segment.memory, rows.replace(first=jnp.zeros_like(rows.first)))
    assert np.abs(wrong - value).max() > 1e-4


@pytest.mark.parametrize("id", ["probe/memory", "probe/limit"])
def test_successor_values_remember(id):
    """As by the memory after each step, before an end empties it; one probe terminates, the other is truncated."""
    agent, state, segment = recurrent() if id == "probe/memory" else recurrent(id, horizon=3, terminates=False)
    steps = segment.steps
    kept = memories(agent, state.params, segment)
    wanted = jax.vmap(jax.vmap(agent.outputs, (None, 0, 0)), (None, 0, 0))(state.params, kept, steps.next_obs)[2]
    end = np.asarray(steps.terminated | steps.truncated)
    assert end[:-1].any() and np.all(steps.terminated == end if id == "probe/memory" else steps.truncated == end)
    found = jax.jit(agent.next_values)(state, segment)
    valued = ~np.asarray(steps.terminated)
    np.testing.assert_allclose(found[valued], wanted[valued], atol=1e-6)
    assert np.all(found[:-1][~valued[:-1]] == 0)  # nothing follows
    empty = jax.vmap(jax.vmap(lambda obs: agent.outputs(state.params, jnp.zeros(6), obs)[2]))(steps.next_obs)
    assert np.abs(empty - wanted).max() > 1e-4
    rows = agent.rows(state, segment, steps.reward)
    end = np.asarray(steps.terminated).T
    np.testing.assert_allclose(np.asarray(rows.advantage)[end], (steps.reward - steps.extras.value).T[end], atol=1e-6)


def test_ratios_begin_at_one():
    """Also with normalised observations, whose statistics move only after the passes."""
    env = envs.make("probe/target")
    agent = PPO(**SMALL, normalise_obs=True, normalise_rewards=True).bind(env.spec)
    learn, state = jax.jit(agent.learn), agent.init(jax.random.key(0))
    for i in range(3):
        segment = played(agent, env, state, key=i)
        rows = agent.rows(state, segment, segment.steps.reward)
        figures = agent.loss(state.params, (), rows)[1]
        assert figures["learn/clipped"] == 0 and abs(figures["learn/kl"]) < 1e-6
        before, (state, _) = state, learn(state, segment, jax.random.key(i))
        assert float(state.seen.count) == 128 * (i + 1) == int(state.steps)
    seen = np.asarray(segment.steps.inputs.obs)
    assert abs(float(state.seen.mean[0])) < 0.5 and float(before.seen.count) == 256 and seen.std() > 0.9


def test_advantages_of_a_batch_are_normalised_before_the_passes():
    agent, state, segment = recurrent()
    raw = agent.rows(state, segment, segment.steps.reward).advantage
    batch = replace(agent, normalise_advantage="batch").rows(state, segment, segment.steps.reward)
    np.testing.assert_allclose(batch.advantage, (raw - np.mean(raw)) / np.std(raw), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(batch.target, raw + segment.steps.extras.value.T, rtol=1e-5)


def test_the_rate_falls_and_the_weights_with_it():
    agent = PPO(**SMALL, anneal_steps=256).bind(Ring().spec)
    assert [float(agent.rate(jnp.int32(n))) for n in (0, 64, 256, 999)] == pytest.approx([3e-3, 2.25e-3, 0, 0])
    made = program(agent, Ring())
    run, _, figures = made.advance(made.init(), 0, 128, 1)
    assert figures["learn/rate"] == pytest.approx(3e-3)
    run, _, figures = made.advance(run, 0, 256, 1)
    assert figures["learn/rate"] == pytest.approx(1.5e-3)
    before = jax.device_get(run.agent.params)
    run, _, figures = made.advance(run, 0, 384, 1)
    assert figures["learn/rate"] == 0 and same(run.agent.params, before) and int(run.agent.steps) == 384


# --- probes ------------------------------------------------------------------------------------------


def test_bandit():
    assert evaluated(PPO(**SMALL), "probe/bandit", 4000) > 0.95


def test_target():
    assert evaluated(PPO(**SMALL, greedy=True), "probe/target", 8000) > -0.01


def test_values_of_one_step():
    """V(obs) = obs, whatever is done."""
    made, run, _ = trained(PPO(**SMALL), "probe/one_step", 8000)
    np.testing.assert_allclose(values(made.agent, run, [[1.0], [-1.0]]), [1, -1], atol=0.05)


def test_values_of_discounting():
    made, run, _ = trained(PPO(**SMALL, gamma=0.5), "probe/discounting", 8000)
    np.testing.assert_allclose(values(made.agent, run, [[0.0], [1.0]]), [0.5, 1], atol=0.05)


@pytest.mark.parametrize("terminates", [False, True])
def test_values_at_a_limit(terminates):
    """A time limit is bootstrapped, from an observation that is never acted on: 2 everywhere; an end is not."""
    made, run, _ = trained(PPO(**SMALL, gamma=0.5), "probe/limit", 16000, horizon=3, terminates=terminates)
    wanted = [1.75, 1.5, 1.0] if terminates else [2.0, 2.0, 2.0]
    np.testing.assert_allclose(values(made.agent, run, [[0.0], [1 / 3], [2 / 3]]), wanted, atol=0.15)


@pytest.mark.slow
def test_memory_needs_memory():
    assert evaluated(PPO(**SMALL, recurrent=16), "probe/memory", 16000, delay=3) > 0.95
    assert evaluated(PPO(**SMALL), "probe/memory", 16000, delay=3) < 0.8


@pytest.mark.slow
def test_seeds_as_one_program_learn_alike():
    made = program(PPO(**SMALL), envs.make("probe/bandit"), seeds=(0, 1))
    run, _, _ = made.advance(made.init(), 0, 4000, 10**6)
    assert np.min(made.evaluate(run, 0)["eval/return"]) > 0.95


# --- bad values --------------------------------------------------------------------------------------


def test_misfits_and_bad_values():
    for fields, said in (
        ({"minibatches": 7}, "must divide the 4096 rows"),
        ({"num_envs": 6, "minibatches": 4, "recurrent": 8}, "must divide the 6 rows .num_envs. "),
        ({"normalise_advantage": "sometimes"}, "normalise_advantage must be 'none', 'batch' or"),
        ({"activation": "sine"}, "activation must be 'tanh' or 'relu'"),
        ({"clip": 0.0}, "clip must be above 0"),
    ):
        with pytest.raises(ValueError, match=said):
            PPO(**fields)
    unbounded = Spec(id="test/free", obs=Box((1,)), action=Box((1,)), horizon=1)
    with pytest.raises(ValueError, match="bounded actions"):
        PPO().bind(unbounded)
    with pytest.raises(ValueError, match="real numbers as observation"):
        PPO(normalise_obs=True).bind(Ring().spec)
