"""The tree that imitates SAC: its rounds by hand, and its arrays against scikit-learn's."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents.api import Inputs, cost
from prospect_rl.agents.ops import decision_tree

learner = pytest.importorskip("sklearn.tree")
ENV = envs.make("point/sparse")
AGENT = agents.TreeDagger(
    hidden=(4,), capacity=50, batch_size=4, teacher_steps=10, round_steps=5, samples=12, depth=2, learning_starts=5
).bind(ENV.spec)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def state():
    return jax.jit(AGENT.init)(KEY)


def segment(obs: np.ndarray, reward: float = 0.0, ended: int = 0):
    """Steps [T, 1] as far as a round looks at them."""
    steps = len(obs)
    over = (jnp.arange(steps) < ended)[:, None]
    seen = jnp.asarray(obs, jnp.float32)[:, None]
    return SimpleNamespace(steps=SimpleNamespace(
        inputs=SimpleNamespace(obs=seen), reward=jnp.full((steps, 1), reward), terminated=over,
        truncated=jnp.zeros((steps, 1), bool),
    ))  # fmt: skip


def drawn(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, 2)).astype(np.float32)


def test_the_budget_counts_teacher_and_tree():
    assert [cost(want) for want in AGENT.wants] == [1, 5] and AGENT.least_budget == 15
    assert agents.TreeDagger(train_every=4, teacher_steps=10).least_budget == 12 + 1000


def test_phases_follow_the_teachers_steps(state):
    assert int(AGENT.phase(state)) == 0
    teacher = state.teacher.replace(steps=jnp.int32(10))
    assert int(AGENT.phase(state.replace(teacher=teacher))) == 1


def test_the_teacher_plays_the_first_round_and_the_tree_the_others(state):
    assert not AGENT.explore(state, KEY, 1)[0].by_tree
    assert AGENT.explore(state.replace(rounds=jnp.int32(1)), KEY, 1)[0].by_tree
    assert not AGENT.explore(state.replace(rounds=jnp.int32(1)), KEY, 0)[0].by_tree
    first = AGENT.explore(state, KEY, 1)[0].teacher
    assert float(first.noise) == 0 and not first.random, "a round's teacher is greedy"


def test_rounds_label_fit_and_keep_the_best(state):
    learn = jax.jit(lambda state, *played: AGENT.learn(state, segment(*played), KEY, 1))
    rounds = [drawn(5, seed) for seed in range(4)]
    # rewards of an episode: the teacher's round, then 5 * 1 / 1, 5 * 3 / (2 + 1), 5 * 2 / (4 + 1)
    played = [(9.0, 0), (1.0, 0), (3.0, 2), (2.0, 4)]
    made = []
    for obs, (reward, ended) in zip(rounds, played, strict=True):
        state, figures = learn(state, obs, reward, ended)
        made.append(state.tree)
        assert figures["learn/tree_nodes"] == decision_tree.count(state.tree) and np.isfinite(
            figures["learn/loss_tree"]
        )
    assert int(state.rounds) == 4 and int(state.kept) == 20 and float(state.score) == 5.0
    for x, y in zip(jax.tree.leaves(state.best), jax.tree.leaves(made[0]), strict=True):
        assert (x == y).all(), "the first tree was paid 5, as was the second: the earlier one stays"
    kept = np.concatenate(rounds)[-12:]
    order = np.arange(8, 20) % 12
    assert (np.asarray(state.obs)[order] == kept).all(), "the newest 12 rows"
    assert np.allclose(np.asarray(state.action)[order], AGENT.taught(state, jnp.asarray(kept)), atol=1e-6)
    assert (np.asarray(state.weight) > 0).all()

    grown = learner.DecisionTreeRegressor(max_depth=2, random_state=0)
    grown.fit(np.asarray(state.obs), np.asarray(state.action), sample_weight=np.asarray(state.weight))
    seen = drawn(200, 9)
    told = jax.vmap(lambda x: decision_tree.predict(state.tree, x))(jnp.asarray(seen))
    assert np.allclose(told, grown.predict(seen), atol=1e-6)


def test_what_ships_is_the_tree_alone(state):
    tree = decision_tree.empty(2, 2)
    tree = tree.replace(value=tree.value.at[0].set(jnp.array([0.5, -3.0])))
    shipped = AGENT.exploit(state.replace(best=tree))
    assert shipped.teacher is None
    inputs = Inputs(obs=jnp.zeros(2), action=jnp.zeros(2), reward=jnp.zeros(()), first=jnp.ones((), bool))
    action, _, chosen = AGENT.act(shipped, (), inputs, KEY)
    assert action.tolist() == chosen.tolist() == [0.5, -1.0]
    with pytest.raises(ValueError, match="cannot be written in NumPy: it is a decision tree"):
        AGENT.to_numpy(shipped)


def test_a_round_that_does_not_fit_is_one_line():
    with pytest.raises(ValueError, match="samples 12 is less than the 20 steps"):
        agents.TreeDagger(samples=12, round_steps=20)


def test_without_scikit_learn_it_is_one_line(state, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(ValueError, match=r"pip install 'prospect-rl\[explain\]'"):
        AGENT.learn(state, None, KEY, 0)
