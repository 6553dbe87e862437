"""PPO on whole texts: credit by hand, the divergence from the start, and what is learned."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents import TextPPO
from prospect_rl.agents.language.ppo_text import adapted, last_of
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.driver import train_run
from tests.agents.texts import TEXT, TINY, iterations, played


def test_the_last_own_step():
    mine = jnp.array([[0, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 1, 0, 0, 0]], bool)
    np.testing.assert_array_equal(last_of(mine), [[0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 1, 0, 0, 0]])


def test_credit_by_hand():
    """Values are 0 at first: an own step has lam ** (steps to the last own one) of the return, other steps nothing."""
    agent = TextPPO(**TINY, cold=0, kl=0, lam=0.9).bind(TEXT.spec)
    state, data = played(agent)
    returns = jnp.arange(8.0)[:, None]
    data = replace(data, returns=returns)
    rewards, _, _ = agent.rewards(state, data, jax.random.key(4))
    rows = agent.rows(state, data, rewards)
    mine = np.asarray(agent.own(data))
    assert not mine[:, :4].any() and mine[:, 4].all()  # three digits and the mark come first
    for b in range(8):
        own = np.flatnonzero(mine[b])
        np.testing.assert_allclose(rows.target[b, own], b * 0.9 ** (own[-1] - own), rtol=1e-5)
    credit = np.asarray(rows.advantage)[mine]
    assert credit.mean() == pytest.approx(0, abs=1e-5) and credit.std() == pytest.approx(1, abs=1e-4)


def test_rewards_of_the_problem_s_tokens_change_nothing():
    agent = TextPPO(**TINY, cold=0, kl=0).bind(TEXT.spec)
    state, data = played(agent)
    rewards = jax.random.normal(jax.random.key(5), agent.own(data).shape)
    found, other = (agent.rows(state, data, x) for x in (rewards, rewards.at[:, :4].add(7.0)))
    np.testing.assert_array_equal(found.advantage[:, 4:], other.advantage[:, 4:])


def test_the_weight_of_the_divergence_by_hand():
    """Twice the target is cut to a fifth: .2 (1 + .2 * 64 / 10000); a tenth above it is not."""
    weight = jnp.float32(0.2)
    assert adapted(weight, jnp.float32(12), 64, target=6, horizon=10_000) == pytest.approx(0.2 * 1.00128, rel=1e-6)
    assert adapted(weight, jnp.float32(6.6), 100, target=6, horizon=1000) == pytest.approx(0.2 * 1.01, rel=1e-6)
    assert adapted(weight, jnp.float32(0), 100, target=6, horizon=1000) == pytest.approx(0.2 * 0.98, rel=1e-6)


def test_the_start_is_the_policy_after_the_cold_start():
    found, state = iterations(TextPPO(**TINY, cold=2, learning_rate=1e-2), TEXT, 5)
    away = [figures["start/away"] for _, figures in found]
    assert away[:3] == pytest.approx([0, 0, 0], abs=1e-4)  # the first iteration of learning plays the start itself
    assert all(abs(x) > 1e-4 for x in away[3:])
    weights = [figures["start/weight"] for _, figures in found]
    assert weights[:3] == pytest.approx([0.2] * 3) and weights[3] == pytest.approx(0.2 * (1 - 0.2 * 8 / 10_000))
    before, after = found[2][0], found[4][0]
    jax.tree.map(np.testing.assert_array_equal, before.cold, after.cold)
    jax.tree.map(np.testing.assert_array_equal, before.cold, before.params)


def test_values_are_clipped():
    agent = TextPPO(**TINY, value_weight=1.0, clip_value=0.2).bind(TEXT.spec)
    state, data = played(agent)
    rows = agent.rows(state, data, agent.rewards(state, data, jax.random.key(0))[0])
    shape = rows.mine.shape
    rows = replace(rows, value=jnp.zeros(shape), target=jnp.ones(shape))
    assert agent.loss_of_values(jnp.full(shape, 0.5), rows) == pytest.approx(0.64)  # as if the value were .2
    assert agent.loss_of_values(jnp.full(shape, -0.5), rows) == pytest.approx(2.25)


def test_bad_fields_are_one_line():
    with pytest.raises(ValueError, match="norm_adv_by_std must be False"):
        TextPPO(norm_adv_by_std=True)


@pytest.mark.slow
def test_it_learns_to_reverse(tmp_path):
    """From a cold start after which about half of the answers are right."""
    fields = TINY | {"prompts": 64, "width": 32, "ffn": 64}
    agent = TextPPO(**fields, cold=40, learning_rate=1e-3, kl=0.02)
    run = Run(agent, "text/reverse", (("length", 2),), budget=64 * 240, evals=6, eval_episodes=128)
    found = [row["eval/success"] for row in train_run(run, out=tmp_path / "run").rows]
    assert found[0] < 0.7 and found[-1] > 0.8


def test_it_learns_outside_texts_too():
    found, _ = iterations(TextPPO(**TINY, hidden=(8,)), envs.make("probe/memory"), 2)
    assert all(np.isfinite(list(figures.values())).all() for _, figures in found)
