"""HERO's judges and what is counted of them, HERO in control, and GRPO in tasks without texts."""

import math
import re
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents import GRPO, HERO, HeroPPO
from prospect_rl.agents.language import reward_model
from prospect_rl.agents.language.grpo_data import Starved, starved
from prospect_rl.experiments import train
from prospect_rl.experiments.cli import main as cli
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.driver import train_run
from tests.agents.test_grpo import TINY, iterations

README = Path(__file__).parents[2] / "envs" / "text" / "README.md"
GRID = {"prompts": 4, "group": 4, "hidden": (8,), "encoding": 8, "model_width": 8}


def test_when_most_groups_have_a_success():
    """Ten shares are needed; the first time is kept."""
    now, found = Starved(jnp.ones(10), jnp.int32(-1)), []
    for i, wrong in enumerate([1.0] * 4 + [0.0] * 8 + [1.0] * 8):
        now = starved(now, jnp.float32(wrong), jnp.int32(i))
        found.append(int(now.until))
    assert found == [-1] * 9 + [10] * 11  # after ten, four of them are 1

    soon = Starved(jnp.ones(10), jnp.int32(-1))
    for i in range(9):
        soon = starved(soon, jnp.float32(0), jnp.int32(i))
    assert soon.until == -1


def test_rates_of_verdicts_by_hand():
    truth = jnp.array([[1, 1, 1, 0, 0, 0]], bool)
    verdict = jnp.array([[1, 0, 0, 1, 0, 0]], bool)
    counts = reward_model.counts(truth, verdict)
    np.testing.assert_array_equal(counts, [[2, 1], [2, 1]])
    np.testing.assert_allclose(reward_model.rates(counts), [1 / 3, 1 / 2, 1 / 3], rtol=1e-6)
    assert math.isnan(reward_model.rates(jnp.zeros((2, 2)))[0])


def test_a_judge_is_compared_in_pairs():
    """Two members: the loss of one pair counted from both sides; equal worth is no win."""
    scores, worth = jnp.array([[2.0, 0.5]]), jnp.array([[1.0, 0.0]])
    expected = (np.log1p(np.exp(-1.5)) + np.log1p(np.exp(-1.5))) / 2
    assert float(reward_model.compared(scores, worth, jnp.int32(1))) == pytest.approx(expected, abs=1e-6)


def test_what_the_groups_weights_change_is_counted():
    """Nearly nothing where advantages are divided by their deviation; the largest and the mean of the learning."""
    for by_std in (False, True):
        agent = HERO(**TINY | {"layers": 1}, cold=0, model="oracle", norm_adv_by_std=by_std)
        found, _ = iterations(agent, envs.make("text/reverse", length=3), 4)
        each, last = [figures["groups/weight"] for _, figures in found], found[-1][1]
        assert last["groups/weight_most"] == pytest.approx(max(each))
        assert last["groups/weight_mean"] == pytest.approx(np.mean(each), rel=1e-5)
        assert (last["groups/weight_most"] < 1e-3) if by_std else (last["groups/weight_mean"] > 0.05)


@pytest.mark.parametrize("kind", [HERO, HeroPPO])
def test_hero_in_control(kind):
    """A reward model of episodes is fitted, then the policy alone learns; every figure is there and finite."""
    agent = kind(**GRID, fit=2, model_steps=2, minibatches=2, epochs=2)
    found, last = iterations(agent, envs.make("verified/DoorKey-5x5", levels=8, horizon=8), 4)
    states = [state for state, _ in found] + [last]

    def moved(part, i):
        return any(np.any(a != b) for a, b in zip(*(jax.tree.leaves(part(s)) for s in states[i : i + 2]), strict=True))

    assert [moved(lambda s: s.variant.params, i) for i in range(4)] == [True, True, False, False]
    assert [moved(lambda s: s.params, i) for i in range(4)] == [False, False, True, True]
    may_be_nan = {name for name in found[-1][1] if name.startswith(("verifier/", "rm/recall", "rm/pre", "rm/false"))}
    assert all(np.isfinite(x) for name, x in found[-1][1].items() if name not in may_be_nan)
    told = {"groups/wrong", "groups/right", "groups/advantage_none", "groups/advantage_some", "groups/advantage_all",
            "rm/auroc", "rm/rank", "rm/hacked", "rm/dropped"}  # fmt: skip
    assert told <= set(found[-1][1])


