"""CMA-ES as pure functions of one search distribution; callers `vmap` over many.

    x = sample(cma, noise)            noise [P, n] standard normal
    cma = tell(cma, x, fitness)       fitness [P], maximised
    cma = decompose(cma)              every few generations: the eigendecomposition is the expensive part, O(n^3)

Weights (active: the worse half has negative weights) and learning rates are the defaults of Hansen's tutorial
(arXiv 1604.00772, equation numbers below). Bounds are left to the caller: `tell` accepts clipped points and then
learns from what was evaluated. Shapes: n dimensions, P points of a generation.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct

from prospect_rl.envs.api import Array

product = partial(jnp.matmul, precision="highest")
"""A matrix product in full float32: a GPU would round the factors to ten bits, as is meant for networks."""

FLOOR = 1e-8
"""Lower bound of the covariance's eigenvalues: negative weights can make the covariance indefinite."""
SMALLEST_STEP, LARGEST_STEP, LARGEST_RATIO = 1e-6, 1e4, 1e3
"""Limits at which a search has ended. The smallest step is below the float32 resolution of genes of size 1-10. The
ratio is that of the longest to the shortest axis; its square, the condition number, is the most that float32
eigenvalues resolve."""


@struct.dataclass
class CMAES:
    """A normal distribution N(mean, sigma^2 cov) and what CMA-ES adapts it with."""

    mean: Array
    """[n] mean of the distribution."""
    sigma: Array
    """[] step size, which scales the covariance."""
    cov: Array
    """[n, n] covariance before scaling by sigma^2."""
    path_sigma: Array
    """[n] evolution path of the step size."""
    path_cov: Array
    """[n] evolution path of the covariance."""
    basis: Array
    """[n, n] eigenvectors of `cov` (columns) as of the last `decompose`."""
    scale: Array
    """[n] square roots of the eigenvalues of `cov`."""
    generation: Array
    """[] int32 number of `tell` calls so far."""
    decomposed: Array
    """[] int32 generation of the last `decompose`."""


class Rates(NamedTuple):
    """Weights and learning rates for n dimensions and P points, with the tutorial's symbols."""

    weights: np.ndarray
    """[P] recombination weights, best point first."""
    mu: int
    """Number of points in the better half."""
    mu_eff: float
    """Variance effective selection mass of the better half."""
    c1: float
    """Learning rate of the covariance's rank-one update."""
    c_mu: float
    """Learning rate of the covariance's rank-mu update."""
    c_sigma: float
    """Decay rate of the step size's evolution path."""
    d_sigma: float
    """Damping of the step size's update."""
    c_cov: float
    """Decay rate of the covariance's evolution path."""
    chi: float
    """Expected norm of a standard normal vector."""


def rates(n: int, points: int) -> Rates:
    """The defaults of the tutorial (table 1, equations 49-58). Raises ValueError below 4 points."""
    if points < 4:
        raise ValueError(f"CMA-ES needs a population of at least 4, not {points}")
    raw = math.log((points + 1) / 2) - np.log(np.arange(1, points + 1))
    mu = points // 2
    mu_eff = float(raw[:mu].sum() ** 2 / (raw[:mu] ** 2).sum())
    mu_eff_minus = float(raw[mu:].sum() ** 2 / (raw[mu:] ** 2).sum())
    c1 = 2 / ((n + 1.3) ** 2 + mu_eff)
    c_mu = min(1 - c1, 2 * (mu_eff - 2 + 1 / mu_eff) / ((n + 2) ** 2 + mu_eff))
    negative = min(1 + c1 / c_mu, 1 + 2 * mu_eff_minus / (mu_eff + 2), (1 - c1 - c_mu) / (n * c_mu))
    weights = np.where(raw >= 0, raw / raw[raw > 0].sum(), negative * raw / -raw[raw < 0].sum())
    c_sigma = (mu_eff + 2) / (n + mu_eff + 5)
    d_sigma = 1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + c_sigma
    c_cov = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)
    chi = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
    return Rates(weights, mu, mu_eff, c1, c_mu, c_sigma, d_sigma, c_cov, chi)


