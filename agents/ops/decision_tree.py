"""Binary decision trees as arrays: what scikit-learn fits, walked in JAX.

A node n with children tests x[feature[n]] <= threshold[n] and goes left where that holds. A leaf is its own child, so that
walking on stays there, and a tree may be padded with leaves nothing leads to.

Shapes: N nodes, F features, V numbers in a node.
"""

from __future__ import annotations

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


def arrays_of(fitted: Any, value: np.ndarray, depth: int) -> DecisionTree:
    """A tree of scikit-learn (its `tree_`) in NumPy, padded to the nodes of `depth`; value [nodes, V].

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

    zeros = np.zeros(total)
    values = np.zeros((total, value.shape[1]), np.float32)
    values[:n] = value
    return DecisionTree(
        padded(fitted.feature, zeros.astype(np.int32)), padded(rounded_down(fitted.threshold), zeros.astype(np.float32)),
        padded(fitted.children_left, own), padded(fitted.children_right, own), values, depth,
    )  # fmt: skip


def rounded_down(x: np.ndarray) -> np.ndarray:
    """The largest float32 not above each number."""
    near = x.astype(np.float32)
    return np.where(near > x, np.nextafter(near, np.float32(-np.inf)), near)


def size(tree: DecisionTree) -> int:
    """The number of nodes that can be reached from the root."""
    return len(reached(tree))


def reached(tree: DecisionTree) -> list[int]:
    """The nodes that can be reached, in the order in which a text shows them: a node, what is left, what is right."""
    left, right = np.asarray(tree.left), np.asarray(tree.right)

    def below(node: int) -> list[int]:
        return [node] if left[node] == node else [node, *below(int(left[node])), *below(int(right[node]))]

    return below(0)