def test_hero_ppo_s_credit_by_hand():
    """With values of 0, gamma and lambda 1 all steps of an episode have its reward; standardised over all steps."""
    env = envs.make("text/reverse", length=2)
    agent = HeroPPO(**TINY, cold=0, fit=0, gamma=1.0, lam=1.0).bind(env.spec)
    state = agent.init(jax.random.key(0))  # values are 0 at first
    behaviour, _ = agent.explore(state, jax.random.key(1))
    data = envs.rollout.episodes(
        env, agent, behaviour, jnp.ones(16, bool), jax.random.key(2), jax.random.key(3), population=16, group=4,
        starts="fresh", shared=True, keep_steps=True,
    )  # fmt: skip
    reward = jnp.arange(16.0).reshape(4, 4)
    rows = agent.rows(state, data, reward)
    np.testing.assert_allclose(rows.target, np.broadcast_to(np.arange(16.0)[:, None], rows.target.shape), atol=1e-5)
    each, mine = np.asarray(rows.advantage), np.asarray(rows.mine) > 0
    assert each[mine].mean() == pytest.approx(0, abs=1e-5) and each[mine].std() == pytest.approx(1, abs=1e-3)
    assert np.all(np.diff(each[:, 0]) > 0)


def test_a_score_that_is_not_finite_is_counted_and_orders_nobody():
    env = envs.make("text/reverse", length=2)
    agent = HERO(**TINY, cold=0, model="oracle", weights=False).bind(env.spec)
    state = agent.init(jax.random.key(0))
    behaviour, _ = agent.explore(state, jax.random.key(1))
    data = envs.rollout.episodes(
        env, agent, behaviour, jnp.ones(16, bool), jax.random.key(2), jax.random.key(3), population=16, group=4,
        starts="fresh", shared=True, keep_steps=True,
    )  # fmt: skip
    progress = jnp.tile(jnp.array([0.1, 0.2, jnp.nan, 0.4]), 4)[:, None]
    info = data.info | {"progress": progress, "verified": jnp.zeros((16, 1), bool)}
    reward, _, figures = agent.rewards(state, replace(data, info=info), jax.random.key(0))
    np.testing.assert_allclose(reward[0], [-0.05, -0.05 + 0.1 / 3, -0.05, 0.05], atol=1e-4)
    assert figures["rm/dropped"] == 4 and np.all(np.isfinite(reward))


def test_a_task_of_one_s_own_trains():
    """The README's task, as it is written there."""
    code = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)[0]
    assert len(code.strip().splitlines()) <= 30
    space = {"__name__": "readme"}
    exec(code, space)
    result = train(GRPO(**TINY, cold=6, learning_rate=1e-2), space["Parity"](), budget=16 * 8, evals=2, eval_episodes=8)
    assert result.rows[-1]["unseen/length"] == 15 and np.isfinite(result.rows[-1]["learn/loss_policy"])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("hero text/sort --alpha .6 --beta .5", "alpha + beta must be below 1"),
        ("grpo text/sort --group 1", "group"),
        ("grpo text/sort --minibatches 5", "minibatches must divide the 256 episodes"),
        ("grpo text/sort --heads 3", "heads must divide width 128"),
        ("grpo text/sort --context 8", "a text has 18 tokens, but context is 8"),
        ("hero point/sparse", "it needs a task with a verifier"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(capsys, monkeypatch, words, line):
    monkeypatch.setattr(jax, "jit", None)  # nothing is compiled
    assert cli.main(["run", *words.split(), "--budget", "1000"]) == 2
    said = capsys.readouterr().err
    assert line in said and len(said.strip().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("id", "fields", "least"),
    [("probe/bandit", {}, 0.9), ("probe/target", {}, -0.2), ("probe/memory", {"recurrent": 16}, 0.8)],
)
def test_grpo_learns_where_there_are_no_texts(id, fields, least, tmp_path):
    agent = GRPO(prompts=8, group=8, hidden=(16,), learning_rate=1e-2, **fields)
    rows = train_run(Run(agent, id, budget=64 * 150, evals=3, eval_episodes=64), out=tmp_path / "run").rows
    assert rows[-1]["eval/return"] > least


def test_seeds_of_the_arms_meet_the_same_levels():
    """What an arm learns from does not change where its episodes start."""
    env = envs.make("verified/DoorKey-5x5", levels=32, horizon=4)
    firsts = []
    for reward in ("verifier", "return"):
        agent = agents.HERO(**GRID, reward=reward, minibatches=1).bind(env.spec)
        behaviour, _ = agent.explore(agent.init(jax.random.key(0)), jax.random.key(1))
        data = jax.jit(
            lambda key, agent=agent, behaviour=behaviour: envs.rollout.episodes(
                env, agent, behaviour, jnp.ones(16, bool), key, jax.random.key(3), population=16, group=4,
                starts="fresh", shared=True, keep_steps=True,
            )
        )(jax.random.key(2))  # fmt: skip
        firsts.append(np.asarray(data.steps.inputs.obs["image"][0]))
    np.testing.assert_array_equal(*firsts)