def decompose_every(n: int, points: int) -> int:
    """Number of generations between eigendecompositions that does no harm: 1 / (10 n (c1 + c_mu)) (tutorial, B.2)."""
    r = rates(n, points)
    return max(1, int(1 / (10 * n * (r.c1 + r.c_mu))))


def init(mean: Array, sigma: Array | float) -> CMAES:
    """An isotropic distribution N(mean, sigma^2 I); mean [n]."""
    n, dtype = mean.shape[0], mean.dtype
    zeros, eye, zero = jnp.zeros(n, dtype), jnp.eye(n, dtype=dtype), jnp.int32(0)
    return CMAES(mean, jnp.asarray(sigma, dtype), eye, zeros, zeros, eye, jnp.ones(n, dtype), zero, zero)


def sample(cma: CMAES, noise: Array) -> Array:
    """[P, n] points of the distribution for standard normal noise [P, n] (equation 40)."""
    return cma.mean[None] + cma.sigma * product(noise * cma.scale[None], cma.basis.T)


def tell(cma: CMAES, points: Array, fitness: Array) -> CMAES:
    """Move the mean towards the better half and adapt step size and covariance (equations 41-47).

    points [P, n]; fitness [P] is maximised. Equal points keep their order; a NaN counts as the worst.
    """
    n, r = cma.mean.shape[0], rates(cma.mean.shape[0], points.shape[0])
    weights = jnp.asarray(r.weights, points.dtype)
    steps = (points[jnp.argsort(-fitness, stable=True)] - cma.mean[None]) / cma.sigma
    step = product(weights[: r.mu], steps[: r.mu])
    white = product(product(steps, cma.basis) / cma.scale[None], cma.basis.T)  # C^(-1/2) times each step
    path_sigma = (1 - r.c_sigma) * cma.path_sigma
    path_sigma += math.sqrt(r.c_sigma * (2 - r.c_sigma) * r.mu_eff) * product(weights[: r.mu], white[: r.mu])
    length = jnp.linalg.norm(path_sigma)
    sigma = cma.sigma * jnp.exp(r.c_sigma / r.d_sigma * (length / r.chi - 1))

    generation = cma.generation + 1
    faded = jnp.sqrt(1 - (1 - r.c_sigma) ** (2 * (generation + 1)).astype(points.dtype))
    calm = (length / faded < (1.4 + 2 / (n + 1)) * r.chi).astype(points.dtype)  # h_sigma: 0 while the path is long
    path_cov = (1 - r.c_cov) * cma.path_cov + calm * math.sqrt(r.c_cov * (2 - r.c_cov) * r.mu_eff) * step
    shrink = n / (jnp.sum(white**2, axis=1) + FLOOR)  # keeps negative updates from overshooting
    signed = jnp.where(weights >= 0, weights, weights * shrink)
    keep = 1 + r.c1 * (1 - calm) * r.c_cov * (2 - r.c_cov) - r.c1 - r.c_mu * float(r.weights.sum())
    rank_mu = product((steps * signed[:, None]).T, steps)
    cov = keep * cma.cov + r.c1 * jnp.outer(path_cov, path_cov) + r.c_mu * rank_mu
    return replace(
        cma, mean=cma.mean + cma.sigma * step, sigma=sigma, cov=cov, path_sigma=path_sigma, path_cov=path_cov,
        generation=generation,
    )  # fmt: skip


def decompose(cma: CMAES) -> CMAES:
    """Compute `basis` and `scale` again from `cov`, which is made symmetric and positive."""
    eigenvalues, basis = jnp.linalg.eigh((cma.cov + cma.cov.T) / 2)
    eigenvalues = jnp.maximum(eigenvalues, FLOOR)
    cov = product(basis * eigenvalues[None], basis.T)
    return replace(cma, cov=cov, basis=basis, scale=jnp.sqrt(eigenvalues), decomposed=cma.generation)


def stopped(cma: CMAES) -> Array:
    """[] whether the search has ended: step size too small, too large or not a number, or axes too unequal."""
    longest, shortest = jnp.max(cma.scale), jnp.min(cma.scale)
    step = cma.sigma * longest
    return ~((step > SMALLEST_STEP) & (step < LARGEST_STEP) & (longest < LARGEST_RATIO * shortest))
