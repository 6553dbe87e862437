"""Binary decision trees as arrays: what scikit-learn fits, walked in JAX.

A node n with children tests x[feature[n]] <= threshold[n] and goes left where that holds. A leaf is its own child, so
that walking on stays there, and a tree may be padded with leaves that nothing leads to.

Shapes: N nodes, F features, V numbers in a node.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array


@struct.dataclass
class DecisionTree:
    """A tree; node 0 is its root."""

    feature: Array
    """[N] int32 feature that a node tests; 0 at a leaf."""
    threshold: Array
    """[N] float32 bound of the test; 0 at a leaf."""
    left: Array
    """[N] int32 child where the test holds."""
    right: Array
    """[N] int32 child where it does not."""
    value: Array
    """[N, V] what a node predicts."""
    depth: int = struct.field(pytree_node=False)
    """The most tests on the way to a leaf."""


def nodes_of(depth: int) -> int:
    """The most nodes that a tree of this depth has."""
    return 2 ** (depth + 1) - 1


def leaf(tree: DecisionTree, x: Array) -> Array:
    """The leaf [] int32 that ONE vector of features [F] arrives at."""

    def down(_: Array, node: Array) -> Array:
        return jnp.where(x[tree.feature[node]] <= tree.threshold[node], tree.left[node], tree.right[node])

    return jax.lax.fori_loop(0, tree.depth, down, jnp.int32(0))


def predict(tree: DecisionTree, x: Array) -> Array:
    """The value [V] of the leaf that ONE vector of features [F] arrives at."""
    return tree.value[leaf(tree, x)]


def empty(depth: int, values: int) -> DecisionTree:
    """A tree that predicts zeros [V], with room for one of this depth."""
    n = nodes_of(depth)
    own = jnp.arange(n, dtype=jnp.int32)
    return DecisionTree(jnp.zeros(n, jnp.int32), jnp.zeros(n), own, own, jnp.zeros((n, values)), depth)


def arrays_of(fitted: Any, value: np.ndarray, depth: int) -> tuple[np.ndarray, ...]:
    """The arrays of a tree of scikit-learn (its `tree_`), padded to the nodes of `depth`; value [nodes, V].

    scikit-learn compares float32 features with float64 thresholds: rounded down, a float32 threshold decides the same.
    """
    n, total = fitted.node_count, nodes_of(depth)
    own = np.arange(total, dtype=np.int32)
    inner = np.zeros(total, bool)
    inner[:n] = fitted.children_left >= 0

    def padded(x: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        full = otherwise.copy()
        full[:n][inner[:n]] = x[inner[:n]]
        return full

    values = np.zeros((total, value.shape[1]), np.float32)
    values[:n] = value
    return (
        padded(fitted.feature, np.zeros(total, np.int32)),
        padded(rounded_down(fitted.threshold), np.zeros(total, np.float32)),
        padded(fitted.children_left, own), padded(fitted.children_right, own), values,
    )  # fmt: skip


def rounded_down(x: np.ndarray) -> np.ndarray:
    """The largest float32 not above each number."""
    near = x.astype(np.float32)
    return np.where(near > x, np.nextafter(near, np.float32(-np.inf)), near)


def learner() -> ModuleType:
    """scikit-learn's trees. Raises ValueError, in one line, where it is not installed."""
    try:
        from sklearn import tree
    except ImportError:
        raise ValueError("trees need scikit-learn: pip install 'prospect-rl[explain]'") from None
    return tree


def count(tree: DecisionTree) -> Array:
    """The number of nodes [] that can be reached from the root: one, and two for every test."""
    return 1 + 2 * jnp.sum(tree.left != jnp.arange(tree.left.shape[0]))
