"""Trees in the place of SMoSE's router: numbers by hand, the same choices in JAX and in scikit-learn, files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.online.smose import trees
from prospect_rl.agents.online.smose.policy import Law, route
from prospect_rl.agents.online.smose.trees import Routing, decide, fidelity, fit, from_json, to_json, to_text
from prospect_rl.agents.ops import decision_tree
from prospect_rl.agents.ops.decision_tree import DecisionTree

NAMES = ["x", "speed", "angle"]


def law(kernel: np.ndarray, bias: np.ndarray | None = None) -> Law:
    """A router [D, M] with experts that do nothing."""
    features, experts = kernel.shape
    zeros = jnp.zeros((experts, features, 1)), jnp.zeros((experts, 1))
    bias = np.zeros(experts) if bias is None else bias
    return Law(jnp.asarray(kernel, jnp.float32), jnp.asarray(bias, jnp.float32), *zeros)


@pytest.fixture
def learner():
    return pytest.importorskip("sklearn.tree")


def drawn(rows: int, seed: int, features: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, features)).astype(np.float32)


STUMP = DecisionTree(
    jnp.array([1, 0, 0]), jnp.array([0.5, 0.0, 0.0]), jnp.array([1, 1, 2]), jnp.array([2, 1, 2]),
    jnp.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]]), 1,
)  # fmt: skip
"""Left (no) where the second feature is at most .5, else right (yes, .75)."""


def stacked(*shares: float) -> Routing:
    """Yes/no trees of one leaf each, which say yes with these shares; the experts are 1, 2, ..."""
    one = [decision_tree.empty(1, 2).replace(value=jnp.array([[1 - p, p]] * 3)) for p in shares]
    experts = jnp.arange(1, len(shares) + 1)
    return Routing(jax.tree.map(lambda *x: jnp.stack(x), *one), jnp.ones((len(shares), 3)), experts, "each")


def test_a_tree_is_walked_to_its_leaf():
    at = [int(decision_tree.leaf(STUMP, jnp.array([9.0, x, 9.0]))) for x in (0.4, 0.5, 0.6)]
    assert at == [1, 1, 2], "the bound itself is on the left"
    deep = STUMP.replace(depth=5)
    assert int(decision_tree.leaf(deep, jnp.array([0.0, 1.0, 0.0]))) == 2, "a leaf is its own child"
    assert int(decision_tree.count(STUMP)) == 3 and int(decision_tree.count(decision_tree.empty(2, 1))) == 1


@pytest.mark.parametrize(
    ("shares", "expert", "said"),
    [
        ((0.1, 0.9, 0.2), 2, 1),  # one says yes
        ((0.6, 0.9, 0.8), 2, 3),  # several: the most certain
        ((0.1, 0.2, 0.4), 3, 0),  # none: the least certain no
        ((0.7, 0.7, 0.2), 1, 2),  # equal: the first in the router's order
        ((0.5, 0.5, 0.5), 1, 0),  # a half is no yes
    ],
)
def test_ties_are_by_share_then_by_the_routers_order(shares, expert, said):
    assert [int(x) for x in decide(stacked(*shares), jnp.zeros(3))] == [expert, said]


def test_a_router_of_one_feature_is_a_stump(learner):
    one = law(np.array([[0.0, 0.0], [1.0, -2.0], [0.0, 0.0]]), np.array([0.0, 0.9]))  # 1 acts where speed < .3
    seen, other = drawn(2000, 0), drawn(2000, 1)
    made = fit(one, seen, depth=1)
    found = fidelity(made, one, other)
    assert found.agreement > 0.999 and found.nodes == 6 and found.none == found.several == 0
    assert set(found.balanced) == {0, 1} and found.mean_balanced > 0.999
    said = to_text(made, NAMES)
    assert "expert 1: does it act?" in said and "speed" in said and "x <=" not in said
    bound = float(said.split("speed >= ")[1].split(":")[0]) if "speed >= " in said else None
    assert bound is not None and bound == pytest.approx(0.3, abs=0.01), "shown for the feature itself, weight -2"


def test_a_tree_decides_in_jax_as_in_scikit_learn(learner):
    kernel = drawn(3, 5, 4)
    one, seen = law(kernel), drawn(3000, 2)
    made = fit(one, seen, kind="one", depth=4)
    fitted = learner.DecisionTreeClassifier(max_depth=4, random_state=0).fit(seen, trees.choices(one, seen))
    tight = np.concatenate([seen, *(seen * 0 + t for t in fitted.tree_.threshold.astype(np.float32))])
    told = np.asarray(jax.vmap(lambda x: decide(made, x)[0])(jnp.asarray(tight)))
    assert (told == fitted.predict(tight)).all()


def test_agreement_and_balanced_accuracy_by_hand():
    one = law(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))  # expert 1 where speed > 0
    basis, experts = jnp.ones(3), jnp.array([0, 1])
    made = Routing(STUMP, basis, experts, "one")  # expert 1 where speed > .5
    seen = np.array([[0, s, 0] for s in (-1, -1, -1, 0.2, 0.7, 0.8, 0.9, 0.6)], np.float32)
    found = fidelity(made, one, seen)
    assert found.agreement == 7 / 8 and found.nodes == 3
    assert found.balanced == {0: (1 + 4 / 5) / 2, 1: (4 / 5 + 1) / 2}


def test_one_surviving_expert_and_constant_observations(learner):
    one = law(np.zeros((3, 4)), np.array([0.0, 3.0, 0.0, 0.0]))
    for seen in (drawn(50, 0), np.ones((50, 3), np.float32)):
        for kind in ("each", "one", "oblique"):
            made = fit(one, seen, kind=kind, depth=2)
            found = fidelity(made, one, seen)
            assert found.agreement == 1 and np.isnan(found.mean_balanced)
            assert [int(x) for x in made.experts] == [1]
            assert "expert 1" in to_text(made, NAMES)


def test_rare_experts_are_not_in_use():
    assert trees.in_use(np.repeat([0, 2, 3], [5, 995, 1000]), 5).tolist() == [2, 3]
    assert trees.in_use(np.array([4]), 5).tolist() == [4]


def test_an_oblique_tree_finds_a_slanted_border():
    one = law(np.array([[1.0, -1.0], [1.0, -1.0], [0.0, 0.0]]))  # expert 0 where x + speed > 0
    made = fit(one, 3 + 2 * drawn(1000, 3) - 3, kind="oblique", depth=1)
    found = fidelity(made, one, 2 * drawn(1000, 4))
    assert found.agreement > 0.97 and found.nodes == 3


@pytest.mark.parametrize("kind", ["each", "one", "oblique"])
def test_files_hold_the_same_trees(kind, learner):
    one, seen = law(drawn(3, 7, 4)), drawn(500, 6)
    made = fit(one, seen, kind=kind, depth=2)
    again = from_json(to_json(made))
    for x, y in zip(jax.tree.leaves(made), jax.tree.leaves(again), strict=True):
        assert x.dtype == y.dtype and (x == y).all()
    told, same = (jax.vmap(lambda x, r=r: decide(r, x)[0])(jnp.asarray(seen)) for r in (made, again))
    assert (told == same).all()
    with pytest.raises(ValueError, match="not the JSON of trees"):
        from_json("{}")


def test_bad_settings_are_one_line(learner):
    one = law(drawn(3, 7, 4))
    with pytest.raises(ValueError, match="depth of trees must be at least 1, not 0"):
        fit(one, drawn(5, 0), depth=0)
    with pytest.raises(ValueError, match="not finite"):
        fit(one, np.full((5, 3), np.nan, np.float32))


def test_the_routers_own_choice_is_what_trees_learn():
    one, seen = law(drawn(3, 7, 4)), drawn(20, 6)
    assert (trees.choices(one, seen) == [int(route(one, jnp.asarray(x))[0]) for x in seen]).all()
