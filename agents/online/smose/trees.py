"""Decision trees that say when each expert of SMoSE acts: fitted to the router's choices, and put in its place.

    each      for every expert in use a tree that says yes or no, on its router weights times the features (W_dm s_d)
    one       one tree whose leaves name the expert, on the features
    oblique   the same with tests w . s <= t, sought by CMA-ES

Of the trees that say yes, the one with the largest share of yes in its leaf chooses, and among equal shares the first
in the router's order; where none says yes, the same holds of all. `decide` counts both. A tree-routed policy is the law
as it is printed: the gate's probability belongs to the router that the trees replace.

scikit-learn (extra `explain`) is imported where trees are fitted, and not for `oblique`. Depth-3 trees on weighted
features are the poster's, which states no learner, data or weights of classes. Here: CART with unweighted classes.

Shapes: B observations, D features, M experts, K experts in use, N nodes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.agents.api import Array, Tree
from prospect_rl.agents.online.smose.oblique import seek
from prospect_rl.agents.online.smose.policy import Law, route
from prospect_rl.agents.ops import decision_tree as trees
from prospect_rl.agents.ops.decision_tree import DecisionTree

Kind = Literal["each", "one", "oblique"]
PARTS = {"feature": np.int32, "threshold": np.float32, "left": np.int32, "right": np.int32, "value": np.float32}
"""The arrays of a `DecisionTree`."""
IN_USE = 0.01
"""Share of the steps from which an expert counts as in use."""


@struct.dataclass
class Routing:
    """Trees in the place of the router."""

    trees: DecisionTree
    """The trees, leading [K] for `each`; a leaf holds the shares of no and yes [2], or of the experts in use [K]."""
    basis: Array
    """Factors of the features: router weights [K, D] for `each`, ones [D] for `one`; tests [N, D] for `oblique`."""
    experts: Array
    """[K] int32 the experts in use, in the router's order."""
    kind: Kind = struct.field(pytree_node=False)
    """Which of the three it is."""


def decide(routing: Routing, obs: Array) -> tuple[Array, Array]:
    """(the expert that the trees choose, int32 []; number of trees that say yes, int32 []) for ONE observation [D]."""
    if routing.kind == "each":
        share = jax.vmap(trees.predict)(routing.trees, routing.basis * obs)[:, 1]
        said = jnp.sum(share > 0.5)
    else:
        seen = routing.basis * obs if routing.kind == "one" else jnp.matmul(routing.basis, obs, precision="highest")
        share, said = trees.predict(routing.trees, seen), jnp.int32(1)
    return routing.experts[jnp.argmax(share)], said.astype(jnp.int32)


def in_use(chosen: np.ndarray, experts: int) -> np.ndarray:
    """The experts [K] with a share of the choices [B] of at least `IN_USE`; the most chosen one in any case."""
    share = np.bincount(chosen, minlength=experts) / len(chosen)
    return np.flatnonzero(share >= min(IN_USE, share.max()))


def fit(law: Law, obs: np.ndarray, *, kind: Kind = "each", depth: int = 3, seed: int = 0) -> Routing:
    """Fit trees of this depth to the router's choices at observations [B, D].

    Raises ValueError, in one line, without scikit-learn, for a depth below 1, or observations that are not finite.
    """
    if depth < 1:
        raise ValueError(f"the depth of trees must be at least 1, not {depth}")
    if not np.isfinite(obs).all():
        raise ValueError("trees cannot be fitted to observations that are not finite")
    weights = np.asarray(law.router_kernel, np.float32)
    obs, chosen = np.asarray(obs, np.float32), choices(law, obs)
    used = in_use(chosen, weights.shape[1])
    experts = used.astype(np.int32)
    rows = np.isin(chosen, used)
    if kind == "each":
        fitted = [_grown(weights[:, m] * obs, chosen == m, np.array([False, True]), depth) for m in used]
        grown, basis = tuple(map(np.stack, zip(*fitted, strict=True))), weights[:, used].T
    elif kind == "one":
        grown, basis = _grown(obs[rows], chosen[rows], used, depth), np.ones(obs.shape[1], np.float32)
    else:
        grown, basis = seek(obs[rows], np.searchsorted(used, chosen[rows]), len(used), depth, seed)
    return assembled(grown, depth, basis, experts, kind)


def assembled(arrays: Sequence[np.ndarray], depth: int, basis: np.ndarray, experts: np.ndarray, kind: Kind) -> Routing:
    """Routing by trees that are given as the arrays of a `DecisionTree`."""
    feature, threshold, left, right, value = map(jnp.asarray, arrays)
    tree = DecisionTree(feature, threshold, left, right, value, depth)
    return Routing(tree, jnp.asarray(basis), jnp.asarray(experts), kind)


def choices(law: Law, obs: np.ndarray) -> np.ndarray:
    """The router's experts [B] at observations [B, D]."""
    return np.asarray(_routed(law, jnp.asarray(obs, jnp.float32))[0])


_routed, _decided = (jax.jit(jax.vmap(way, (None, 0))) for way in (route, decide))
"""Both for observations [B, D]; compiled once for a size."""


def _grown(seen: np.ndarray, labels: np.ndarray, classes: np.ndarray, depth: int) -> tuple[np.ndarray, ...]:
    """The arrays of a tree by scikit-learn; the values of its nodes are the shares of all `classes`."""
    fitted = trees.learner().DecisionTreeClassifier(max_depth=depth, random_state=0).fit(seen, labels)
    value = np.zeros((fitted.tree_.node_count, len(classes)))
    value[:, np.searchsorted(classes, fitted.classes_)] = fitted.tree_.value[:, 0]
    return trees.arrays_of(fitted.tree_, value, depth)


