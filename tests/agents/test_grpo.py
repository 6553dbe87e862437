"""GRPO and HERO: what acting stores is what learning finds, groups, phases, and bad input."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents import GRPO, HERO
from prospect_rl.envs.rollout import first_inputs
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.driver import train_run
from tests.agents.texts import TEXT, iterations

TINY = {"prompts": 4, "group": 4, "layers": 2, "width": 16, "heads": 2, "kv_heads": 1, "ffn": 16}


@pytest.mark.parametrize(
    ("id", "fields"), [("text/reverse", {}), ("probe/memory", {"recurrent": 8}), ("probe/target", {})]
)
def test_what_acting_stores_is_what_learning_finds(id, fields):
    """With one minibatch the ratio of new to old probabilities is 1 for each step."""
    agent = GRPO(**TINY, cold=0, minibatches=1, hidden=(8,), **fields)
    found, _ = iterations(agent, envs.make(id), 2)
    for _, figures in found:
        assert abs(figures["learn/kl"]) < 1e-6 and figures["learn/clipped"] == 0


def test_the_cache_is_the_memory_and_in_no_extras():
    agent = GRPO(**TINY).bind(TEXT.spec)
    behaviour = agent.exploit(agent.init(jax.random.key(0)))
    memory = agent.memory(behaviour, jax.random.key(1))
    layers, context, heads, size = 2, TEXT.spec.horizon, 1, 8
    assert [x.shape for x in jax.tree.leaves(memory.window)] == 2 * [(layers, context, heads, size)]
    _, obs = TEXT.reset(jax.random.key(2))
    _, after, extras = agent.act(behaviour, memory, first_inputs(TEXT.spec, obs), jax.random.key(3))
    assert after.count == 1 and all(x.shape == () for x in jax.tree.leaves(extras))


def test_equal_rewards_teach_nothing():
    """No answer of a group is right: its advantages are 0, and so is the gradient."""
    agent = GRPO(**TINY, cold=0)
    (first, *_), after = iterations(agent, envs.make("text/sort"), 1)
    assert first[1]["groups/wrong"] == 1 and first[1]["groups/advantage"] == 0
    np.testing.assert_array_equal(
        *(jax.tree.leaves(x.params)[0] for x in (first[0], after))
    )  # Adam moves nothing without a gradient


def test_the_cold_start_imitates_and_then_ends():
    found, state = iterations(GRPO(**TINY, cold=3, learning_rate=1e-2), TEXT, 5)
    losses = [figures["learn/loss_policy"] for _, figures in found]
    assert losses[2] < losses[0] and losses[0] == pytest.approx(np.log(12), abs=0.5)
    assert state.updates == 5 and abs(losses[3]) < 0.5


def test_a_group_s_texts_are_the_same_beside_other_groups():
    said = []
    for prompts in (1, 4):
        agent = GRPO(**TINY | {"prompts": prompts}, cold=0).bind(TEXT.spec)
        state = agent.init(jax.random.key(0))
        behaviour, _ = agent.explore(state, jax.random.key(1))
        data = envs.rollout.episodes(
            TEXT, agent, behaviour, jnp.ones(4 * prompts, bool), jax.random.key(2), jax.random.key(3),
            population=4 * prompts, group=4, starts="fresh", shared=True, keep_steps=True,
        )  # fmt: skip
        said.append(np.asarray(data.steps.next_obs[:, :4, 0]))
    np.testing.assert_array_equal(*said)
    assert len({tuple(text) for text in said[0][:4].T}) == 1  # the members of a group have the same problem


def test_hero_s_phases():
    """Cold start, then the reward model alone is learned, then the policy alone."""
    agent = HERO(**TINY, cold=2, fit=2, model_width=8, model_layers=1)
    found, last = iterations(agent, TEXT, 6)
    states = [state for state, _ in found] + [last]

    def moved(part, i):
        return any(np.any(a != b) for a, b in zip(*(jax.tree.leaves(part(s)) for s in states[i : i + 2]), strict=True))

    assert [moved(lambda s: s.variant.params, i) for i in range(6)] == [False, False, True, True, False, False]
    assert [moved(lambda s: s.params, i) for i in range(6)][:4] == [True, True, False, False]
    assert moved(lambda s: s.params, 4)  # no answer is right, and yet there is something to learn


@pytest.mark.parametrize("reward", ["hero", "verifier", "rm", "mix", "gated"])
def test_rewards_of_each_kind(reward):
    agent = HERO(**TINY, cold=0, reward=reward, model="oracle", weights=False).bind(TEXT.spec)
    state = agent.init(jax.random.key(0))
    behaviour, _ = agent.explore(state, jax.random.key(1))
    data = envs.rollout.episodes(
        TEXT, agent, behaviour, jnp.ones(16, bool), jax.random.key(2), jax.random.key(3), population=16, group=4,
        starts="fresh", shared=True, keep_steps=True,
    )  # fmt: skip
    right = jnp.zeros((4, 4), bool).at[0].set(True).at[1, 2].set(True)  # all, one, none, none
    progress = jnp.where(right, 1.0, jnp.linspace(0, 0.75, 4))
    info = data.info | {"verified": right.reshape(-1, 1), "progress": progress.reshape(-1, 1)}
    found, judge, figures = agent.rewards(state, replace(data, info=info), jax.random.key(4))
    first = {"hero": 0.95, "verifier": 1, "rm": 1, "mix": 0.5, "gated": 0}[reward]
    np.testing.assert_allclose(found[0], first, atol=1e-5)
    others = {
        "hero": [-0.05, -0.05 + 0.1 / 3, 0.95, 0.05], "verifier": [0, 0, 1, 0], "rm": [0, 0.25, 1, 0.75],
        "mix": [0, 0.125, 1, 0.375], "gated": [0, 0, 1, 0],
    }[reward]  # fmt: skip
    np.testing.assert_allclose(found[1], others, atol=1e-4)
    alone = {"verifier": np.zeros(4), "rm": progress[2], "hero": np.linspace(-0.05, 0.05, 4)}
    expected = alone.get(reward, np.linspace(0, 0.5 if reward == "mix" else 1, 4))
    np.testing.assert_allclose(found[2], expected, atol=1e-5)
    assert figures["groups/verified_wrong"] == 0.5 and judge.spread > 0


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"alpha": 0.6, "beta": 0.4}, r"alpha \+ beta must be below 1"),
        ({"group": 1}, "group"),
        ({"minibatches": 3}, "minibatches must divide the 16 episodes"),
        ({"heads": 3}, "heads must divide width 16"),
        ({"heads": 4, "kv_heads": 3}, "kv_heads must divide the 4 heads"),
        ({"least": 4.0}, "least must not be above most"),
    ],
)
def test_bad_fields_are_one_line(fields, line):
    with pytest.raises(ValueError, match=line):
        HERO(**TINY | fields)


def test_where_they_do_not_fit():
    with pytest.raises(ValueError, match="a text has 10 tokens, but context is 8"):
        GRPO(**TINY, context=8).bind(envs.make("text/sum").spec)
    with pytest.raises(ValueError, match="it needs a task with a verifier"):
        HERO(**TINY).bind(envs.make("minigrid/Empty-5x5-v0").spec)


@pytest.mark.slow
def test_grpo_learns_to_reverse(tmp_path):
    agent = GRPO(**TINY | {"prompts": 16, "width": 32, "ffn": 64}, cold=60, learning_rate=3e-3)
    run = Run(agent, "text/reverse", (("length", 2),), budget=64 * 200, evals=4, eval_episodes=128)
    rows = train_run(run, out=tmp_path / "run").rows
    assert rows[-1]["eval/success"] > 0.9 and rows[-1]["unseen/success"] > 0.9


@pytest.mark.slow
def test_a_recurrent_ppo_learns_to_reverse(tmp_path):
    """One answer in 1728 is right by chance: a batch has many whole texts, and advantages have the scale of all of it.

    A minibatch without a right answer would make the value's errors as large as a success, and the policy drift.
    """
    agent = agents.make(
        "ppo", recurrent=64, num_envs=512, length=6, minibatches=4, normalise_advantage="batch", learning_rate=3e-3,
        gamma=1.0, entropy=0.005, greedy=True,
    )  # fmt: skip
    run = Run(agent, "text/reverse", (("length", 2),), budget=1_200_000, evals=4, eval_episodes=256)
    assert train_run(run, out=tmp_path / "run").rows[-1]["eval/success"] > 0.9
