"""An oblique tree by CMA-ES: every inner node tests a weighted sum of all features, and all weights are sought at once.

As in the authors' script for one tree over all experts: a complete tree, standardised features, left where w . s < 0, a
leaf says what most of its rows are, the fitness is the share of rows that it classifies; 64 points a generation, step
size 1 from zeros. Ours: at most `ROWS` rows, evenly spaced, and a fixed number of generations instead of none.

Shapes: B rows, D features, K classes, I inner nodes, L leaves.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from prospect_rl.agents.api import Array
from prospect_rl.agents.ops import cmaes
from prospect_rl.agents.ops.decision_tree import nodes_of

POINTS, GENERATIONS, ROWS = 64, 300, 2000


def seek(
    obs: np.ndarray, labels: np.ndarray, classes: int, depth: int, seed: int
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """(the arrays of a tree, its tests [N, D]) for rows [B, D] with labels [B] below `classes`.

    Node n tests the n-th weighted sum.
    """
    rows = np.unique(np.linspace(0, len(obs) - 1, min(ROWS, len(obs))).round().astype(int))
    mean, std = obs.mean(axis=0), obs.std(axis=0)
    std = np.where(std > 0, std, 1.0)
    seen = np.concatenate([(obs - mean) / std, np.ones((len(obs), 1))], axis=1).astype(np.float32)
    inner, width = 2**depth - 1, seen.shape[1]
    tests = np.zeros((inner, width), np.float32)
    if classes > 1:
        found = _search(jnp.asarray(seen[rows]), jnp.asarray(labels[rows]), classes, depth, seed)
        tests = np.asarray(found).reshape(inner, width)
    # the tests on the features themselves: sum_d w_d (s_d - mean_d) / std_d + w_0 <= 0
    basis = tests[:, :-1] / std
    bound = basis @ mean - tests[:, -1]
    own = np.arange(nodes_of(depth), dtype=np.int32)
    first = own < inner
    counts = np.asarray(_counts(jnp.asarray(tests), jnp.asarray(seen), jnp.asarray(labels), classes, depth))
    value, threshold = np.zeros((len(own), classes), np.float32), np.zeros(len(own), np.float32)
    value[inner:] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    threshold[:inner] = bound
    left, right = np.where(first, 2 * own + 1, own), np.where(first, 2 * own + 2, own)
    return (np.where(first, own, 0), threshold, left, right, value), basis.astype(np.float32)


def _counts(tests: Array, seen: Array, labels: Array, classes: int, depth: int) -> Array:
    """Number of rows [L, K] of each class in each leaf."""
    right = seen @ tests.T > 0
    at = jnp.zeros(len(seen), jnp.int32)
    for _ in range(depth):
        at = 2 * at + 1 + jnp.take_along_axis(right, at[:, None], axis=1)[:, 0]
    leaf = at - (2**depth - 1)
    return jnp.zeros((2**depth, classes)).at[leaf, labels].add(1.0)


def _search(seen: Array, labels: Array, classes: int, depth: int, seed: int) -> Array:
    """The weights [I * (D + 1)] at the end of the search, its mean."""
    size = (2**depth - 1) * seen.shape[1]
    every = cmaes.decompose_every(size, POINTS)

    def fitness(point: Array) -> Array:
        counts = _counts(point.reshape(-1, seen.shape[1]), seen, labels, classes, depth)
        return jnp.sum(jnp.max(counts, axis=1))

    def generation(cma: cmaes.CMAES) -> cmaes.CMAES:
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(seed), cma.generation), (POINTS, size))
        points = cmaes.sample(cma, noise)
        cma = cmaes.tell(cma, points, jax.lax.map(fitness, points, batch_size=8))
        return jax.lax.cond(cma.generation % every == 0, cmaes.decompose, lambda c: c, cma)

    def going(cma: cmaes.CMAES) -> Array:
        return (cma.generation < GENERATIONS) & ~cmaes.stopped(cma)

    begun = cmaes.init(jnp.zeros(size), 1.0)
    return jax.jit(lambda: jax.lax.while_loop(going, generation, begun).mean)()