# --- how well they stand for the router ----------------------------------------------------------------


@dataclass(frozen=True)
class Fidelity:
    """How trees agree with the router on observations."""

    agreement: float
    """Share of the observations at which both choose the same expert."""
    balanced: dict[int, float]
    """Expert -> mean of the trees' recall of it and of all others; NaN where the router always or never chooses it."""
    none: float
    """Share of the observations at which no tree says yes."""
    several: float
    """Share of the observations at which more than one tree says yes."""
    nodes: int
    """Number of nodes of all trees."""

    @property
    def mean_balanced(self) -> float:
        """Mean of `balanced` over the experts that have one; NaN if none has."""
        known = [x for x in self.balanced.values() if np.isfinite(x)]
        return float(np.mean(known)) if known else float("nan")


def fidelity(routing: Routing, law: Law, obs: np.ndarray) -> Fidelity:
    """Compare trees with the router at observations [B, D], which should be of other episodes than the fit's."""
    told, said = map(np.asarray, _decided(routing, jnp.asarray(obs, jnp.float32)))
    chosen = choices(law, obs)
    balanced = {}
    for m in map(int, np.asarray(routing.experts)):
        mine = chosen == m
        known = mine.any() and not mine.all()
        balanced[m] = float((np.mean(told[mine] == m) + np.mean(told[~mine] != m)) / 2) if known else float("nan")
    return Fidelity(
        float(np.mean(told == chosen)), balanced, float(np.mean(said == 0)), float(np.mean(said > 1)),
        sum(int(trees.count(tree)) for _, tree in each_tree(routing)),
    )  # fmt: skip


# --- as files -------------------------------------------------------------------------------------------


def each_tree(routing: Routing) -> list[tuple[int | None, DecisionTree]]:
    """(expert, its tree) for `each`; else (None, the tree)."""
    if routing.kind != "each":
        return [(None, routing.trees)]
    several = (jax.tree.map(lambda x, k=k: x[k], routing.trees) for k in range(len(routing.experts)))
    return list(zip(map(int, np.asarray(routing.experts)), several, strict=True))


def to_json(routing: Routing) -> str:
    """The trees as JSON; `from_json` gives the same arrays."""
    facts = {"kind": routing.kind, "depth": routing.trees.depth, "experts": _list(routing.experts)}
    parts = {name: _list(getattr(routing.trees, name)) for name in PARTS}
    return json.dumps(facts | {"basis": _list(routing.basis), "trees": parts}, allow_nan=False)


def from_json(text: str) -> Routing:
    """The trees of `to_json`. Raises ValueError, in one line, for another text."""
    try:
        facts = json.loads(text)
        arrays = [np.asarray(facts["trees"][name], kind) for name, kind in PARTS.items()]
        basis, experts = np.asarray(facts["basis"], np.float32), np.asarray(facts["experts"], np.int32)
        return assembled(arrays, facts["depth"], basis, experts, facts["kind"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("this is not the JSON of trees") from None


def _list(x: Tree) -> list[Any]:
    return np.asarray(x).tolist()


def to_text(routing: Routing, names: list[str]) -> str:
    """The trees as text; names [D] of the features. A test on a weighted feature is shown for the feature itself."""
    parts = []
    for k, (expert, tree) in enumerate(each_tree(routing)):
        head = f"expert {expert}: does it act?" if expert is not None else "which expert acts?"
        basis = routing.basis[k] if routing.kind == "each" else routing.basis
        parts.append("\n".join([head, *_lines(routing, tree, np.asarray(basis), names, 0, "  ")]))
    return "\n\n".join(parts) + "\n"


def _lines(
    routing: Routing, tree: DecisionTree, basis: np.ndarray, names: list[str], node: int, indent: str
) -> list[str]:
    left, right = int(tree.left[node]), int(tree.right[node])
    if left == node:
        return [f"{indent}{answer(routing, tree, node)}"]
    test = test_of(routing, tree, basis, names, node)
    below = (_lines(routing, tree, basis, names, child, f"{indent}  ") for child in (left, right))
    return [f"{indent}if {test}:", *next(below), f"{indent}else:", *next(below)]


def answer(routing: Routing, tree: DecisionTree, node: int) -> str:
    """What a leaf says: yes or no, or an expert, with the share of the fit's steps that agree."""
    value = np.asarray(tree.value[node])
    best = int(np.argmax(value))
    if routing.kind == "each":
        yes = value[1] > 0.5
        return f"{'yes' if yes else 'no'} ({100 * value[int(yes)]:.0f} %)"
    return f"expert {int(routing.experts[best])} ({100 * value[best]:.0f} %)"


def test_of(routing: Routing, tree: DecisionTree, basis: np.ndarray, names: list[str], node: int) -> str:
    """The test of a node in words; it goes left where that holds."""
    feature, bound = int(tree.feature[node]), float(tree.threshold[node])
    if routing.kind == "oblique":
        weights = basis[feature]
        largest = np.argsort(-np.abs(weights), kind="stable")[:4]
        terms = " ".join(f"{'+' if weights[i] >= 0 else '-'} {abs(weights[i]):.3g} {names[i]}" for i in largest)
        return f"{terms.removeprefix('+ ')}{' ...' if len(weights) > 4 else ''} <= {bound:.4g}"
    scale = float(basis[feature])
    return f"{names[feature]} {'<=' if scale > 0 else '>='} {bound / scale:.5g}"
